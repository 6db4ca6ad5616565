"""Writes benchmarks/results.md: every figure that the workflow's cost rests on, measured in one go (`make bench`).

.venv/bin/python benchmarks/bench.py Flows    # measures that section again, beside what stands there
"""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from project import ROOT

from nearfar.jobs.files import replacing

HERE = Path(__file__).parent
PACKAGES = ("snakemake", "torch", "numpy", "scipy", "scikit-learn", "pyarrow", "zuko", "normflows")


def machine():
    """Return what the figures were measured on."""
    processor = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores of {processor.split(': ')[1]}, {memory:.0f} GiB; Python {platform.python_version()},"
        f" {packages}; commit {commit()}. Load when it began: {os.getloadavg()[0]:.1f}."
    )


def commit():
    """Return the short name of the commit that is measured, and -dirty where the tree is not it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def main(wanted):
    """Measure all sections, or of an earlier run only the ``wanted`` ones anew; the file is complete or as it was."""
    result = HERE / "results.md"
    if wanted:
        head, *old = result.read_text(encoding="utf-8").split("\n## ")
        text = dict(part.split("\n", 1) for part in old)
    else:
        head, text = f"# What nearfar costs\n\nMade by `make bench`; do not edit. {machine()}\n", {}
    for title in wanted or SECTIONS:
        print(title, file=sys.stderr, flush=True)
        begun = os.getloadavg()[0]
        section = subprocess.run(
            [sys.executable, HERE / SECTIONS[title]], stdout=subprocess.PIPE, text=True, check=True
        )
        load = f"the load {begun:.1f} when it began and {os.getloadavg()[0]:.1f} when it ended"
        again = f"Measured by itself at commit {commit()}, {load}.\n\n" if wanted else ""
        text[title] = f"\n{again}{section.stdout}"
    sections = [f"{title}\n{text[title].rstrip()}\n" for title in SECTIONS]
    with replacing(result) as temporary:
        temporary.write_text("\n## ".join([head, *sections]), encoding="utf-8")


SECTIONS = {  # title: the script that prints it, in a process of its own
    "`make run` in a fresh clone": "run.py",
    "The detector stage": "detectors.py",
    "Flows": "flows.py",
    "Threads of a job": "threads.py",
    "Extraction": "extraction.py",
    "Growth": "growth.py",
    "Wide views": "wide.py",
}

if __name__ == "__main__":
    main(sys.argv[1:])
