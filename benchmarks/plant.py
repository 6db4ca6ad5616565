"""A simulated plant: many machines of a few tiny clips each, and what the workflow takes to plan and to run them.

    python benchmarks/plant.py FOLDER plan      # dry runs of 30 to 1,000 machines
    python benchmarks/plant.py FOLDER arrive    # a new clip on one of 1,000 machines that have all their results
    python benchmarks/plant.py FOLDER run       # 25, 50 and 100 machines run through on two cores

FOLDER is made, and kept. Clips are hard links to few files of noise, so no two of a machine are alike.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
NORMAL, NEW = 30, 6  # clips of a machine
WAVES = 997  # files of noise, a prime: the clips of no two machines are the same ones in the same order
SIZES, RUN = (30, 100, 300, 1000), (25, 50, 100)
TRAINING = 100  # machines that the networks are trained on, where it is not all
TABLES = [f"results/{system}/ranking.csv" for system in ("system1", "system5")]
CHEAP = {"families": {"raw": ["raw"], "logmel": ["logmel_near", "logmel_near_scaled"]}, "combine": "soft_maximum"}
TOUCH = """
import sys
from pathlib import Path
from snakemake.cli import main
from snakemake.executors.touch import Executor
run = Executor.run_job
def run_job(self, job):
    for path in map(Path, job.output):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run(self, job)
Executor.run_job, Executor.SLEEPING_TIME = run_job, 0
main()
"""  # snakemake --touch with an empty file for each output that is not there, and no pause after each


class Plant:
    """A folder with ``count`` machines, ``<machine>/normal`` and ``<machine>/new``, and the workflow's settings.

    training: the number of machines that networks are trained on; all without it.
    """

    def __init__(self, folder: Path, count: int, training: int | None = None):
        self.folder = folder / str(count)
        if made := not self.folder.exists():
            waves = _waves(folder / "waves")
            for number in range(count):
                _link(waves, number, self.folder / "data" / _name(number))
        settings = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
        settings["data"] |= {"root": "data", "layout": "folders"}
        settings["systems"]["cheap"] = CHEAP
        settings["training"]["machines"] = training and [_name(number) for number in range(training)]
        (self.folder / "config").mkdir(exist_ok=True)
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        if made:
            planned(self, TABLES[0])  # reads all clips, which no later plan does

    def snakemake(
        self, *arguments: str, program: Iterable[str] = ("-m", "snakemake")
    ) -> tuple[float, float, float, str]:
        """Return seconds, CPU-seconds with the jobs', the largest process's peak in MB, and what was printed."""
        command = [sys.executable, *program, *arguments, "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
        command += ["--workflow-profile", str(ROOT / "profiles/default")]
        start = time.perf_counter()
        with open(self.folder / "printed", "w+", encoding="utf-8") as printed:
            child = subprocess.Popen(command, cwd=self.folder, stdout=printed, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - start
            printed.seek(0)
            text = printed.read()
        if status:
            raise SystemExit(text[-5000:])
        return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, text


def _name(number):
    return f"machine{number:04d}"


def _waves(folder):
    """Return the paths of WAVES files of noise of a second, two channels of 16 kHz."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    paths, rng = [folder / f"{number:03d}.wav" for number in range(WAVES)], np.random.default_rng(0)
    for path in paths:
        soundfile.write(path, 0.1 * np.clip(rng.standard_normal((16000, 2)), -4, 4), 16000)
    return paths


def _link(waves, number, folder):
    """Put the clips of a machine into its folder."""
    for kind, first, count in (("normal", 0, NORMAL), ("new", NORMAL, NEW)):
        (folder / kind).mkdir(parents=True)
        for clip in range(first, first + count):
            os.link(waves[(number * (NORMAL + NEW) + clip) % WAVES], folder / kind / f"{clip:04d}.wav")


def planned(plant: Plant, *targets: str) -> tuple[float, float, float, int]:
    """Return seconds, CPU-seconds, MB and jobs of a dry run, which prints every job."""
    *costs, text = plant.snakemake(*targets, "--dry-run")
    found = re.search(r"^total +(\d+)", text, re.MULTILINE)
    return *costs, int(found[1]) if found else 0


def exponent(sizes: Iterable[float], costs: Iterable[float]) -> float:
    """Return the slope of log cost over log size."""
    return np.polyfit(np.log(list(sizes)), np.log(list(costs)), 1)[0]


def plan(folder: Path) -> Iterator[str]:
    """Yield a table of dry runs, of one clip table too: as much as each job of a cluster reads of the workflow."""
    yield "| target | machines | trained on | jobs | seconds | CPU-seconds | MB |\n|---|---|---|---|---|---|---|"
    for table in (f"results/clips/train/{_name(0)}.parquet", *TABLES):
        for count, training in (*((size, None) for size in SIZES), (SIZES[-1], TRAINING)):
            plant = Plant(folder, count, training)
            seconds, cpu, memory, jobs = planned(plant, table)
            about = f"| {table} | {count} | {training or 'all'} | {jobs}"
            yield f"{about} | {seconds:.1f} | {cpu:.1f} | {memory:.0f} |"


def arrive(folder: Path) -> Iterator[str]:
    """Yield what the plan takes once a clip more is there, on a plant of its own whose results are empty files."""
    yield "| target | what | jobs | seconds | CPU-seconds | MB |\n|---|---|---|---|---|---|"
    plant, machine = Plant(folder / "arrive", SIZES[-1], TRAINING), _name(SIZES[-1] // 2)
    every = ["--touch", "--no-hooks", "--scheduler", "greedy", "--max-jobs-per-timespan", "1000000/1s"]
    plant.snakemake(TABLES[0], *every, "--quiet", "all", program=("-c", TOUCH))
    for what in ("nothing new", f"a clip more of {machine}"):
        if what != "nothing new":
            os.link(folder / "arrive/waves/000.wav", plant.folder / f"data/{machine}/new/{time.time_ns()}.wav")
        for target in (TABLES[0], f"results/system1/scores/{machine}.parquet"):
            seconds, cpu, memory, jobs = planned(plant, target)
            yield f"| {target} | {what} | {jobs} | {seconds:.1f} | {cpu:.1f} | {memory:.0f} |"


def run(folder: Path) -> Iterator[str]:
    """Yield what machines cost, on plants of their own that are run through without a network."""
    yield "| machines | jobs | seconds | CPU-seconds | a machine | MB of a process |\n|---|---|---|---|---|---|"
    costs = []
    for count in RUN:
        seconds, cpu, memory, text = Plant(folder / "run", count).snakemake("results/cheap/ranking.csv")
        costs.append(cpu)
        jobs = re.search(r"(\d+) jobs", text)[1]
        yield f"| {count} | {jobs} | {seconds:.0f} | {cpu:.0f} | {cpu / count:.2f} | {memory:.0f} |"
    yield f"\nExponent of the CPU-seconds: {exponent(RUN, costs):.2f}"


def main() -> None:
    """Print the table that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=("plan", "arrive", "run"))
    given = parser.parse_args()
    for line in {"plan": plan, "arrive": arrive, "run": run}[given.what](given.folder.absolute()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
