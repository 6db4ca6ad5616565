"""The clip table: one row a clip, keyed by file name."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nearfar.data.dataset import refuse_unreadable, wav_files
from nearfar.data.names import parse
from nearfar.errors import NearfarError, error_prefix, one_line
from nearfar.jobs.digests import digest
from nearfar.jobs.files import read_table

STRETCH = 10  # times the median: arrays of all clips are as long as the longest; a set of 6, 10 and 16 s needs 2.7
HARMLESS = 20.0  # seconds: what EAT-small, the least of our backbones, has positions for


def clip_table(
    machine: str, folder: str | Path, split: str, train: str | Path | None = None, channels: int = 2
) -> pa.Table:
    """Return the table of all clips in ``folder``/``split``, sorted by file name, and warn of doubtful ones.

    Columns: file, path, place (what nearfar.data.places reads), recording and start (of it, in seconds), machine,
    section, split, domain, label, attribute (text), frames, content (a digest). domain and label are null where the
    name does not tell. Every clip is read, so that what is wrong with one is said here, once, before any job computes.
    train: the path of the training clips' table, which tells how long the clips of the machine usually are; channels: 1
    where there is one microphone. Raises NearfarError for a folder that cannot be listed, a clip with a malformed name
    or that nearfar.data.audio refuses, one far longer than the others, and clips that do not suffice.
    """
    from nearfar.data.audio import RATE, content  # here, since most jobs read a table, and libsndfile is not free
    from nearfar.data.channels import doubts
    from nearfar.jobs.progress import bar

    refuse_unreadable(folder)
    rows, contents = [], {}
    for file in bar(wav_files(folder, split), "clips"):
        path = Path(folder, split, file)
        with error_prefix(folder):
            name = parse(file, split)
        contents[path] = content(path, channels)
        known = {"file": file, "path": str(path), "place": str(path), "recording": file, "start": 0.0}
        known |= {"machine": machine} | name._asdict()
        rows.append(known | {"frames": contents[path].frames, "content": digest(path)})
    refuse_unusable(machine, folder, split, rows)
    usual = read_table(train)["frames"] if train else [clip.frames for clip in contents.values()]
    refuse_longer({path: clip.frames / RATE for path, clip in contents.items()}, float(np.median(usual)) / RATE)
    warn(doubts(contents))
    return table_of(rows)


def table_of(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return the rows of a clip table, dicts of its columns, as a table."""
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    columns["domain"] = pa.array(columns["domain"], pa.string())
    columns["label"] = pa.array(columns["label"], pa.string())
    return pa.table(columns)


def read_clips(tables: str | Path | Iterable[str | Path]) -> dict[str, np.ndarray]:
    """Return one clip table, or those of both splits, as a dict of numpy arrays, sorted by file name."""
    parts = [read_table(path) for path in ([tables] if isinstance(tables, str | Path) else tables)]
    clips = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(clips["file"], kind="stable")
    return {name: column[order] for name, column in clips.items()}


def refuse_unusable(machine: str, folder: str | Path, split: str, rows: Iterable[dict[str, Any]]) -> None:
    """Raise NearfarError where the clips of a split (dicts with domain) do not suffice to train or to judge."""
    domains = [row["domain"] for row in rows]
    for domain in ("source", "target") if split == "train" else ():
        count = domains.count(domain)
        if count < 2:  # one clip has no spread and no neighbour
            raise NearfarError(
                f"{folder}/train: {machine} has {count or 'no'} {domain}-domain clip; put two or more normal "
                f"recordings of that domain there, named section_00_{domain}_train_normal_0000.wav"
            )
    if not domains:
        raise NearfarError(f"{folder}/test: {machine} has no test clip; put the recordings to be judged there")


def refuse_longer(seconds: dict[Path, float], usual: float) -> None:
    """Raise NearfarError for a clip that lasts so much longer than is usual that it would pad all their arrays."""
    most = max(STRETCH * usual, HARMLESS)
    for path, lasts in seconds.items():
        if lasts > most:
            raise NearfarError(
                f"{path}: lasts {lasts:g} s where {most:g} s is the most, the machine's others being of {usual:g} s; "
                "cut it or remove it"
            )


def warn(doubtful: Iterable[tuple[str | Path, str]]) -> None:
    """Print the doubts of a machine's clips on stderr, a line a kind with the number of clips and the first."""
    for line in gathered(doubtful):
        print(f"nearfar: warning: {line}", file=sys.stderr, flush=True)


def gathered(pairs: Iterable[tuple[str | Path, str]]) -> list[str]:
    """Return a line a fault of (place, fault) pairs; the same fault of many files is one line that names the first."""
    places = defaultdict(list)
    for place, fault in pairs:
        places[fault].append(place)
    return [
        one_line(f"{where[0]}: {fault}" + (f" (and {len(where) - 1} more)" if len(where) > 1 else ""))
        for fault, where in places.items()
    ]
