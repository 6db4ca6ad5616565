"""Six folders of recordings as people have them, each to a ranking in two commands: writes docs/own-recordings.md.

    .venv/bin/python benchmarks/own.py            all, or some:
    .venv/bin/python benchmarks/own.py dates mimii

The recordings are the simulated factory's, written as people would write them. What the two commands print is on the
page as they print it, the middle of long outputs left out. What stands above the first section is left as it is.
"""

import argparse
import os
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr
from page import write_section

from nearfar.factory import mix
from nearfar.factory.faults import KINDS

ROOT = Path(__file__).parents[1]
PLACE = Path("results/own")
PAGE = ROOT / "docs/own-recordings.md"
RATE, SHOWN = 16000, 34  # Hz of the factory; lines of a run that are shown at most


def wave(machine, number, fault="", seconds=4.0, rate=RATE, channels=2):
    """Return (frames, channels) of a simulated machine at ``rate``."""
    label, split = ("anomaly", "test") if fault else ("normal", "train")
    clip = mix.Clip(machine, "source", split, label, number, fault)
    sound = sum(mix.parts(clip, seconds, 0, noise_sources=4))[:channels].T
    return soxr.resample(sound, RATE, rate, "VHQ") if rate != RATE else sound


def write(path, sound, rate=RATE):
    """Write a recording, in the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(sound, -1, 1), rate)


def fault_of(number):
    """Return the fault of every third recording, none of the others."""
    return KINDS[number // 3 % len(KINDS)] if number % 3 == 0 else ""


def dates(root):
    """One microphone, 44.1 kHz FLAC, dates as names."""
    for day in range(1, 31):
        write(root / f"pump3/normal/2024-05-{day:02d}_12-00.flac", wave("fan", day, rate=44100, channels=1), 44100)
    for day in range(1, 13):
        sound = wave("fan", day + 50, fault_of(day), rate=44100, channels=1)
        write(root / f"pump3/new/2024-06-{day:02d}_12-00.flac", sound, 44100)


def mimii(root):
    """MIMII's folders: a type of machine, its machines, normal beside abnormal, numbers as names."""
    for machine, kind in (("id_00", "fan"), ("id_02", "fan_2")):
        for number in range(45):
            write(root / f"fan/{machine}/normal/{number:08d}.wav", wave(kind, number))
        for number in range(12):
            write(root / f"fan/{machine}/abnormal/{number:08d}.wav", wave(kind, number, KINDS[number % 4]))


def two_lengths(root):
    """Two channels at 48 kHz, recordings of 4 and of 6 seconds."""
    for number in range(40):
        write(
            root / f"press/normal/{number}.wav", wave("slider", number, seconds=4 + number % 2 * 2, rate=48000), 48000
        )
    for number in range(12):
        sound = wave("slider", number + 50, fault_of(number), 4 + number % 2 * 2, 48000)
        write(root / f"press/new/{number}.wav", sound, 48000)


def long(root):
    """One recording of 30 minutes a machine, and one of 10 minutes to be judged, faulty in its last quarter."""
    normal = [wave("gearbox", number, seconds=60.0) for number in range(40)]
    faulty = [wave("gearbox", number, "modulation", 60.0) for number in range(3)]
    write(root / "mill/normal/spring.flac", np.concatenate(normal[:30]))
    write(root / "mill/new/today.flac", np.concatenate(normal[30:37] + faulty))
    write(root / "mill/new/yesterday.flac", np.concatenate(normal[35:40]))


def few(root):
    """Twenty normal recordings, and no more."""
    for number in range(20):
        write(root / f"fan7/normal/{number}.wav", wave("fan", number))
    for number in range(9):
        write(root / f"fan7/new/{number}.wav", wave("fan", number + 50, fault_of(number)))


def broken(root):
    """A folder with a broken, a silent and a 0-byte recording among others, and a machine with almost none."""
    few(root)
    (root / "fan7/normal/cut.wav").write_bytes((root / "fan7/normal/0.wav").read_bytes()[:20000])
    write(root / "fan7/new/silent.wav", np.zeros((64000, 2)))
    (root / "fan7/new/nothing.wav").touch()
    for number in range(3):
        write(root / f"fan8/normal/{number}.wav", wave("fan_2", number))
        write(root / f"fan8/new/{number}.wav", wave("fan_2", number + 50))


CASES = {
    "dates": dates,
    "mimii": mimii,
    "two_lengths": two_lengths,
    "long": long,
    "few": few,
    "broken": broken,
}


def typed(command):
    """Run a command as it is typed; return what it printed and its seconds. Raises where it fails."""
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stdout}")
    return done.stdout.strip(), time.monotonic() - begun


def shortened(text):
    """Return the lines of a run without what Snakemake says of itself, the middle left out."""
    lines = [
        line for line in text.split("\n") if not re.match("Using workflow|Config file|Assuming|Complete log", line)
    ]
    head, tail = lines[:6], lines[-(SHOWN - 6) :]
    return "\n".join(lines if len(lines) <= SHOWN else [*head, "…", *tail])


def section(name, make):
    """Make a case's recordings, run the two commands and return the text of its section."""
    recordings = PLACE / "recordings" / name
    if not (ROOT / recordings).is_dir():
        make(ROOT / recordings)
    table, settings = PLACE / f"{name}.csv", PLACE / f"{name}.yaml"
    first = f".venv/bin/nearfar import {recordings} --out {table} --force"
    said, _ = typed(first)
    data = re.search(r"^    data: .*", said, re.M)[0].strip()
    text = f"results: {PLACE / name}\n{data}\n"
    (ROOT / settings).write_text(text, encoding="utf-8")
    system = re.search(r"(\w+)/ranking.csv", said)[1]
    tables = f"{PLACE}/{name}/{system}/ranking.csv" + (
        f" {PLACE}/{name}/{system}/timeline.csv" if name == "long" else ""
    )
    second = f".venv/bin/snakemake --cores 2 {tables} --configfile {settings}"
    shown, seconds = typed(second)
    blocks = [f"$ {first}\n{said}", text.strip(), f"$ {second}\n{shortened(shown)}"]
    beside = " beside other work" if os.getloadavg()[2] > 3 else ""  # of the last quarter of an hour
    words = f"{make.__doc__} The second command took {seconds:.0f} s on two cores{beside}."
    return "\n\n".join([words, *(f"```\n{block}\n```" for block in blocks)])


def main():
    """Write the sections that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", choices=[[], *CASES])
    for name in parser.parse_args().cases or CASES:
        head = PAGE.read_text(encoding="utf-8").split("\n## ")[0]
        write_section(PAGE, head, name.replace("_", " "), section(name, CASES[name]))


if __name__ == "__main__":
    main()
