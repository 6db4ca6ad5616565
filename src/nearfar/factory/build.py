"""The simulated factory on disk, in the challenge's full layout."""

import csv
import io
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nearfar.errors import NearfarError
from nearfar.factory import faults, mix, signals
from nearfar.jobs.files import replacing
from nearfar.jobs.progress import bar

TRUTH = "truth.csv"  # which fault each clip has: for the documentation, read by no detector


def build(
    machine: str,
    folder: str | Path,
    *,
    seconds: float,
    train_source: int,
    train_target: int,
    test: int,
    noise_sources: int,
    seed: int,
) -> int:
    """Write ``<folder>/<machine>`` and return its number of clips.

    machine: one of mix.MODELS, or another of its kind as in fan_2; train_source, train_target: normal training clips;
    test: clips of each domain and label; noise_sources: independent ones, each in a place of its own.
    The folder takes its name only when complete. A factory's own folder is replaced, no other.
    """
    counts = {"train_source": train_source, "train_target": train_target, "test": test}
    _check(machine, seconds=seconds, noise_sources=noise_sources, **counts)
    final = Path(folder) / machine
    if final.exists() and any(final.iterdir()) and not (final / TRUTH).exists():
        raise NearfarError(f"{final}: holds something else than a simulated machine; choose another folder")
    wanted = clips(machine, **counts)
    with replacing(final) as temporary:
        _write(wanted, temporary, seconds, noise_sources, seed)
        if final.exists():
            shutil.rmtree(final)
    return len(wanted)


def _check(machine: str, **numbers: float) -> None:
    """Raise NearfarError where the kind of ``machine`` is unknown or a number is not positive."""
    if mix.kind(machine) not in mix.MODELS:
        kinds = ", ".join(mix.MODELS)
        raise NearfarError(f"machine: {machine!r} is not simulated; choose one of {kinds}, or more of a kind as fan_2")
    for key, value in numbers.items():
        if not value > 0:
            raise NearfarError(f"{key}: {value} is not positive; give at least {0.5 if key == 'seconds' else 1}")


def clips(machine: str, train_source: int, train_target: int, test: int) -> list[mix.Clip]:
    """Return the clips of one machine, in the order in which they are written."""
    counts = {
        ("source", "train", "normal"): train_source,
        ("target", "train", "normal"): train_target,
        **{(domain, "test", label): test for domain in ("source", "target") for label in ("normal", "anomaly")},
    }
    return [
        mix.Clip(machine, *cell, number, faults.KINDS[number % 4] if cell[2] == "anomaly" else "")
        for cell, count in counts.items()
        for number in range(count)
    ]


def _write(wanted: list[mix.Clip], folder: Path, seconds: float, noise_sources: int, seed: int) -> None:
    """Write the clips and the two tables of one machine into ``folder``."""
    import soundfile

    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
    for clip in bar(wanted, "factory"):
        wave = np.clip(sum(mix.parts(clip, seconds, seed, noise_sources=noise_sources)), -1, 1)
        sound = io.BytesIO()  # soundfile's own errors do not say that the disk is full
        soundfile.write(sound, wave.T, signals.RATE, format="WAV", subtype="PCM_16")
        (folder / clip.split / clip.name).write_bytes(sound.getvalue())
    _write_rows(folder / "attributes_00.csv", ["file_name", *_keys(wanted[0])], map(_attributes, wanted))
    _write_rows(folder / TRUTH, ["file", "fault"], ([_file(c), c.fault] for c in wanted if c.split == "test"))


def _file(clip: mix.Clip) -> str:
    return f"{clip.machine}/{clip.split}/{clip.name}"


def _keys(clip: mix.Clip) -> list[str]:
    """Return the attribute columns of the csv; a machine that hides its attributes keeps one empty pair."""
    return ["d1p", "d1v"] if clip.model.HIDDEN else ["d1p", "d1v", "d2p", "d2v"]


def _attributes(clip: mix.Clip) -> list[str | int]:
    """Return one row of attributes_00.csv."""
    if clip.model.HIDDEN:
        return [_file(clip), "", ""]
    speed, load = clip.condition
    return [_file(clip), "spd", speed, "load", load]


def _write_rows(path: Path, header: list[str], rows: Iterable[list]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
