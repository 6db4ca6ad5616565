"""`make run` in a fresh clone, twice, and where the first one's time went.

.venv/bin/python benchmarks/run.py
"""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from project import ROOT, children


def lines():
    """Yield the section."""
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
            found.setdefault(about["rule"], {})[tuple(about["log"])] = about["endtime"] - about["starttime"]
    return {rule: list(jobs.values()) for rule, jobs in found.items()}


if __name__ == "__main__":
    for line in lines():
        print(line, flush=True)
