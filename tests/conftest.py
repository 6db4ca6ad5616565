import copy
import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
CONFIG = {}  # all of the default configuration
for part in ("submission", "pretraining", "config"):
    CONFIG |= yaml.safe_load((ROOT / f"config/{part}.yaml").read_text())
sys.path.insert(0, str(ROOT / "src"))


def params_of(method, **params):
    """The parameters of a method in config/config.yaml but for ``params``."""
    return CONFIG["methods"][method] | params


def made(method, **params):
    """A detector with these parameters."""
    make = importlib.import_module(f"nearfar.detectors.methods.{method}").Detector
    return make(**({"seed": 0} if method == "flow" else {}) | params_of(method, **params))


@pytest.fixture(scope="session")
def shared():
    """The folder with the oracle and the real recordings, which only the people who build nearfar have."""
    if not SHARED.is_dir():
        pytest.skip("../shared is absent")
    return SHARED


@pytest.fixture
def cuda():
    """The device of a test marked gpu, which is skipped without one; torch is left free to be fast again."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device here")
    yield "cuda"
    torch.use_deterministic_algorithms(False)


def noise(words, seconds=0.5, gain=0.1):
    """Two channels of noise that depend only on ``words``."""
    from nearfar.seeds import seed_for

    rng = np.random.default_rng(seed_for(0, *words))
    near = rng.standard_normal(int(16000 * seconds))
    far = np.convolve(near, [0.5, 0.2, 0.1], "same") + 0.3 * rng.standard_normal(len(near))
    return gain * np.clip(np.stack([near, far], axis=1), -4, 4)


def write_machine(root, machine, source=8, target=4, test=2, attribute="spd_1", seconds=0.5):
    """Write a machine of noise in the challenge's layout; anomalous clips are filtered."""
    cells = [("source", "train", "normal", source), ("target", "train", "normal", target)]
    cells += [(domain, "test", label, test) for domain in ("source", "target") for label in ("normal", "anomaly")]
    for domain, split, label, count in cells:
        for number in range(count):
            path = Path(root, machine, split, f"section_00_{domain}_{split}_{label}_{number:04d}_{attribute}.wav")
            path.parent.mkdir(parents=True, exist_ok=True)
            wave = noise((machine, path.name), seconds)
            if label == "anomaly":
                wave = np.apply_along_axis(np.convolve, 0, wave, [0.6, 0.4], "same")
            soundfile.write(path, wave, 16000, subtype="PCM_16")


def write_clips(machine, folder, place):
    """Write the clip tables of a machine below ``place``, as the workflow does; return their paths, train and test."""
    from nearfar.data.clips import clip_table
    from nearfar.jobs.files import write_table

    paths = [str(Path(place, "clips", split, f"{machine}.parquet")) for split in ("train", "test")]
    write_table(paths[0], clip_table(machine, folder, "train"))
    write_table(paths[1], clip_table(machine, folder, "test", train=paths[0]))
    return paths


def write_files(clips, place):
    """Write what feature files need of a clip table of ``clips``, paths of any names; return its path in a list."""
    from nearfar.jobs.digests import digest
    from nearfar.jobs.files import write_table

    columns = {"file": [Path(clip).name for clip in clips], "place": list(map(str, clips))}
    write_table(place, columns | {"content": list(map(digest, clips))})
    return [str(place)]


TOY = {
    "results": "results",
    "data": {"root": "data"},
    "training": CONFIG["training"] | {"machines": ["alpha"]},
    "folds": 2,
    "features": {"logmel": {"mels": 16, "n_fft": 1024, "hop": 512}},
    "detectors": {
        "raw": {"method": "mahalanobis", "views": ["logmel/near"]},
        "knn": {"method": "knn", "views": ["logmel/near"]},
        "flow": {"method": "flow", "views": ["logmel/near"], "params": {"components": 2, "epochs": 2, "layers": 2}},
    },
    "core": ["flow"],
    "systems": {"one": {"weights": {"raw": 0.5}}, "two": {"weights": {"knn": 0.5, "raw": 0.2}}},
}


class Project:
    """A copy of the repository's code with its own configuration and data, so that tests may edit both."""

    before = ()  # words of the command line before Python

    def __init__(self, folder, settings):
        self.folder = Path(folder)
        for part in ("rules", "src", "workflow", "resources", "profiles", "config", "envs"):
            shutil.copytree(ROOT / part, self.folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        shutil.copy(ROOT / "Snakefile", self.folder)
        self.config = copy.deepcopy(CONFIG)
        learned = {name: self.config["features"][name] for name in ("autoencoder", "classifier", "eat", "lccr")}
        settings = copy.deepcopy(settings)
        self.config |= settings | {"features": learned | settings["features"]}
        statistics = {"resamples": 100, "taken_apart": list(self.config["systems"])[-1], "weight_steps": 4}
        self.config["statistics"] |= statistics
        self.config["submission"]["systems"] = list(self.config["systems"])[-4:]
        self.config["data"] = CONFIG["data"] | settings["data"]
        self.save()

    def save(self):
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(self.config))

    def run(self, *arguments, cores=2):
        """Run snakemake and return the finished process, its two streams in ``stdout``."""
        command = [*self.before, sys.executable, "-m", "snakemake", "--cores", str(cores), *arguments]
        return subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )

    def planned(self, *targets):
        """Return the jobs a dry run lists, as a set of (rule, wildcards) texts."""
        done = self.run(*targets, "-n", "--quiet", "progress")
        assert done.returncode == 0, done.stdout
        jobs, rule = set(), None
        for line in done.stdout.splitlines():
            if line.startswith(("rule ", "localrule ")):
                rule = line.split()[1].rstrip(":")
                jobs.add((rule, ""))
            elif line.strip().startswith("wildcards:") and rule:
                jobs.discard((rule, ""))
                jobs.add((rule, line.split(":", 1)[1].strip()))
        return jobs


@pytest.fixture
def project(tmp_path):
    """A toy project: two machines of noise, three detectors on the log-mel view, two systems."""
    for machine in ("alpha", "beta"):
        write_machine(tmp_path / "data", machine)
    return Project(tmp_path, TOY)
