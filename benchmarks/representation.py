"""What the backbone, the adapter and its parts bring: runs the workflow once a variant and data set, prints a table.

    .venv/bin/python benchmarks/representation.py [--seeds 5] [--cores 2] [--core] [--variants …]

Simulated factories of several seeds, and data/emulated where it is there (docs/evidence.md says how to make it).
Everything stays in results/representation/, so a second call goes on where the first was stopped.
"""

import argparse
import csv
import statistics
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
VARIANTS = {  # name: settings, and whether the whole ensemble is run or the density core and the probe alone
    "untrained": ({"features": {"eat": {"backbone": UNTRAINED, "adapter": None}}}, True),
    "pre-trained": ({"features": {"eat": {"adapter": None}}}, True),
    "pre-trained, adapted": ({}, True),
    "the same without alignment": ({"features": {"eat": {"adapter": {"alignment": 0.0}}}}, False),
    "the same without pseudo-attributes": ({"training": {"pseudo_attributes": False}}, False),
}
SMALL_MACHINES = {name: {"params": {"components": 32}} for name in ("flow", "lccr_flow", "c1")}


def snakemake(settings, targets, cores):
    """Run the workflow with ``settings`` over the defaults."""
    path = ROOT / settings["results"] / "settings.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", str(cores), "--configfile", str(path), "-q"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def data_sets(seeds, cores):
    """Return a dict from data set to the settings that name it; make the simulated ones."""
    found = {}
    for seed in range(seeds):
        results = str(FOLDER / f"factory{seed}")
        machines = [f"{results}/factory/{machine}" for machine in ("fan", "gearbox", "slider")]
        snakemake({"results": results, "seed": seed}, machines, cores)
        found[f"simulated {seed}"] = {"data": {"root": f"{results}/factory"}, "seed": seed}
    if (ROOT / "data/emulated").is_dir():
        found["emulated real"] = {"data": {"root": "data/emulated"}, "detectors": SMALL_MACHINES}
    return found


def measure(variant, whole, name, data, cores):
    """Return the figures of a variant on a data set, a dict from their name to percent; of system 1 if ``whole``."""
    settings = VARIANTS[variant][0]
    results = FOLDER / f"{variant} on {name}".replace(" ", "_").replace(",", "")
    tables = {"core": results / "core/eval.csv", "knn": results / "knn/eval.csv"}
    if whole:
        tables["system 1"] = results / "system1/eval.csv"
    systems = {"systems": {"knn": {"weights": {"knn": 1.0}}}}
    snakemake(data | settings | systems | {"results": str(results)}, list(map(str, tables.values())), cores)
    figures = {}
    for table, path in tables.items():
        with open(ROOT / path, newline="") as file:
            row = list(csv.DictReader(file))[-1]
        figures |= {f"{table} official": float(row["omega"]), f"{table} own": float(row["omega_own"])}
    return figures


def row(variant, label, runs):
    """Return a line of the table: the mean over runs and, of several, their standard deviation."""
    cells = []
    for key in (f"{table} {kind}" for table in ("knn", "core", "system 1") for kind in ("official", "own")):
        values = [run[key] for run in runs if key in run]
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        cells.append(f"{statistics.mean(values):.1f}{spread}" if values else "–")
    return " | ".join(["", label, variant, *cells, ""]).strip()


def main():
    """Measure every variant on every data set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--core", action="store_true", help="the density core and the probe alone, without system 1")
    arguments = parser.parse_args()
    sets = data_sets(arguments.seeds, arguments.cores)
    print("| data | variant | kNN probe Ω | own | core Ω | own | system 1 Ω | own |\n|---|---|---|---|---|---|---|---|")
    for label in ("simulated", "emulated real"):
        chosen = {name: data for name, data in sets.items() if name.startswith(label)}
        for variant in arguments.variants if chosen else ():
            whole = VARIANTS[variant][1] and not arguments.core
            runs = [measure(variant, whole, name, data, arguments.cores) for name, data in chosen.items()]
            print(row(variant, f"{label}, {len(runs)} seeds" if len(runs) > 1 else label, runs), flush=True)


if __name__ == "__main__":
    main()
