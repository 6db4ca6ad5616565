"""What one pass of all features, learned ones too, costs over clips of 10 s: writes benchmarks/training.md.

    .venv/bin/python benchmarks/training.py FOLDER                     # machines of 25 and of 50 clips
    .venv/bin/python benchmarks/training.py FOLDER --clips 100 200

Each stage of systems 1 and 5 runs by itself in the workflow, on simulated machines; CPU-seconds are those of its jobs,
Snakemake's own left out. The cost of a size that is not run is on the line through the two that are.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import yaml
from page import write_section
from project import ROOT

from nearfar.systems.tables import markdown

PAGE = Path(__file__).with_name("training.md")
HEAD = """# What the features cost

Made by `benchmarks/training.py`; do not edit. One pass of systems 1 and 5 over six machines with clips of 10 s and the
shipped backbone: CPU-seconds of each stage's jobs, one thread each, and the largest job's peak memory. In italics what
is on the line through the two sizes before it. *share*: of the CPU time of 12,000 clips.
"""
KINDS, OF_A_KIND = ("fan", "gearbox", "slider"), 2
WANTED, CHALLENGE = 12_000, 12  # clips and machines of what is computed
MACHINES = [f"{kind}_{number}" if number > 1 else kind for kind in KINDS for number in range(1, OF_A_KIND + 1)]
SPECTRAL = ("logmel/near", "logmel/residual", "spectrum/near", "spectrum/residual", "modulation/near", "rtf/pair")
STAGES = {  # in the order of the workflow: what each makes, {m} for every machine
    "reading the clips": ("clips/train/{m}.parquet", "clips/test/{m}.parquet", "signals/{m}.json"),
    "spectral features": tuple(f"features/{view}/{{m}}.parquet" for view in SPECTRAL),
    "frozen embedding, classes": ("classes/{m}.parquet",),
    "maps of LCCR": ("features/lccr/maps/{m}.npy",),
    "LCCR, training": ("models/lccr/model.safetensors",),
    "LCCR": ("features/lccr/pair/{m}.parquet",),
    "inputs of the classifier": ("features/classifier/images/near/{m}.npy",),
    "classifier, training": tuple(f"models/classifier/near/{fold}.safetensors" for fold in range(3)),
    "classifier": ("features/classifier/near/{m}.parquet",),
    "inputs of the adapter": ("features/inputs/{m}.npy",),
    "adapter, training": ("models/eat/model.safetensors",),
    "embedding": ("features/eat/near/{m}.parquet",),
}
USED = """
import atexit, json, resource
from snakemake.cli import main
def used():
    jobs = resource.getrusage(resource.RUSAGE_CHILDREN)
    print("USED", json.dumps([jobs.ru_utime + jobs.ru_stime, jobs.ru_maxrss / 1024]))
atexit.register(used)
main()
"""


class Cost(NamedTuple):
    """CPU-seconds of a stage's jobs, and the peak memory of the largest in MB."""

    seconds: float
    memory: float


def snakemake(folder: Path, *arguments: str) -> Cost:
    """Run the workflow in a folder and return what its jobs cost."""
    command = [sys.executable, "-c", USED, *arguments, "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles/default")]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-5000:])
    return Cost(*json.loads(done.stdout.rsplit("USED ", 1)[1]))


def measured(folder: Path, clips: int) -> dict[str, Cost]:
    """Return a dict from each stage to its cost, on new machines of so many training clips and four of test."""
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    target = max(5, clips // 100)  # as many as folds
    settings["factory"] |= {"machines": MACHINES, "seconds": 10.0, "test": 1}
    settings["factory"] |= {"train_source": clips - target, "train_target": target}
    (folder / "config").mkdir(parents=True)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    snakemake(folder, *(f"results/factory/{machine}" for machine in MACHINES))
    return {stage: snakemake(folder, *files(stage)) for stage in STAGES}


def files(stage: str) -> list[str]:
    """Return the paths that a stage makes."""
    patterns = [f"results/{pattern}" for pattern in STAGES[stage]]
    return sorted({pattern.format(m=machine) for pattern in patterns for machine in MACHINES})


def on_the_line(sizes: list[int], costs: list[float], size: int) -> float:
    """Return what ``size`` costs by the line through the first and the last of (``sizes``, ``costs``)."""
    slope = (costs[-1] - costs[0]) / (sizes[-1] - sizes[0])
    return costs[-1] + slope * (size - sizes[-1])


def hours(costs: dict[str, float], cores: int) -> float:
    """Return the hours of all stages, one after the other, their jobs of one thread spread over the cores."""
    jobs = {stage: len(made) * (CHALLENGE if "{m}" in made[0] else 1) for stage, made in STAGES.items()}
    return sum(costs[stage] * math.ceil(count / cores) / count for stage, count in jobs.items()) / 3600


def table(sizes: list[int], found: list[dict[str, Cost]]) -> str:
    """Return the page's section."""
    far = {stage: on_the_line(sizes, [part[stage].seconds for part in found], WANTED) for stage in STAGES}
    total = sum(far.values())
    rows = [
        [stage, *(f"{part[stage].seconds:.0f}" for part in found), f"*{far[stage]:.0f}*", f"{far[stage] / total:.0%}"]
        + [f"{part[stage].memory:.0f}" for part in found]
        for stage in STAGES
    ]
    sums = [f"{sum(cost.seconds for cost in part.values()):.0f}" for part in found]
    peaks = [f"{max(cost.memory for cost in part.values()):.0f}" for part in found]
    rows.append(["all", *sums, f"*{total:.0f}*", "100%", *peaks])
    names = [f"{size:,} clips, CPU-s" for size in sizes] + [f"{WANTED:,} clips", "share"]
    lines = [markdown(rows, ["stage", *names, *(f"{size:,} clips, MB" for size in sizes)]) + "\n"]
    spent = ", ".join(f"*{hours(far, cores):.2f}* on {cores}" for cores in (1, 2, 16))
    lines.append(f"Hours of {WANTED:,} clips of twelve machines by cores, without test clips and detectors: {spent}.\n")
    return "\n".join(lines)


def main(folder: Path, clips: list[int]) -> None:
    """Measure both sizes and write the section."""
    begun = os.getloadavg()[0]
    found = [measured(folder / str(count), count) for count in clips]
    load = f"The load was {begun:.1f} when it began and {os.getloadavg()[0]:.1f} when it ended.\n"
    sizes = [count * len(MACHINES) for count in clips]
    write_section(PAGE, HEAD, f"{' and '.join(map(str, clips))} clips a machine", load + "\n" + table(sizes, found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, nargs=2, default=[25, 50], help="of a machine")
    asked = parser.parse_args()
    main(asked.folder, asked.clips)
