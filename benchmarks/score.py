"""What scoring by an exported file costs, and a watcher that is killed again and again: writes benchmarks/score.md.

    .venv/bin/snakemake --cores 2 results/{system1,system5}/model.nearfar
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/score.py results/{system1,system5}/model.nearfar

Takes a minute or two. A clip is 10 s of noise on two channels.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
from page import write_section

import nearfar
from nearfar.data.audio import RATE
from nearfar.systems.tables import markdown

HEAD = "# Scoring by an exported file\n\nMade by `benchmarks/score.py`; do not edit."
KILLS, REPEATED = 20, 20
PEAK = re.compile(r"VmHWM:\s+(\d+)")
COLD = """
import sys
from nearfar.cli import main
status = main(["score", *sys.argv[1:]])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(status)
"""


def clip(path):
    """Write 10 s of noise that both microphones hear otherwise."""
    rng = np.random.default_rng(0)
    near = 0.1 * rng.standard_normal(10 * RATE)
    far = 0.5 * np.roll(near, 20) + 0.05 * rng.standard_normal(len(near))
    soundfile.write(path, np.stack([near, far], axis=1), RATE, subtype="PCM_16")
    return path


def cold(model, machine, path):
    """Return seconds, CPU-seconds and peak MB of a process that scores one clip: of three the one of least CPU time."""
    runs = []
    for _ in range(3):
        before, start = os.times(), time.perf_counter()
        words = [sys.executable, "-c", COLD, model, str(path), "--machine", machine]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        seconds, after = time.perf_counter() - start, os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        runs.append((spent, seconds, int(PEAK.search(done.stdout)[1]) / 1000))
    return min(runs)


def warm(model, machine, path):
    """Return the median CPU-milliseconds of a clip in a process that has scored one, and the standard deviation."""
    wave, rate = soundfile.read(path, dtype="float32")
    loaded, times = nearfar.load(model), []
    for _ in range(REPEATED + 1):
        start = time.process_time()
        loaded.score(wave, rate, machine)
        times.append(1000 * (time.process_time() - start))
    return np.median(times[1:]), np.std(times[1:])


def killed(model, machine, path, folder):
    """Kill a watcher KILLS times while clips arrive; return how many clips there were, had one row, several, none."""
    inbox, out, rng = Path(folder, "inbox"), Path(folder, "out.csv"), np.random.default_rng(0)
    inbox.mkdir()
    words = ["score", model, "--machine", machine, "--watch", str(inbox), "--out", str(out)]
    command, quiet = [sys.executable, "-m", "nearfar.cli", *words], subprocess.DEVNULL
    for kill in range(KILLS + 1):
        for number in range(10):
            shutil.copy(path, inbox / f"{kill}_{number}.wav")
        enough = 10 * (KILLS + 1) if kill == KILLS else lines(out) + 1 + int(rng.integers(9))
        watcher, end = subprocess.Popen(command, stdout=quiet), time.monotonic() + 300
        while lines(out) < enough and time.monotonic() < end:
            time.sleep(0.003)
        watcher.kill()
        watcher.wait()
    with open(out, newline="") as file:
        counts = Counter(row["clip"] for row in csv.DictReader(file))
    there = [place.name for place in inbox.iterdir()]
    found = [counts[name] for name in there]
    return len(there), found.count(1), sum(count > 1 for count in found), found.count(0)


def lines(path):
    """Return how many rows a csv has by now."""
    return max(path.read_bytes().count(b"\n") - 1, 0) if path.exists() else 0


def main():
    """Write the page."""
    models, rows, page = sys.argv[1:], [], Path(__file__).parent / "score.md"
    with tempfile.TemporaryDirectory() as folder:
        path = clip(Path(folder, "clip.wav"))
        for model in models:
            loaded = nearfar.load(model)
            machine, size = loaded.machines[0], Path(model).stat().st_size / 1e6
            loaded.bundle.copy(Path(folder, "one.nearfar"), [machine])
            one = Path(folder, "one.nearfar").stat().st_size / 1e6
            (spent, seconds, peak), (median, spread) = cold(model, machine, path), warm(model, machine, path)
            name = f"{loaded.about['system']}, {len(loaded.machines)} machines"
            rows.append([name, f"{size:.1f}", f"{one:.1f}", f"{seconds:.1f}", f"{spent:.2f}", f"{peak:.0f}"])
            rows[-1].append(f"{median:.0f} ± {spread:.0f}")
        there, once, twice, never = killed(models[-1], machine, path, folder)
    columns = ("file", "MB", "MB of one machine", "cold, s", "cold, CPU-s", "peak, MB", "warm, CPU-ms")
    load = f"One thread; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores: seconds show it, CPU-seconds hardly."
    write_section(page, HEAD, "One clip of 10 s", f"{load}\n\n{markdown(rows, columns)}\n")
    text = f"{there} clips arrived: {once} scored once, {twice} more than once, {never} never.\n"
    write_section(page, HEAD, f"A watcher killed by SIGKILL {KILLS} times", text)


if __name__ == "__main__":
    main()
