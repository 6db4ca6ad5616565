"""The detector stage: its jobs beside the same library calls in one process, before and now, and what a change costs.

    .venv/bin/python benchmarks/detectors.py [--machines 7] [--clips 1200]

Made-up features of 1536 dims; CPU-seconds of all processes, one job at a time, so that both runs meet the same machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from project import ROOT, SYSTEMS, TABLES, Project, children, cpu, detect, detectors

BEFORE = "c479f3b"  # the last commit before this stage was made cheaper
JOB = "from nearfar import detection, job; from nearfar.jobs.files import *; import os, tempfile\n"  # without its work
JOB += "job._without_pandas(); p = tempfile.mktemp(); write_table(p, {'a': ['b']}); read_table(p); os.remove(p)"


def lines(machines=7, clips=1200):
    """Yield the section: cost of the stage before and now, its profile, and the cost of changes."""
    project = Project(machines, clips)
    yield f"{machines} machines of {clips} clips, eight detectors, four systems; CPU-seconds, `--cores 1`.\n"
    yield "| | Snakemake | jobs | in all | jobs run | the calls in one process | ratio |\n|---|---|---|---|---|---|---|"
    before, old = earlier(project)
    yield before
    own, jobs, _, counts = project.run(cores=1)
    parts = in_process(project)
    total = sum(parts.values())
    yield row("now", own, jobs, counts, total)
    yield "\n" + moved(old, project)
    yield "\n| of the jobs' CPU-seconds now | |\n|---|---|"
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


def earlier(project):
    """Return the row of the commit BEFORE, run on the same features, and the project of its results."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        subprocess.run(["git", "worktree", "add", "--detach", tree, BEFORE], cwd=ROOT, capture_output=True, check=True)
        try:
            old = Project(0, project.clips, tree)
            (old.folder / "data").symlink_to(project.folder / "data")
            (old.folder / "results").mkdir()
            for part in ("clips", "features"):
                (old.folder / "results" / part).symlink_to(project.folder / "results" / part)
            own, jobs, _, counts = old.run(cores=1, rules=("fit", "score", "fuse", "evaluate"))
            code = EARLIER.format(scripts=tree / "src", folder=old.folder, machines=project.machines, systems=SYSTEMS)
            return row(f"before ({BEFORE})", own, jobs, counts, json.loads(_fresh(code))), old
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


def moved(old, project):
    """Return which detectors' normalized scores are the same bytes as in the project ``old``, and how far Ω moved."""
    same, other, folders = [], [], (old.folder, project.folder)
    for name in detectors(project):
        pairs = [[f / f"results/normalized/{name}/{m}.parquet" for f in folders] for m in project.machines]
        equal = all(first.read_bytes() == second.read_bytes() for first, second in pairs)
        (same if equal else other).append(f"`{name}`")
    omegas = [[float(Path(f, table).read_text().splitlines()[-1].split(",")[5]) for table in TABLES] for f in folders]
    difference = max(abs(first - second) for first, second in zip(*omegas, strict=True))
    return (
        f"The same bytes as before: {', '.join(same)}. Others: {', '.join(other) or 'none'}; Ω of a system moved by"
        f" {difference:.2f} at most."
    )


EARLIER = """
import json, os, sys, time, yaml
sys.path.insert(0, "{scripts}")
os.chdir("{folder}")
from nearfar.detectors.detection import fit_machine, score_machine
from nearfar.systems.evaluation import evaluate_machines
from nearfar.systems.ranking import fuse_machine
from nearfar.systems.weights import weights_of
config, machines = yaml.safe_load(open("config/config.yaml")), {machines}
systems = {{s: weights_of(config["systems"][s]["weights"], config["core"]) for s in {systems}}}
clips = {{m: f"results/clips/{{m}}.parquet" for m in machines}}
for m in machines:
    for name in sorted(set().union(*systems.values())):
        d = config["detectors"][name]
        out = [f"again/{{part}}/{{name}}_{{m}}" for part in ("fits", "scores", "normalized")]
        views = [f"results/features/{{view}}/{{m}}.parquet" for view in d["views"]]
        about = dict(machine=m, detector=name, folds=d.get("folds", config["folds"]), seed=0)
        fit_machine(clips[m], views, out[0], method=d["method"], params=d.get("params", {{}}), **about)
        how = config["normalization"] | d.get("normalization", {{}})
        score_machine(clips[m], views, *out, normalization=how, **about)
for s, weights in systems.items():
    for m in machines:
        normalized = {{n: f"again/normalized/{{n}}_{{m}}" for n in sorted(weights)}}
        fuse_machine(normalized, f"again/{{s}}/{{m}}", weights=weights, ranks="test", percentile=90)
    evaluate_machines(machines, list(clips.values()), [f"again/{{s}}/{{m}}" for m in machines], path=f"again/{{s}}.csv")
print(json.dumps(time.process_time()))
"""


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
    from nearfar.systems.ranking import fuse_machine
    from nearfar.systems.weights import weights_of

    job._without_pandas()
    parts = {"imports, once": time.process_time()}
    with tempfile.TemporaryDirectory() as out:
        out = Path(out)
        for name in detectors(project):
            parts[f"`{name}`"] = sum(cpu(detect, project, name, machine, out) for machine in machines)
        start = time.process_time()
        clips = {machine: project.folder / f"results/clips/{machine}.parquet" for machine in machines}
        for system in SYSTEMS:
            weights = weights_of(project.config["systems"][system]["weights"], project.config["core"])
            fused = {machine: out / f"{system}/{machine}.parquet" for machine in machines}
            for machine, path in fused.items():
                normalized = {name: out / f"normalized/{name}/{machine}.parquet" for name in sorted(weights)}
                fuse_machine(normalized, path, weights=weights, ranks="test", percentile=90)
            evaluate_machines(clips, fused, out / f"{system}/eval.csv")
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
