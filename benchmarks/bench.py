"""Writes benchmarks/results.md: every figure that the workflow's cost rests on, measured in one go (`make bench`).

.venv/bin/python benchmarks/bench.py Flows    # measures that section again, beside what stands there
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import detectors
import extraction
import flows
import growth
import threads
from project import ROOT, children

HERE = Path(__file__).parent
PACKAGES = ("snakemake", "torch", "numpy", "scipy", "scikit-learn", "pyarrow", "zuko", "normflows")


def machine():
    """Return what the figures were measured on."""
    processor = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores of {processor.split(': ')[1]}, {memory:.0f} GiB; Python {platform.python_version()},"
        f" {packages}; commit {commit()}. Load when it began: {os.getloadavg()[0]:.1f}."
    )


def default_run():
    """Yield the section of `make run` in a fresh clone, twice, and where the first one's time went."""
    quiet = subprocess.DEVNULL
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "nearfar")
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}  # nproc obeys it
        yield "| | s | CPU-s |\n|---|---|---|"
        for name, target in (("set-up", "setup"), ("run, adaptation included", "run"), ("again, unchanged", "run")):
            before, start = children(), time.perf_counter()
            subprocess.run(["make", target], cwd=clone, check=True, env=environment, stdout=quiet, stderr=quiet)
            yield f"| {name} | {time.perf_counter() - start:.1f} | {children() - before:.1f} |"
        yield f"\n| rule | jobs | s in all, `--cores {os.cpu_count()}` |\n|---|---|---|"
        for rule, times in sorted(job_times(clone).items(), key=lambda item: -sum(item[1])):
            yield f"| {rule} | {len(times)} | {sum(times):.1f} |"


def job_times(clone):
    """Return a dict from each rule to the seconds of its jobs, by what Snakemake recorded of their outputs."""
    found = {}
    for path in (clone / ".snakemake/metadata").rglob("*"):
        if path.is_file():
            about = json.loads(path.read_text())
            found.setdefault(about["rule"], {})[about["starttime"]] = about["endtime"] - about["starttime"]
    return {rule: list(jobs.values()) for rule, jobs in found.items()}


def commit():
    """Return the short name of the commit that is measured."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def main(wanted):
    """Measure all sections, or of an earlier run only the ``wanted`` ones anew; the file is complete or as it was."""
    result = HERE / "results.md"
    if wanted:
        head, *old = result.read_text(encoding="utf-8").split("\n## ")
        text = dict(part.split("\n", 1) for part in old)
    else:
        head, text = f"# What nearfar costs\n\nMade by `make bench`; do not edit. {machine()}\n", {}
    for title in wanted or SECTIONS:
        print(title, file=sys.stderr, flush=True)
        again = f"Measured by itself at commit {commit()}.\n\n" if wanted else ""
        text[title] = f"\n{again}" + "\n".join(SECTIONS[title]()) + "\n"
    sections = [f"{title}\n{text[title].rstrip()}\n" for title in SECTIONS]
    result.write_text("\n## ".join([head, *sections]), encoding="utf-8")


SECTIONS = {
    "`make run` in a fresh clone": default_run,
    "The detector stage": detectors.lines,
    "Flows": flows.lines,
    "Threads of a job": threads.lines,
    "Extraction": extraction.lines,
    "Growth": lambda: growth.lines(HERE / "growth.png"),
}

if __name__ == "__main__":
    main(sys.argv[1:])
