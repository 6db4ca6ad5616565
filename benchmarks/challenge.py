"""A data set of the challenge's size, from its 14,400 real names; with --measure, what the workflow takes over it.

    python benchmarks/challenge.py FOLDER [--measure]

The clips are hard links to one noise for each length, in the layout and with the lengths of config/dcase2026.yaml.
"""

import argparse
import csv
import gzip
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import soundfile
import yaml
from conftest import ROOT, SHARED, noise

from nearfar.challenge import sets as challenge
from nearfar.data.names import attribute_pairs, parse

NAMES = SHARED / "reference/dcase2026_filenames.txt.gz"
CONFIG = ROOT / "config/dcase2026.yaml"


def make(root, names, sets):
    """Write the clips ``names`` (texts <machine>/<split>/<file>) below ``root``, and attributes_00.csv files."""
    folders, expected, tables = challenge.folders(root, sets), challenge.expected(sets), defaultdict(list)
    for name in names:
        machine, split, file = name.split("/")
        path = folders[machine] / split / file
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(_noise(root, expected[machine]["seconds"][0]), path)
        if parse(file, split).domain:
            tables[machine].append([name, *(w for pair in attribute_pairs(parse(file, split).attribute) for w in pair)])
    for machine, rows in tables.items():
        width = max(map(len, rows)) // 2
        header = [f"d{i}{letter}" for i in range(1, 1 + width) for letter in "pv"]
        with open(folders[machine] / "attributes_00.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["file_name", *header], *rows])


def _noise(root, seconds):
    path = Path(root, "noise", f"{seconds}.wav")
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, noise(("challenge",), seconds), 16000, subtype="PCM_16")
    return path


def measure(root):
    """Print time, memory and job counts of the dry run of all systems, and the time of the clip tables."""
    config, out = yaml.safe_load(CONFIG.read_text()), f"{root}/results"
    systems = [f"{out}/system{i}/{table}.csv" for i in (1, 2, 3, 4) for table in ("eval", "ranking")]
    systems += [f"{out}/submission.zip", f"{out}/compare.md"]
    machines = [machine for about in config["data"]["sets"].values() for machine in about["machines"]]
    tables = [
        f"{out}/clips/{split}/{machine}.parquet" for machine in sorted(set(machines)) for split in ("train", "test")
    ]
    for what, arguments in {
        "dry run": [*systems, "--dry-run", "--quiet", "rules"],
        "clip tables": [*tables, "--quiet", "all"],
        "dry run with the clip tables there": [*systems, "--dry-run", "--quiet", "all"],
        "data.md": ["download", "--quiet", "all"],
    }.items():
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = snakemake(root, out, arguments)
        wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(*re.findall(r"Job stats:(.*?total +\d+)", done.stdout, re.DOTALL)[:1])
        print(f"{what}: {wall:.1f} s ({cpu:.1f} s of CPU), at most {after.ru_maxrss / 2**20:.2f} GiB", flush=True)
    print(Path(out, "data.md").read_text())


def snakemake(root, out, arguments):
    """Run snakemake over the data set at ``root`` and return the finished process."""
    changes = {"results": out, "data": {"root": str(root)}}
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--configfile", str(CONFIG)]
    return subprocess.run([*command, "--config", *overrides], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="does not exist yet")
    parser.add_argument("--names", type=Path, default=NAMES, help="gzip text of <machine>/<split>/<file> lines")
    parser.add_argument("--measure", action="store_true")
    given = parser.parse_args()
    make(
        given.folder,
        gzip.decompress(given.names.read_bytes()).decode().split(),
        yaml.safe_load(CONFIG.read_text())["data"]["sets"],
    )
    if given.measure:
        measure(given.folder.resolve())
