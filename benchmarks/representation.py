"""What the backbone, the adapter and its parts bring: runs the workflow once a variant and data set, prints a table.

    .venv/bin/python benchmarks/representation.py [--seeds 5] [--cores 2] [--variants …]

Simulated factories of several seeds, and data/emulated where it is there (docs/evidence.md says how to make it).
The variants of a data set share one results folder, so what a variant does not change is computed once; its scores are
kept in results/representation/<data set>/<variant>, and a second call goes on where the first was stopped.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
FOLDER = Path("results/representation")
UNTRAINED = {
    "name": "untrained",
    "config": {"embed_dim": 128, "depth": 4, "num_heads": 2, "max_length": 128},
}
VARIANTS = {  # name: settings, and the variant it is compared with
    "untrained": ({"features": {"eat": {"backbone": UNTRAINED, "adapter": None}}}, None),
    "pre-trained": ({"features": {"eat": {"adapter": None}}}, "untrained"),
    "adapted": ({}, "pre-trained"),
    "adapted, no alignment": ({"features": {"eat": {"adapter": {"alignment": 0.0}}}}, "adapted"),
    "adapted, no pseudo-attributes": ({"training": {"pseudo_attributes": False}}, "adapted"),
}
SYSTEMS = ("knn", "core", "system1")
SMALL_MACHINES = {name: {"params": {"components": 32}} for name in ("flow", "lccr_flow", "c1")}


def data_sets(seeds):
    """Return a dict from the name of a data set to the settings that choose it."""
    found = {f"simulated_{seed}": {"seed": seed} for seed in range(seeds)}
    if (ROOT / "data/emulated").is_dir():
        found["emulated"] = {"data": {"root": "data/emulated"}, "detectors": SMALL_MACHINES}
    return found


def measure(variant, name, data, cores):
    """Run a variant on a data set and keep its scores, unless they are there already."""
    kept, work = ROOT / FOLDER / name / variant.replace(", ", "_").replace(" ", "_"), ROOT / FOLDER / name / "work"
    if kept.is_dir():
        return kept
    work.mkdir(parents=True, exist_ok=True)
    settings = data | VARIANTS[variant][0] | {"systems": {"knn": {"weights": {"knn": 1.0}}}}
    path = work / "settings.yaml"
    path.write_text(yaml.safe_dump(settings | {"results": str(FOLDER / name / "work")}))
    targets = [str(FOLDER / name / "work" / system / "eval.csv") for system in SYSTEMS]
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", str(cores), "--configfile", str(path), "-q"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    half = kept.with_name(kept.name + ".part")
    shutil.rmtree(half, ignore_errors=True)
    for system in SYSTEMS:
        shutil.copytree(work / system, half / system)
    half.rename(kept)
    return kept


def main():
    """Measure every variant on every data set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    for name, data in data_sets(arguments.seeds).items():
        for variant in arguments.variants:
            measure(variant, name, data, arguments.cores)
            print(name, variant, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
