"""A project of made-up features for the benchmarks of the detector stage, and what a run of it costs."""

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))
VIEWS = {  # a clip's shape in each, with an EAT of base size
    **{"eat/near": 1536, "eat/far": 1536, "lccr/pair": 128, "rtf/pair": 195, "logmel/near": 256},
    **{"logmel/residual": 256, "eat_bands/near": 12288, "eat_bands/residual": 12288, "classifier/near": (3, 256)},
    **{"spectrum/near": 256, "spectrum/residual": 256, "modulation/near": 768},
}
PAPERS = ("system1", "system2", "system3", "system4")
RULES = ("detect", "fuse", "evaluate")
SELF = """
import atexit, json, resource, sys
from snakemake.cli import main
def seconds(who): used = resource.getrusage(who); return used.ru_utime + used.ru_stime
atexit.register(lambda: print("USED", json.dumps([seconds(resource.RUSAGE_SELF), seconds(resource.RUSAGE_CHILDREN)])))
main()
"""  # Snakemake with what it and its jobs used, in its last line


class Project:
    """A folder with made-up clip tables and features of ``machines`` machines of ``clips`` clips, and its settings.

    The features are those that the detectors of ``systems`` see.
    """

    def __init__(self, machines=7, clips=1200, systems=PAPERS, root=ROOT):
        self.kept = tempfile.TemporaryDirectory()  # removed with this project
        self.folder, self.clips, self.machines, self.root = Path(self.kept.name), clips, [], root
        self.config = yaml.safe_load((root / "config/config.yaml").read_text())
        self.config["data"]["root"] = "data"
        seen = {view for name in detectors(self, systems) for view in self.config["detectors"][name]["views"]}
        self.views = {view: shape for view, shape in VIEWS.items() if view in seen}
        (self.folder / "config").mkdir()
        for _ in range(machines):
            self.add()

    def add(self):
        """Add a machine: a sixth of the clips are test clips, half of them anomalous, and 1 % of the rest target."""
        from nearfar.jobs.files import write_table, write_text, write_vectors

        name, rng = f"machine{len(self.machines):02d}", np.random.default_rng(len(self.machines))
        (self.folder / "data" / name / "train").mkdir(parents=True)
        split, domain, label = (list(column) for column in zip(*_cells(self.clips), strict=True))
        cells = enumerate(zip(split, domain, label, strict=True))
        files = [f"section_00_{d}_{s}_{word}_{i:04d}.wav" for i, (s, d, word) in cells]
        table = {"file": files, "path": files, "machine": [name] * len(files), "section": ["00"] * len(files)}
        table |= {"recording": files, "split": split, "domain": domain, "label": label}
        for part in ("train", "test"):
            rows = [row for row, own in enumerate(split) if own == part]
            cut = {key: [column[row] for row in rows] for key, column in table.items()}
            write_table(self.folder / f"results/clips/{part}/{name}.parquet", cut)
        shift = (np.array(domain) == "target")[:, None] + 0.5 * (np.array(label) == "anomaly")[:, None]
        latent = rng.standard_normal((len(files), 48))
        write_text(self.folder / f"results/signals/{name}.json", json.dumps({"far": True}))
        for view, shape in self.views.items():
            width = int(np.prod(shape))
            mixing = rng.standard_normal((48, width)) * np.linspace(1, 0.1, 48)[:, None]
            vectors = latent @ mixing + 0.3 * rng.standard_normal((len(files), width))
            vectors += 0.2 * shift * rng.standard_normal(width)
            vectors = vectors.reshape(len(files), *np.atleast_1d(shape))
            write_vectors(self.folder / f"results/features/{view}/{name}.parquet", files, vectors)
        self.machines.append(name)

    def run(self, *systems, cores=2, rules=RULES):
        """Run the workflow up to the tables of ``systems``, by default the paper's.

        Returns Snakemake's own CPU-seconds, its jobs', the wall time, and the jobs by rule.
        """
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(self.config))
        tables = [f"results/{system}/eval.csv" for system in systems or PAPERS]
        command = [sys.executable, "-c", SELF, *tables, "--cores", str(cores)]
        command += ["--snakefile", str(self.root / "Snakefile")]
        command += ["--workflow-profile", str(self.root / "profiles/default"), "--allowed-rules", *rules]
        start = time.perf_counter()
        done = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        wall = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(done.stdout)
        own, jobs = json.loads(re.search(r"USED (.*)", done.stdout)[1])
        ended = re.findall(rf"^[\d:]+ +\d+/\d+ +({'|'.join(rules)})\b", done.stdout, re.MULTILINE)
        return own, jobs, wall, {rule: ended.count(rule) for rule in rules if rule in ended}

    def features(self, detector, machine):
        """Return the paths of the clip tables and of the views of a detector, and its settings."""
        settings = self.config["detectors"][detector]
        views = [self.folder / f"results/features/{view}/{machine}.parquet" for view in settings["views"]]
        clips = [self.folder / f"results/clips/{split}/{machine}.parquet" for split in ("train", "test")]
        return clips, views, settings


def detect(project, detector, machine, out):
    """Do what the job of a detector and a machine does, by the library call that it makes."""
    from nearfar.detectors.detection import detect_machine
    from nearfar.settings import parameters_of

    clips, views, settings = project.features(detector, machine)
    outputs = {"fits": out / f"fits/{detector}/{machine}.safetensors"}
    outputs |= {name: out / f"{name}/{detector}/{machine}.parquet" for name in ("scores", "normalized")}
    detect_machine(
        clips,
        views,
        outputs,
        machine=machine,
        detector=detector,
        method=settings["method"],
        params=parameters_of(project.config, detector),
        folds=settings.get("folds", project.config["folds"]),
        few="refuse",
        seed=project.config["seed"],
        normalization=project.config["normalization"] | settings.get("normalization", {}),
        made="",
    )


def detectors(project, systems=PAPERS):
    """Return the detectors that the systems use, sorted."""
    from nearfar.systems.weights import members_of

    config = project.config
    return sorted({name for system in systems for name in members_of(config["systems"][system], config["core"])})


def cpu(call, *arguments):
    """Return the CPU-seconds of a call in this process."""
    start = time.process_time()
    call(*arguments)
    return time.process_time() - start


def children():
    """Return the CPU-seconds that the ended children of this process have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cells(clips):
    """Return (split, domain, label) of each of ``clips`` clips."""
    test, target = clips // 6, max(10, clips // 120)
    kinds = [(domain, label) for domain in ("source", "target") for label in ("normal", "anomaly")]
    cells = [("test", *kinds[i % 4]) for i in range(test)] + [("train", "target", "normal")] * target
    return cells + [("train", "source", "normal")] * (clips - len(cells))
