"""What reading people's own recordings costs, and how true resampling is: writes benchmarks/recordings.md.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/recordings.py    all sections, or those named: Resampling Copy …

Makes a recording of two hours (0.8 GB) and takes two to three minutes; Copy, which runs two systems six times, a
quarter of an hour more.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
import yaml
from page import write_section
from scipy.signal import firwin, resample_poly
from scipy.signal.windows import kaiser

from nearfar.data import recordings
from nearfar.data.audio import RATE
from nearfar.data.importing import import_folder
from nearfar.data.recordings import Recording, read_window, scan
from nearfar.factory.build import build
from nearfar.systems.tables import markdown

HEAD = (
    "# Reading people's own recordings\n\nMade by `benchmarks/recordings.py`; do not edit. Times are CPU-ms, medians."
)
COPIES, SEEDS, SYSTEMS = Path("results/copies"), (100, 101, 102), ("system1", "system5")
RATES = (44100, 48000, 96000, 22050, 8000)
FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "opus": "OPUS", "mp3": "MPEG_LAYER_III"}
SECONDS, SINES, BETA = 10, 40, 17.0  # the Kaiser windows lie below -165 dB
MEMORY = """
from nearfar.data.recordings import Recording, probe, read_window, scan, windows
recording = Recording({path!r}, 0, 1)
for start in [None] if {whole} else windows(probe(recording.path).seconds, 10, 10):
    scan(recording) if start is None else read_window(recording, start, 10)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def sines(rate, low, high):
    """Return the sum of SINES sines of random phase from ``low`` to ``high`` Hz, (frames,), each of amplitude 0.02."""
    rng, times = np.random.default_rng(0), np.arange(SECONDS * rate) / rate
    return 0.02 * sum(np.sin(2 * np.pi * (f * times + rng.random())) for f in np.linspace(low, high, SINES))


def resampled(folder, wave, rate):
    """Return a wave (frames,) as read back from a file, without the steps at either end."""
    soundfile.write(folder / "a.wav", wave, rate, "FLOAT")
    return read_window(Recording(folder / "a.wav"))[RATE // 2 : -RATE // 2, 0].astype(np.float64)


def error(folder, rate):
    """Return what differs from scipy's polyphase in float64 (Kaiser, 0.9 to 1.0 of the lower Nyquist), in dB."""
    wave, most = sines(rate, 20, 0.9 * min(rate, RATE) / 2), max(rate, RATE) // gcd(rate, RATE)
    taps = firwin(2 * 120 * most + 1, 0.95 / most, window=("kaiser", BETA))
    exact = resample_poly(wave, RATE // gcd(rate, RATE), rate // gcd(rate, RATE), window=taps)[RATE // 2 : -RATE // 2]
    return 10 * np.log10(np.mean((resampled(folder, wave, rate) - exact) ** 2) / np.mean(exact**2))


def spurious(folder, rate):
    """Return the loudest alias of a sine (image, where the rate is below 16 kHz) against that sine, in dB."""
    most = min(rate, RATE) / 2
    heard = resampled(folder, sines(rate, *((8080, 0.49 * rate) if rate > RATE else (80, 0.9 * most))), rate)
    window = kaiser(len(heard), BETA)
    spectrum = np.abs(np.fft.rfft(heard * window)) / (0.01 * window.sum())
    return 20 * np.log10(spectrum[0 if rate > RATE else int(1.01 * len(spectrum) * most / (RATE / 2)) :].max())


def milliseconds(read, *arguments):
    """Return the median CPU time of 21 calls as text."""
    times = []
    for _ in range(21):
        began = time.process_time()
        read(*arguments)
        times.append(1000 * (time.process_time() - began))
    return f"{statistics.median(times):.1f}"


def fidelity(folder):
    """Return the table of how true resampling is, and of its cost."""
    rows, recording = [], Recording(folder / "b.wav", 0, 1)
    for rate, recordings.QUALITY in product(RATES, ("HQ", "VHQ")):
        soundfile.write(recording.path, np.random.default_rng(0).normal(0, 0.1, (rate * SECONDS, 2)), rate, "FLOAT")
        cut = np.abs(read_window(recording, 3.3, 5.0) - read_window(recording)[52800:132800]).max()
        figures = f"{error(folder, rate):.1f}", f"{spurious(folder, rate):.1f}", f"{cut:.0e}"
        rows.append([rate, recordings.QUALITY, *figures, milliseconds(read_window, recording)])
    return markdown(rows, ["Hz", "soxr", "error, dB", "alias, dB", "window less whole", "10 s of two channels, ms"])


def write(path, subtype, seconds):
    """Write ``seconds`` of noise at 48 kHz block by block (libsndfile's Vorbis needs that), return its Recording."""
    wave = np.random.default_rng(0).normal(0, 0.1, (480000, 2))
    container = "OGG" if path.suffix == ".opus" else path.suffix[1:].upper()
    with soundfile.SoundFile(path, "w", 48000, 2, subtype, format=container) as file:
        for part in np.array_split(wave, 100) * (seconds // SECONDS):
            file.write(part)
    return Recording(str(path), 0, 1)


def formats(folder):
    """Return the table of what formats cost."""
    rows = []
    for name, subtype in FORMATS.items():
        window = write(folder / f"a.{name}", subtype, 600), 300.1, 10.0
        rows.append([f"{name} {subtype}", milliseconds(read_window, *window), milliseconds(scan, *window)])
    return markdown(rows, ["10 s out of 10 min, 48 kHz, two channels", "read_window, ms", "scan, ms"])


def memory(folder):
    """Return the table of the peak memory and time of recordings of 10 s and 2 h."""
    rows = []
    for seconds, whole in product((10, 7200), (True, False)):
        path = write(folder / "long.flac", "PCM_16", seconds).path
        command = [sys.executable, "-c", MEMORY.format(path=path, whole=whole)]
        began = time.perf_counter()
        peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        what = "scan" if whole else "read_window, all of 10 s in turn"
        rows.append([f"{seconds} s", what, f"{int(peak) / 1024:.0f}", f"{time.perf_counter() - began:.1f}"])
    return markdown(rows, ["FLAC, 48 kHz, two channels", "", "MiB of the process", "wall-clock seconds with its start"])


def simulated(seed):
    """Write the default data of a seed, and return their folder."""
    about = yaml.safe_load(Path("config/config.yaml").read_text())["factory"]
    for machine in about.pop("machines"):
        build(machine, COPIES / f"{seed}/factory", **about, seed=seed)
    return COPIES / f"{seed}/factory"


def copied(factory, rate):
    """Write simulated data at ``rate``, whole up to 8 kHz, as PCM_24 under the same names, and return the folder.

    Folds and trainings go by the names, relative to the table in that folder: they are alike at all rates.
    """
    for path in sorted(factory.glob("*/*/*.wav")):
        copy = factory.parent / f"{rate}/recordings" / path.relative_to(factory)
        copy.parent.mkdir(parents=True, exist_ok=True)
        wave = soundfile.read(path)[0]
        if rate != RATE:  # from 0.99 to 1.01 of 8 kHz at 48 kHz
            steep = firwin(2 * 1000 + 1, RATE / rate, window=("kaiser", 10.0))
            wave = resample_poly(wave, rate // RATE, 1, window=steep)
        soundfile.write(copy, wave, rate, "PCM_24")
    return factory.parent / f"{rate}/recordings"


def omegas(root, seed):
    """Return Ω of all machines, in percent, of each of SYSTEMS on a folder that is imported as own recordings."""
    table, settings, results = root / "clips.csv", root.parent / "mine.yaml", root.parent / "results"
    import_folder(str(root), str(table), force=True)
    settings.write_text(f"results: {results}\nseed: {seed}\ndata: {{clips: {table}}}\n")
    made = [results / system / "eval.csv" for system in SYSTEMS]
    subprocess.run([".venv/bin/snakemake", "--cores", "2", *map(str, made), "--configfile", str(settings)], check=True)
    return [float(list(csv.DictReader(path.read_text().splitlines()))[-1]["omega"]) for path in made]


def copy(_):
    """Return the table of Ω of simulated data as they are, and of a copy at 48 kHz, both as own recordings."""
    pairs = {seed: [omegas(copied(simulated(seed), rate), seed) for rate in (RATE, 48000)] for seed in SEEDS}
    rows = []
    for i, system in enumerate(SYSTEMS):
        values = np.array([[pair[0][i], pair[1][i]] for pair in pairs.values()])
        for name, (whole, again) in zip([*SEEDS, "mean"], [*values, values.mean(axis=0)], strict=True):
            rows.append([system, str(name), f"{whole:.2f}", f"{again:.2f}", f"{again - whole:+.2f}"])
    return markdown(rows, ["Ω, percent", "seed", "16 kHz", "48 kHz copy", "difference"])


SECTIONS = {"Resampling": fidelity, "Formats": formats, "Memory": memory, "Copy": copy}


def main():
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS])
    with tempfile.TemporaryDirectory() as folder:
        for title in parser.parse_args().sections or SECTIONS:
            write_section(Path(__file__).with_suffix(".md"), HEAD, title, SECTIONS[title](Path(folder)))


if __name__ == "__main__":
    main()
