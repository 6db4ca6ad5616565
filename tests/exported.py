"""A system of two machines of noise, learned and exported without the workflow, for the tests of export."""

import os
from pathlib import Path

from conftest import ROOT, params_of, write_clips, write_machine

from nearfar.data.recordings import Recording, read_window
from nearfar.detectors.detection import detect_machine
from nearfar.export.system import export_system
from nearfar.features.extraction import extract_machine
from nearfar.jobs.files import read_table
from nearfar.systems.machine import fuse_machine

ABSENT = ["snakemake", "peft", "transformers", "pandas", "sklearn", "matplotlib", "scipy", "huggingface_hub", "pooch"]
MACHINES = ("alpha", "beta")
LOGMEL = {"mels": 16, "n_fft": 1024, "hop": 512}
NORMALIZATION = {"pseudo_clips": 5, "reference": "domain"}
DETECTORS = {"raw": ("mahalanobis", "near"), "whitened": ("whitened", "near"), "left": ("whitened", "residual")}
FUSION = {
    "families": {"one": ["raw", "whitened"], "other": ["left"]},
    "combine": "soft_maximum",
    "residual": ["left"],
}

DECISION = {"percentile": 90, "false_alarm": None}


def learned(place, fusion=FUSION, window=None, **data):
    """Write the results of a run of system ``one`` below ``place``; return the path of its model.nearfar."""
    root, results = Path(place, "data"), Path(place, "results")
    clips, members = {}, {}
    for machine in MACHINES:
        write_machine(root, machine)
        clips[machine] = write_clips(machine, root / machine, results)
        for name, (method, channel) in DETECTORS.items():
            view = results / "features/logmel" / channel / f"{machine}.parquet"
            extract_machine(clips[machine], view, feature="logmel", channel=channel, params=LOGMEL, made="")
            outputs = {kind: results / kind / name / f"{machine}.parquet" for kind in ("scores", "normalized")}
            outputs["fits"] = results / "fits" / name / f"{machine}.safetensors"
            members[f"machines/{machine}/{name}.safetensors"] = outputs["fits"]
            known = {"machine": machine, "detector": name, "method": method, "params": params_of(method)}
            how = known | {"folds": 2, "seed": 0, "normalization": NORMALIZATION, "few": "refuse", "made": ""}
            detect_machine(clips[machine], [view], outputs, **how)
        normalized = {name: results / "normalized" / name / f"{machine}.parquet" for name in DETECTORS}
        outputs = results / "one/scores" / f"{machine}.parquet", results / "one/training" / f"{machine}.parquet"
        fuse_machine(normalized, *outputs, system=fusion, decision=DECISION | {"fdr": None})
    path = results / "one/model.nearfar"
    about = {
        "system": "one",
        "fusion": fusion,
        "decision": DECISION,
        "detectors": {
            name: {"views": [f"logmel/{channel}"], "normalization": NORMALIZATION}
            for name, (_, channel) in DETECTORS.items()
        },
        "features": {"logmel": LOGMEL},
        "data": {"near": 0, "far": 1, "window": window, "hop": None} | data,
    }
    tables = {machine: own[0] for machine, own in clips.items()}
    export_system(path, about, clips=tables, members=members, signals={})
    return path


def clips_beside(path, machine="alpha"):
    """Return the test clips of a machine beside an exported file, paths in order."""
    return sorted((path.parents[2] / "data" / machine / "test").iterdir())


def batch_of(path, machine="alpha"):
    """Return the columns of the batch's scores beside an exported file, each a dict from clip to value."""
    table = read_table(path.parent / "scores" / f"{machine}.parquet")
    return {name: dict(zip(table["file"], table[name], strict=True)) for name in table}


def wave_of(path):
    """Return the wave (frames, 2) of a clip."""
    return read_window(Recording(path, 0, 1))


def small_installation(folder):
    """Return an environment in which the libraries of the workflow cannot be imported."""
    Path(folder, "sitecustomize.py").write_text(
        "import sys\n"
        "class Absent:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {ABSENT}:\n"
        "            raise ModuleNotFoundError(f'{name} is not installed', name=name)\n"
        "sys.meta_path.insert(0, Absent)\n"
    )
    return os.environ | {"PYTHONPATH": f"{folder}:{ROOT / 'src'}"}
