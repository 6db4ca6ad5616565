"""What the backbone, the adapter and its parts bring: writes benchmarks/representation.md.

Runs the workflow once a variant and data set; the section of that number of seeds is written anew.

    .venv/bin/python benchmarks/representation.py [--seeds 5] [--cores 2] [--variants …]

Simulated factories of several seeds, and data/emulated where it is there (docs/evidence.md says how to make it).
The variants of a data set share one results folder, so what a variant does not change is computed once; its scores are
kept in results/representation/<data set>/<variant>, and a second call goes on where the first was stopped.

Simulated: mean and standard deviation over seeds, differences to the variant named with their 95 % t interval over the
same seeds. Emulated: 95 % intervals of the paired bootstrap over clips.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from page import write_section

from nearfar.comparison.bootstrap import interval, resample
from nearfar.systems.metrics import omega
from nearfar.systems.sections import labelled_sections
from nearfar.systems.tables import markdown

ROOT = Path(__file__).parents[1]
HEAD = """# What the backbone, the adapter and its parts bring

Made by `benchmarks/representation.py`; do not edit. Ω in percent. `knn` is that detector by itself, which tells what a
distance in the embedding hears; *adapted* is the default. Simulated: mean ± standard deviation over seeds of data,
weights and training; after the semicolon the difference to the variant under *against*, paired by seed, with its 95 % t
interval. Emulated real recordings: one set, 95 % intervals of the paired bootstrap over clips.
[docs/evidence.md](../docs/evidence.md#representation) says what follows from it.
"""
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


def drawn(kept, system, kind):
    """Return Ω in percent of a variant's system under 2,000 draws, the sample itself first."""
    scores = {path.stem: path for path in sorted((kept / system / "scores").glob("*.parquet"))}
    clips = {machine: kept.parent / "work/clips/test" / path.name for machine, path in scores.items()}
    sections = labelled_sections(clips, scores)
    return 100 * omega(resample(sections, seed=0, resamples=2000), kind)


def over_seeds(values, against):
    """Return the cell of several seeds: mean ± standard deviation, and the difference with its t interval."""
    from scipy.stats import t

    values = [one[0] for one in values]
    cell = f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"
    if against is None:
        return cell
    gains = np.array(values) - [one[0] for one in against]
    half = t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
    return f"{cell}; {gains.mean():+.1f} [{gains.mean() - half:+.1f}, {gains.mean() + half:+.1f}]"


def over_clips(values, against):
    """Return the cell of one data set: Ω with its bootstrap interval, and the paired difference with its own."""
    (one,), cells = values, []
    for draws, sign in ((one, ""), (None if against is None else one - against[0], "+")):
        if draws is not None:
            low, high = interval(draws)
            cells.append(f"{draws[0]:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]")
    return "; ".join(cells)


def compared(found, variants, kind):
    """Return the table of a ``kind`` of Ω; found: dict from (data set, variant) to the folder with its scores."""
    rows = []
    for label, cell in (("simulated", over_seeds), ("emulated", over_clips)):
        names = list(dict.fromkeys(name for name, _ in found if name.startswith(label)))
        for variant in variants if names else ():
            base = VARIANTS[variant][1] if VARIANTS[variant][1] in variants else None
            cells = [
                cell(*([drawn(found[n, v], system, kind) for n in names] if v else None for v in (variant, base)))
                for system in SYSTEMS
            ]
            rows.append([f"{label}, {len(names)}", variant, base or "–", *cells])
    return markdown(rows, ["data", "variant", "against", *SYSTEMS])


def main():
    """Measure every variant on every data set and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    found = {}
    for name, data in data_sets(arguments.seeds).items():
        for variant in arguments.variants:
            found[name, variant] = measure(variant, name, data, arguments.cores)
            print(name, variant, file=sys.stderr, flush=True)
    tables = [compared(found, arguments.variants, kind) for kind in ("omega", "omega_own")]
    text = f"Official:\n\n{tables[0]}\n\nOwn-domain:\n\n{tables[1]}"
    write_section(ROOT / "benchmarks/representation.md", HEAD, f"{arguments.seeds} seeds", text)


if __name__ == "__main__":
    main()
