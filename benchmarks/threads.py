"""One thread a job or two: CPU-seconds and wall time of the same library call, each in a process of its own.

.venv/bin/python benchmarks/threads.py
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from project import Project, detect

JOBS = ("mahalanobis", "c1", "flow", "embedding")


def call(job, threads):
    """Do a job on 1,200 clips (embeddings: 200 of 4 s, both channels) and print its CPU-seconds and seconds as JSON."""
    if job == "embedding":
        from growth import clips_of_noise

        from nearfar.backbones.embed import embed_machine
        from nearfar.jobs.provenance import MODELS

        with tempfile.TemporaryDirectory() as folder:
            clips = clips_of_noise(folder, 200, seconds=4)
            outputs = {channel: Path(folder, f"{channel}.parquet") for channel in ("near", "far")}
            begun = time.process_time(), time.perf_counter()
            embed_machine(clips, MODELS / "eat-small", outputs, made="", threads=threads)
    else:
        project = Project(1, 1200)
        begun = time.process_time(), time.perf_counter()
        detect(project, job, project.machines[0], project.folder / "out")
    print(json.dumps([time.process_time() - begun[0], time.perf_counter() - begun[1]]))


def measured(job, threads):
    """Return the CPU-seconds and the seconds of a job with so many threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    code = f"from threads import call; call({job!r}, {threads})"
    environment = os.environ | dict.fromkeys(names, str(threads))
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, env=environment, cwd=here)
    return json.loads(done.stdout)


def lines(rounds=3):
    """Yield the section; of each the best of the rounds."""
    yield "| job | one thread: CPU-s | s | two threads: CPU-s | s |\n|---|---|---|---|---|"
    for job in JOBS:
        best = [[min(pair) for pair in zip(*(measured(job, n) for _ in range(rounds)), strict=True)] for n in (1, 2)]
        yield f"| `{job}` | {' | '.join(f'{value:.2f}' for pair in best for value in pair)} |"


if __name__ == "__main__":
    for line in lines():
        print(line, flush=True)
