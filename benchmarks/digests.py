"""How long it takes to see whether a data set of the challenge's size has changed: prints a table.

    .venv/bin/python benchmarks/digests.py FOLDER

Writes 14,400 clips of 640 kB (9.2 GB) below FOLDER, which must not exist, and removes them in the end.
"""

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from project import ROOT  # noqa: F401 - puts our modules on the path

from nearfar.data import dataset
from nearfar.systems.tables import markdown

MACHINES, CLIPS, SIZE = 12, 1200, 640_000


def write(root):
    """Write the clips: one block of noise, each with its number at the beginning."""
    noise = np.random.default_rng(0).bytes(SIZE)
    for machine in range(MACHINES):
        folder = root / f"machine{machine:02d}/train"
        folder.mkdir(parents=True)
        for clip in range(CLIPS):
            head = f"{machine} {clip}".encode()
            (folder / f"section_00_source_train_normal_{clip:04d}.wav").write_bytes(head + noise[len(head) :])


def measured(root):
    """Return (digests, seconds, CPU-seconds) of looking at all machines, as a run does while it is parsed."""
    dataset.fingerprint.cache_clear()
    start, cpu = time.perf_counter(), time.process_time()
    found = [dataset.fingerprint(root / f"machine{machine:02d}", "train") for machine in range(MACHINES)]
    return found, time.perf_counter() - start, time.process_time() - cpu


def main():
    """Measure a first look, one at what did not change, and one after some clips were touched."""
    root = Path(sys.argv[1])
    root.mkdir()
    try:
        write(root)
        time.sleep(3)  # a digest of a file this young is not kept
        os.chdir(root)
        rows, first = [], None
        for name in ("never seen", "unchanged", "100 clips touched", "unchanged"):
            if "touched" in name:
                for path in sorted((root / "machine00/train").iterdir())[:100]:
                    os.utime(path)
            found, wall, cpu = measured(root)
            first = first or found
            rows.append((name, f"{wall:.2f}", f"{cpu:.2f}", "same" if found == first else "other"))
        print(markdown(rows, ("", "s", "CPU-s", "digests")))
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
