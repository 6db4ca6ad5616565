"""The detector stage: its jobs beside the same library calls in one process, and what a change costs.

    .venv/bin/python benchmarks/detectors.py [--machines 7] [--clips 1200]

Made-up features of 1536 dims; CPU-seconds of all processes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from project import ROOT, SYSTEMS, Project, children, cpu, detect, detectors

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


def lines(machines=7, clips=1200):
    """Yield the section: cost of the stage, its profile, and the cost of changes."""
    project = Project(machines, clips)
    yield f"{machines} machines of {clips} clips, eight detectors, four systems; CPU-seconds, `--cores 1`.\n"
    yield "| | Snakemake | jobs | in all | jobs run | the calls in one process | ratio |\n|---|---|---|---|---|---|---|"
    own, jobs, _, counts = project.run(cores=1)
    parts = in_process(project)
    total = sum(parts.values())
    yield row("the stage", own, jobs, counts, total)
    yield "\n| of the jobs' CPU-seconds | |\n|---|---|"
    start = starting() * sum(counts.values())
    yield f"| interpreter, Snakemake's preamble, imports, {sum(counts.values())} times | {start:.1f} |"
    for name, seconds in sorted(parts.items(), key=lambda item: -item[1]):
        yield f"| {name} | {seconds:.1f} |"
    yield "\n`--cores 2`. What a change of the configuration runs:\n"
    yield "| change | jobs | CPU-s | s |\n|---|---|---|---|"
    yield from changes(project)


def row(name, own, jobs, counts, total):
    """Return a row of the first table."""
    cells = [f"{own:.1f}", f"{jobs:.1f}", f"{own + jobs:.1f}", str(sum(counts.values())), f"{total:.1f}"]
    return f"| {name} | {' | '.join(cells)} | {(own + jobs) / total:.2f} |"


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


def in_process(project):
    """Return the CPU-seconds of the stage's calls in one fresh process, a dict by detector and step, imports too."""
    code = f"import sys; from detectors import calls; calls({str(project.folder)!r}, {project.machines!r})"
    return json.loads(_fresh(code))


def calls(folder, machines):
    """Make all calls of the stage into a temporary folder; print their CPU-seconds as JSON."""
    import yaml

    project = Project.__new__(Project)
    project.folder, project.machines = Path(folder), machines
    project.config = yaml.safe_load(Path(folder, "config/config.yaml").read_text())
    from nearfar.jobs import job
    from nearfar.systems.evaluation import evaluate_machines
    from nearfar.systems.machine import fuse_machine
    from nearfar.systems.weights import weights_of

    job._without_pandas()
    parts = {"imports, once": time.process_time()}
    with tempfile.TemporaryDirectory() as out:
        out = Path(out)
        for name in detectors(project):
            parts[f"`{name}`"] = sum(cpu(detect, project, name, machine, out) for machine in machines)
        start = time.process_time()
        clips = {machine: project.folder / f"results/clips/test/{machine}.parquet" for machine in machines}
        for system in SYSTEMS:
            weights = weights_of(project.config["systems"][system]["weights"], project.config["core"])
            fused = {machine: out / f"{system}/{machine}.parquet" for machine in machines}
            for machine, path in fused.items():
                normalized = {name: out / f"normalized/{name}/{machine}.parquet" for name in sorted(weights)}
                fused_as = {"weights": weights, "ranks": "test"}
                fuse_machine(normalized, path, out / "training.parquet", system=fused_as, percentile=90)
            evaluate_machines(clips, fused, out / f"{system}/eval.csv", unscored={})
        parts["fusion and evaluation"] = time.process_time() - start
    print(json.dumps(parts))


def starting(times=10):
    """Return the CPU-seconds of a job that reads and writes a small table, by Snakemake's own start of a script."""
    before = children()
    preamble = "from snakemake.logging import logger; from snakemake.iocontainers import Snakemake\n"
    paths = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
    for _ in range(times):
        _fresh(preamble + paths + JOB)
    return (children() - before) / times


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
        project.config["seed"] = 1

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
