"""Our systems and raw detector beside others' scores of the emulated real recordings, paired: prints the comparison.

    .venv/bin/python benchmarks/anchors.py > anchors.md

Needs ../shared/real/anchors and, in results/emulated, the eval.csv of all systems and detectors.csv.
"""

import csv
from pathlib import Path

import numpy as np
import yaml

from nearfar.comparison.compare import compare_sections
from nearfar.comparison.page import as_page
from nearfar.systems.sections import Section, labelled_sections

ROOT = Path(__file__).parents[1]
ANCHORS = ROOT.parent / "shared/real/anchors"
RESULTS = ROOT / "results/emulated"


def anchor_sections(path: Path, ours: list[Section]) -> list[Section]:
    """Return the sections of an anchor's csv (machine, file, domain, anomaly, score), clips as in ``ours``."""
    with open(path, newline="") as file:
        scores = {(row["machine"], row["file"]): float(row["score"]) for row in csv.DictReader(file)}
    return [part.with_scores(np.array([scores[part.machine, name] for name in part.file])) for part in ours]


def main():
    """Print the page."""
    machines = sorted(path.stem for path in (RESULTS / "clips/test").glob("*.parquet"))
    clips = {machine: RESULTS / "clips/test" / f"{machine}.parquet" for machine in machines}
    systems = yaml.safe_load((ROOT / "config/config.yaml").read_text())["systems"]
    folders = {name: RESULTS / name / "scores" for name in systems} | {"our raw": RESULTS / "normalized/raw"}
    sections = {
        name: labelled_sections(clips, {machine: folder / f"{machine}.parquet" for machine in machines})
        for name, folder in folders.items()
    }
    for path in sorted(ANCHORS.glob("*.csv")):
        sections[path.stem] = anchor_sections(path, sections["our raw"])
    print(as_page(*compare_sections(sections, seed=0, resamples=2000), 2000, {}), end="")


if __name__ == "__main__":
    main()
