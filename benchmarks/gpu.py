"""A GPU beside the CPU of its machine, in one run: clips a second embedded, steps a second of every training.

    .venv/bin/python benchmarks/gpu.py                 # writes the section of that card in benchmarks/gpu.md
    .venv/bin/python benchmarks/gpu.py --device cpu    # a trial at a small size, printed only

Base size has random weights, and all input is noise. Each figure is the median of the repeats after a warm-up, the
device waited for before and after. FLOPs are counted by torch, attention included; peaks are the card's own, dense.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from growth import clips_of_noise
from page import write_section
from project import ROOT
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, one_hot
from torch.utils.flop_counter import FlopCounterMode

from nearfar.adapter.inputs import Inputs
from nearfar.adapter.training import Settings, trainee
from nearfar.backbones.base import load_backbone
from nearfar.backbones.embed import embed_machine
from nearfar.backbones.fbank import MELS, frame_count, input_length
from nearfar.backbones.source import fetch
from nearfar.classifier import network as classifier
from nearfar.jobs.devices import use_device
from nearfar.jobs.provenance import MODELS
from nearfar.lccr import network as lccr
from nearfar.learning.losses import codes, composite
from nearfar.learning.schedule import descend, seeded
from nearfar.pretraining.run import Run
from nearfar.systems.tables import markdown

PAGE = Path(__file__).with_name("gpu.md")
HEAD = """# A GPU beside the CPU

Made by `benchmarks/gpu.py` on the machine that a section names; do not edit. Medians after a warm-up. *the job* loads
the model, reads files and runs the front end on the CPU, one thread ahead of the model; *the model* is given its input.
On the GPU float32 is no TF32, and only deterministic algorithms run, as in the workflow. The share of the peak is that
of the card's float32 or bfloat16 rate, dense.
"""
PEAKS = {  # TFLOP/s of a card whose name holds the words: float32 without tensor cores, bfloat16 with; the first counts
    "H100 PCIe": (51.2, 756.0),
    "H100 NVL": (60.0, 835.0),
    "H100": (66.9, 989.4),
    "H200": (66.9, 989.4),
    "A100": (19.5, 312.0),
}
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Size:
    """How much is measured: that of the GPU, or of a trial."""

    backbones: dict  # name: (settings of an untrained EAT or None for the shipped one, seconds of a clip)
    batch: int  # clips embedded together
    clips: int  # of the job
    repeats: int
    counted: str  # the device whose operations are counted, which costs memory on a CPU


FULL = Size({"EAT base, 10 s": ({}, 10), "eat-small, 4 s": (None, 4)}, batch=32, clips=64, repeats=5, counted="cuda")
TINY = {"embed_dim": 48, "depth": 2, "num_heads": 3}
TRIAL = Size({"tiny, 1 s": (TINY, 1), "eat-small, 1 s": (None, 1)}, batch=4, clips=8, repeats=3, counted="cpu")


@dataclass(frozen=True)
class Row:
    """What is done a second on a device, and the FLOPs of one, None where they are not counted."""

    name: str
    unit: str
    per_second: float
    flops: float | None
    precision: str = "float32"


def rate(call: Callable, device: str, repeats: int, count: int = 1) -> float:
    """Return how many a second, each call making ``count``, the median over the repeats after two calls."""
    took = []
    for _ in range(2 + repeats):
        _wait(device)
        begun = time.perf_counter()
        call()
        _wait(device)
        took.append(time.perf_counter() - begun)
    return count / statistics.median(took[2:])


def _wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def flops(call: Callable, size: Size, device: str) -> int | None:
    """Return the floating-point operations of a call, a multiplication and an addition as two."""
    if device != size.counted:
        return None
    kernel = sdpa_kernel(SDPBackend.MATH) if device == "cpu" else nullcontext()  # torch counts no other on a CPU
    with FlopCounterMode(display=False) as counter, kernel:
        call()
    return counter.get_total_flops()


def embedding(name: str, backbone: Path, clips: Path, size: Size, device: str) -> Iterator[Row]:
    """Yield the rows of a backbone: the model given its input, and the whole job on files."""
    model, seconds, threads = load_backbone(backbone).to(device), size.backbones[name][1], torch.get_num_threads()
    tables = clips_of_noise(clips, size.clips, seconds)
    mels = torch.randn(size.batch, 1, input_length(frame_count(16000 * seconds)), MELS).to(device)

    def forward(precision, mels):
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            model.pool(model(mels).float(), mels.shape[2])

    def job(precision):
        how = {"batch": size.batch, "threads": threads, "device": device, "precision": precision}
        made = str(time.perf_counter_ns())  # so that no embedding of an earlier call is kept
        embed_machine(tables, backbone, {"near": clips / "near.parquet"}, made=made, **how)

    for precision in PRECISIONS:
        model_alone = rate(partial(forward, precision, mels), device, size.repeats, size.batch)
        one = flops(partial(forward, precision, mels[:1]), size, device)
        yield Row(f"embedding, {name}, the model", "clips", model_alone, one, precision)
        whole = rate(partial(job, precision), device, size.repeats, size.clips)
        yield Row(f"embedding, {name}, the job", "clips", whole, None, precision)


def adapter_step(config: dict, backbone: Path, seconds: int, device: str, precision: str) -> Callable:
    """Return a step of the adapter's training, as the workflow's default, on a batch of clips."""
    about = config["features"]["eat"]
    given = {key: value for key, value in about["adapter"].items() if key != "channels"}
    settings = Settings(**given | {"pooling": about["pooling"], "layers": about["layers"], "precision": precision})
    inputs = noise_inputs(settings.batch, seconds)
    network = trainee(backbone, settings, seed=0).to(device).train()
    optimizer = torch.optim.AdamW(network.learned().values(), lr=settings.lr)
    labels = [codes(words).to(device) for words in (inputs.classes, inputs.machines, inputs.domains)]
    mels = torch.from_numpy(np.stack(inputs.mels))[:, None].float()

    def step():
        found = network(mels.to(device), inputs.frames)
        losses = composite(found, *labels, temperature=settings.temperature, weight=settings.alignment)
        descend(optimizer, losses, key="adapter", epoch=0)

    return step


def noise_inputs(clips: int, seconds: int) -> Inputs:
    """Return the adapter's inputs of clips of noise: two machines of two classes, every eighth clip of the target."""
    frames, number = frame_count(16000 * seconds), np.arange(clips)
    mels = np.random.default_rng(0).normal(0, 0.5, (clips, input_length(frames), MELS)).astype(np.float16)
    classes, machines = (np.array([f"{name}{n % count}" for n in number]) for name, count in (("c", 4), ("m", 2)))
    return Inputs(list(mels), np.full(clips, frames), classes, machines, np.where(number % 8, "source", "target"))


def classifier_step(config: dict, device: str) -> Callable:
    """Return a step of the classifier's training on a batch of crops, 40 classes."""
    inputs, settings = config["features"]["classifier"]["inputs"], config["features"]["classifier"]["train"]
    shape = inputs["mels"], inputs["bands"], 40, settings["scale"]
    network = seeded(0, classifier.Trainee, *shape).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings["lr"])
    batch = settings["batch"]
    given = torch.randn(batch, inputs["mels"], settings["crop"]), torch.randn(batch, inputs["bands"])
    labels = one_hot(torch.arange(batch) % 40, 40).float()

    def step():
        images, spectra, shares = (part.to(device) for part in (*given, labels))
        descend(optimizer, [cross_entropy(network(images, spectra), shares)], key="classifier", epoch=0)

    return step


def lccr_step(config: dict, device: str) -> Callable:
    """Return a step of the LCCR network's training on a batch of crops."""
    mels, settings = config["features"]["lccr"]["maps"]["mels"], config["features"]["lccr"]["train"]
    network = seeded(0, lccr.Network, mels).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings["lr"])
    maps, number = torch.randn(settings["batch"], lccr.MAPS, mels, settings["crop"]), torch.arange(settings["batch"])
    labels = [label.to(device) for label in (number % 4, number % 2, (number % 8 == 0).long())]

    def step():
        losses = composite(
            network(maps.to(device)), *labels, temperature=settings["temperature"], weight=settings["alignment"]
        )
        descend(optimizer, losses, key="lccr", epoch=0)

    return step


def pretraining_step(config: dict, sizes: dict, seconds: int, device: str) -> Callable:
    """Return a step of the pre-training's objective, with the defaults of config/pretraining.yaml."""
    settings = {key: value for key, value in config["pretraining"]["train"].items() if key != "interval"}
    mels = np.stack(noise_inputs(settings["batch"], seconds).mels)
    return Run(sizes, mels, seed=0, device=device, **settings | {"steps": 100_000}).learn


def steps(config: dict, backbones: dict, size: Size, device: str) -> Iterator[tuple[str, str, Callable]]:
    """Yield the name, the precision and a step of every training."""
    for name, (_, seconds) in size.backbones.items():
        for precision in PRECISIONS:
            yield f"adapter, {name}", precision, adapter_step(config, backbones[name], seconds, device, precision)
    yield "classifier", "float32", classifier_step(config, device)
    yield "LCCR", "float32", lccr_step(config, device)
    name, (sizes, seconds) = next(iter(size.backbones.items()))
    yield f"pre-training, {name}", "float32", pretraining_step(config, sizes, seconds, device)


def measured(size: Size, device: str, folder: Path) -> list[Row]:
    """Return all rows of a device; backbones and clips are made in ``folder``."""
    use_device(device)
    config, backbones, rows = {}, {}, []
    for part in ("pretraining", "config"):
        config |= yaml.safe_load((ROOT / f"config/{part}.yaml").read_text(encoding="utf-8"))
    for name, (sizes, _) in size.backbones.items():
        clips, backbones[name] = folder / name, MODELS / "eat-small"
        if sizes is not None:
            backbones[name] = folder / "untrained"
            fetch("untrained", backbones[name], family="eat", config=sizes)
        clips.mkdir(parents=True)
        rows += embedding(name, backbones[name], clips, size, device)
    for name, precision, step in steps(config, backbones, size, device):
        rows.append(Row(name, "steps", rate(step, device, size.repeats), flops(step, size, device), precision))
    return rows


def share(row: Row, card: str) -> str:
    """Return the share of the card's peak as text: empty without a count of FLOPs, unknown for a card not in PEAKS."""
    if row.flops is None:
        return ""
    found = next((peaks for words, peaks in PEAKS.items() if words in card), None)
    return f"{row.per_second * row.flops / found[PRECISIONS.index(row.precision)] / 1e10:.1f} %" if found else "unknown"


def table(card: str, on_cpu: list[Row], on_card: list[Row]) -> str:
    """Return the table of a card, a thing measured a row."""
    rows = []
    for slow, fast in zip(on_cpu, on_card, strict=True):
        counted = f"{fast.flops / 1e9:.3g}" if fast.flops else ""
        figures = [f"{row.per_second:,.2f}" for row in (slow, fast)]
        times = f"{fast.per_second / slow.per_second:,.1f}"
        rows.append([fast.name, fast.precision, fast.unit, *figures, times, counted, share(fast, card)])
    return markdown(rows, ["", "precision", "a second", "CPU", "GPU", "times", "GFLOP each", "share of peak"])


def about(card: str, size: Size) -> str:
    """Return what the figures were measured on."""
    return (
        f"{card}, torch {torch.__version__}, CUDA {torch.version.cuda}; the CPU: {torch.get_num_threads()} threads of "
        f"{os.cpu_count()} cores. Embedded in batches of {size.batch}, the job on {size.clips} clips, near channel; "
        f"trainings with the defaults of config/, clips of noise. Medians of {size.repeats}."
    )


def main() -> None:
    """Measure; write the card's section, or print that of a trial."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    device = parser.parse_args().device
    size = FULL if device == "cuda" else TRIAL
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("gpu.py: torch finds no CUDA here, so nothing is measured; --device cpu tries it without")
    on_cpu, on_card = [], []
    for rows, one in ((on_cpu, "cpu"), (on_card, device)):
        with tempfile.TemporaryDirectory() as folder:
            rows += measured(size, one, Path(folder))
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU, a trial"
    text = f"{about(card, size)}\n\n{table(card, on_cpu, on_card)}"
    if device == "cuda":
        write_section(PAGE, HEAD, card, text)
    print(text)


if __name__ == "__main__":
    main()
