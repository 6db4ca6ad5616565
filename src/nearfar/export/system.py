"""What a run has learned for one system, as one file: the workflow's rule ``export``, and the command's selection."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.data.audio import RATE
from nearfar.data.clips import HARMLESS, STRETCH, read_clips
from nearfar.data.documents import parse_json
from nearfar.data.recordings import probe
from nearfar.errors import NearfarError
from nearfar.export.bundle import Bundle, write_bundle
from nearfar.jobs.digests import digest
from nearfar.jobs.faults import faults

FIT = re.compile(r"machines/([^/]+)/([^/]+)\.safetensors")


def export_system(
    path: str | Path,
    about: Mapping[str, Any],
    *,
    clips: Mapping[str, str | Path],
    members: Mapping[str, str | Path],
    signals: Mapping[str, str | Path],
) -> None:
    """Write a system of a run as one file (nearfar.export.bundle); a machine that could not be learned is left out.

    about: system, fusion, decision, detectors, features and data of the configuration; clips: tables of the training
    clips by machine; members: networks and fits, from their name in the file to their path; signals: judgements of the
    far microphones by machine, where the system asks for them.
    Raises NearfarError where no machine was learned, and for training recordings that are gone.
    """
    of = {machine: {n: p for n, p in members.items() if n.startswith(f"machines/{machine}/")} for machine in clips}
    reasons = {machine: faults([clips[machine], *of[machine].values()]) for machine in clips}
    lost = [machine for machine, why in reasons.items() if why]
    if len(lost) == len(clips):
        raise NearfarError(f"{path}: no machine was learned; {reasons[lost[0]][0]}")
    tables = {machine: read_clips(clips[machine]) for machine in clips if machine not in lost}
    machines = {machine: {"domain": list(table["domain"])} for machine, table in tables.items()}
    for machine in signals.keys() & machines.keys():
        machines[machine] |= parse_json(Path(signals[machine]).read_text(encoding="utf-8"))
    sound = {name: file for name, file in members.items() if not any(name in of[machine] for machine in lost)}
    data = recordings_of(list(tables.values())) | about["data"]
    write_bundle(path, {**about, "data": data, "machines": machines}, sound)


def recordings_of(tables: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """Return what the recordings of clip tables have in common: their rates (Hz), channels, and seconds at most."""
    found = [probe(path) for table in tables for path in np.unique(table["path"])]
    usual = float(np.median(np.concatenate([table["frames"] for table in tables]))) / RATE
    return {
        "rates": sorted({one.rate for one in found}),
        "channels": sorted({one.channels for one in found}),
        "longest": max(STRETCH * usual, HARMLESS),
    }


def select(folder: str | Path, path: str | Path, machines: Sequence[str] | None) -> list[str]:
    """Write the exported file of ``folder``, the results of a system, to ``path``; return its machines.

    machines: those to take, None for all. Raises NearfarError where the folder holds none, where what was learned has
    changed since, and for a machine that there is not.
    """
    made = Path(folder, "model.nearfar")
    again = f"make it with snakemake --cores 2 {made} (and the --configfile of that run)"
    if not made.is_file():
        raise NearfarError(f"{folder}: holds no model.nearfar; {again}")
    bundle = Bundle(made)
    for name, sha in bundle.digests.items():
        if match := FIT.fullmatch(name):
            fit = Path(folder).parent / "fits" / match[2] / f"{match[1]}.safetensors"
            if fit.is_file() and digest(fit) != sha:
                raise NearfarError(f"{made}: {fit} was learned anew since; {again}")
    chosen = sorted(set(machines or bundle.machines))
    bundle.copy(path, chosen)
    return chosen
