"""The detector stage: its jobs beside the same library calls in one process, and what a change costs.

    .venv/bin/python benchmarks/detectors.py [--machines 7] [--clips 1200]

Made-up features of base size, 1536 dims and 12,288 by mel row; CPU-seconds of all processes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from project import PAPERS, ROOT, Project, children, cpu, detect, detectors

ALL = (*PAPERS, "system5")
JOB = """from nearfar.detectors import detection
from nearfar.jobs import job
from nearfar.jobs.files import *
import os, tempfile
job._without_pandas()
p = tempfile.mktemp()
write_table(p, {'a': ['b']})
read_table(p)
os.remove(p)
"""  # without its work
START = {  # what a job does before its work, in this order
    "interpreter": "",
    "Snakemake's preamble": "from snakemake.logging import logger; from snakemake.iocontainers import Snakemake\n",
    "numpy": "import numpy\n",
    "pyarrow": "import pyarrow.parquet\n",
    "nearfar, and a small table written and read": JOB,
}
DECISION = {"percentile": 90, "false_alarm": None, "fdr": None}


def lines(machines=7, clips=1200):
    """Yield the section: cost of the stage with and without system 5, its profiles, and the cost of changes."""
    project = Project(machines, clips, ALL)
    with_5 = Stage(project, ALL)  # first: the other is then all done again, by another seed
    project.config["seed"] = 1
    stages = {"systems 1 to 4": Stage(project, PAPERS), "and system 5": with_5}
    yield f"{machines} machines of {clips} clips; CPU-seconds, `--cores 1`.\n"
    yield "| | detectors | Snakemake | jobs | in all | jobs run | the calls in one process | ratio |"
    yield "|---" * 8 + "|"
    for name, stage in stages.items():
        yield f"| {name} | {' | '.join(stage.cells())} |"
    start = starting()
    yield "\n| of the start of a job | CPU-ms |\n|---|---|"
    for part, seconds in start.items():
        yield f"| {part} | {1000 * seconds:.0f} |"
    for name, stage in stages.items():
        yield f"\n| of the jobs' CPU-seconds, {name} | |\n|---|---|"
        yield f"| starts, {stage.count} times | {sum(start.values()) * stage.count:.1f} |"
        for part, seconds in sorted(stage.parts.items(), key=lambda item: -item[1]):
            yield f"| {part} | {seconds:.1f} |"
    yield "\nSystems 1 to 4, `--cores 2`. What a change of the configuration runs:\n"
    yield "| change | jobs | CPU-s | s |\n|---|---|---|---|"
    yield from changes(project)


class Stage:
    """The detector stage of some systems, run once by the workflow and once by its calls in one process."""

    def __init__(self, project, systems):
        self.own, self.jobs, _, counts = project.run(*systems, cores=1)
        self.count, self.detectors = sum(counts.values()), len(detectors(project, systems))
        self.parts = in_process(project, systems)

    def cells(self):
        """Return its row of the first table."""
        total, calls = self.own + self.jobs, sum(self.parts.values())
        seconds = [f"{value:.1f}" for value in (self.own, self.jobs, total)]
        return [str(self.detectors), *seconds, str(self.count), f"{calls:.1f}", f"{total / calls:.2f}"]


def _fresh(code):
    """Run code in an interpreter of its own, one thread; return what it prints."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=Path(__file__).parent,
    )
    return done.stdout


def in_process(project, systems):
    """Return the CPU-seconds of the stage's calls in one fresh process, a dict by detector and step, imports too."""
    code = f"from detectors import calls; calls({str(project.folder)!r}, {project.machines!r}, {systems!r})"
    return json.loads(_fresh(code))


def calls(folder, machines, systems):
    """Make all calls of the stage into a temporary folder; print their CPU-seconds as JSON."""
    import yaml

    project = Project.__new__(Project)
    project.folder, project.machines = Path(folder), machines
    project.config = yaml.safe_load(Path(folder, "config/config.yaml").read_text())
    from nearfar.jobs import job
    from nearfar.systems.evaluation import evaluate_machines
    from nearfar.systems.machine import fuse_machine
    from nearfar.systems.weights import members_of

    job._without_pandas()
    parts = {"imports, once": time.process_time()}
    with tempfile.TemporaryDirectory() as out:
        out = Path(out)
        for name in detectors(project, systems):
            parts[f"`{name}`"] = sum(cpu(detect, project, name, machine, out) for machine in machines)
        start = time.process_time()
        clips = {machine: project.folder / f"results/clips/test/{machine}.parquet" for machine in machines}
        for system in systems:
            members = members_of(project.config["systems"][system], project.config["core"])
            fused = {machine: out / f"{system}/{machine}.parquet" for machine in machines}
            for machine, path in fused.items():
                normalized = {name: out / f"normalized/{name}/{machine}.parquet" for name in members}
                fuse_machine(
                    normalized, path, out / "training.parquet", system=fusion(project.config, system), decision=DECISION
                )
            evaluate_machines(clips, fused, out / f"{system}/eval.csv", unscored={})
        parts["fusion and evaluation"] = time.process_time() - start
    print(json.dumps(parts))


def fusion(config, system):
    """Return how a system fuses, as the workflow's job is told."""
    from nearfar.systems.weights import weights_of

    about = config["systems"][system]
    if "families" in about:
        return about | {"residual": []}
    return {"weights": weights_of(about["weights"], config["core"]), "ranks": config["ranks"]}


def starting(times=10):
    """Return the CPU-seconds that a job's start takes, a dict of its parts, by Snakemake's own start of a script."""
    paths, code, found = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n", "", {}
    for part, more in START.items():
        code, before = code + more, children()
        for _ in range(times):
            _fresh(f"{paths}{code}import gc; gc.freeze()\n")  # as a job does, whose end is cheaper by it
        found[part] = (children() - before) / times - sum(found.values())
    return found


def changes(project):
    """Yield the rows of the second table."""
    systems, known = project.config["systems"], project.config["detectors"]
    raw = known["raw"] | {"params": {"reference": "pooled"}}

    def detector_added():
        known["raw_pooled"] = raw
        systems["system1"]["weights"]["raw_pooled"] = 0.05

    def weight_changed():
        systems["system2"]["weights"]["c1"] = 0.15

    def seed_changed():
        project.config["seed"] = 2

    for name, change in (
        ("none", lambda: None),
        ("a detector added to one system", detector_added),
        ("a weight of one system", weight_changed),
        ("a machine more", project.add),
        ("another seed", seed_changed),
    ):
        change()
        own, jobs, wall, counts = project.run(cores=2)
        what = ", ".join(f"{count} {rule}" for rule, count in counts.items()) or "0"
        yield f"| {name} | {what} | {own + jobs:.1f} | {wall:.1f} |"


def main():
    """Print the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--machines", type=int, default=7)
    parser.add_argument("--clips", type=int, default=1200)
    arguments = parser.parse_args()
    for line in lines(arguments.machines, arguments.clips):
        print(line, flush=True)


if __name__ == "__main__":
    main()
