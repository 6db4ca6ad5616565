"""Writes benchmarks/results.md: every figure that the workflow's cost rests on, measured in one go (`make bench`)."""

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
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    return (
        f"{os.cpu_count()} cores of {processor.split(': ')[1]}, {memory:.0f} GiB; Python {platform.python_version()},"
        f" {packages}; commit {commit}. Load when it began: {os.getloadavg()[0]:.1f}."
    )


def default_run():
    """Yield the section of `make run` in a fresh clone, twice, and where the first one's time went."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "nearfar")
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        yield "| | s | CPU-s |\n|---|---|---|"
        for name, target in (("set-up", "setup"), ("run, adaptation included", "run"), ("again, unchanged", "run")):
            before, start = children(), time.perf_counter()
            subprocess.run(["make", target], cwd=clone, check=True, stdout=subprocess.DEVNULL)
            yield f"| {name} | {time.perf_counter() - start:.1f} | {children() - before:.1f} |"
        yield "\n| rule | jobs | s in all, `--cores 2` |\n|---|---|---|"
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


def main():
    """Measure and write all sections; the file is complete or as it was."""
    sections = {
        "`make run` in a fresh clone": default_run,
        "The detector stage": detectors.lines,
        "Flows": flows.lines,
        "Threads of a job": threads.lines,
        "Extraction": extraction.lines,
        "Growth": lambda: growth.lines(HERE / "growth.png"),
    }
    text = ["# What nearfar costs", "", "Made by `make bench`; do not edit. " + machine()]
    for title, section in sections.items():
        print(title, file=sys.stderr, flush=True)
        text += ["", f"## {title}", "", *section()]
    (HERE / "results.md").write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
