"""What extraction costs on this machine: attention, batch, precision, front end and prefetching.

    .venv/bin/python benchmarks/extraction.py [--clips 8] [--rounds 3] [--threads 1]

Base size has random weights and clips of 10 s, eat-small clips of 4 s; all are noise. Rounds take turns, so that what
else the machine does hits all alike, and a figure is the best of its rounds; CPU-seconds do not count waiting. Explicit
attention is the hub's own code: scaled queries times keys, softmax, times values, each a tensor of its own.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from growth import clips_of_noise

from nearfar.backbones import eat, embed
from nearfar.backbones import source as backbone
from nearfar.backbones.fbank import eat_inputs, frame_count, input_length
from nearfar.jobs.provenance import MODELS

BATCHES = (1, 2, 4, 8, 16)
SIZES = {"base, 10 s": 10, "eat-small, 4 s": 4}  # of a clip, in seconds


def explicit(q, k, v):
    """Attention as the hub writes it; its dropout is an identity."""
    q = q * q.shape[-1] ** -0.5
    attention = q @ k.transpose(-2, -1)
    attention = attention.softmax(-1)
    return attention @ v


def best(calls, rounds):
    """Return the least (CPU-seconds, seconds) of each of the ``calls``, a dict, over rounds in which all take turns."""
    least = dict.fromkeys(calls, (np.inf, np.inf))
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.process_time(), time.perf_counter()
            with torch.inference_mode():
                call()
            took = time.process_time() - begun[0], time.perf_counter() - begun[1]
            least[name] = tuple(map(min, least[name], took))
    return least


def table(*rows):
    """Return markdown lines of rows of cells, the head first."""
    head, *body = (f"| {' | '.join(map(str, row))} |" for row in rows)
    return [head, "|---" * len(rows[0]) + "|", *body, ""]


def attention(model, rounds):
    """Compare explicit attention with ours on the same inputs of base size."""
    rows = [("batch", "explicit attention, CPU-s a clip", "ours", "ratio", "largest difference")]
    for batch in (1, 4):
        mels = inputs(10, batch)

        def hubs(mels=mels):
            with mock.patch.object(eat.F, "scaled_dot_product_attention", explicit):
                return model(mels)

        took = best({"explicit": hubs, "ours": lambda mels=mels: model(mels)}, rounds)
        theirs, ours = took["explicit"][0] / batch, took["ours"][0] / batch
        with torch.inference_mode():
            one, other = hubs(), model(mels)
        difference = float((one - other).abs().max() / other.abs().max())
        rows.append((batch, f"{theirs:.2f}", f"{ours:.2f}", f"{theirs / ours:.2f}", f"{difference:.0e}"))
    return table(*rows)


def batches(models, rounds):
    """Compare batch sizes and precisions, the model alone, and the front end beside them."""
    kinds = [(size, half) for size in models for half in (False, True)]
    took = {}
    for batch in BATCHES:
        calls = {kind: forward(models[kind[0]], inputs(SIZES[kind[0]], batch), kind[1]) for kind in kinds}
        took[batch] = {kind: 1000 * cpu / batch for kind, (cpu, _) in best(calls, rounds).items()}
    names = [f"{size}, {'bfloat16' if half else 'float32'}" for size, half in kinds]
    rows = [(batch, *(f"{took[batch][kind]:.1f}" for kind in kinds)) for batch in BATCHES]
    fronts = best({size: lambda s=size: inputs(SIZES[s], 8) for size in models}, 5 * rounds)
    front = [f"{1000 * fronts[size][0] / 8:.1f}" if not half else "" for size, half in kinds]
    return table(("batch", *(f"{name}, CPU-ms a wave" for name in names)), *rows, ("front end", *front))


def forward(model, mels, half):
    """Return a function that runs the model."""

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            model(mels)

    return run


def inputs(seconds, count):
    """Return the model's inputs of ``count`` waves of noise, by the front end."""
    wave = torch.as_tensor(noise(seconds)[:, 0])
    return eat_inputs([wave] * count, input_length(frame_count(len(wave))))


def noise(seconds):
    """Return two channels of noise (samples, 2)."""
    return np.random.default_rng(0).normal(0, 0.1, (16000 * seconds, 2)).astype(np.float32)


def jobs(folders, folder, clips, rounds):
    """Compare the workflow's own job, both channels, with prefetching and without."""
    rows = [("job", "clips", "prefetch, CPU-ms a clip", "ms a clip", "without, CPU-ms a clip", "ms a clip")]
    for (size, seconds), model, count in zip(SIZES.items(), folders, (clips, 20 * clips), strict=True):
        own = folder / size.replace(" ", "-")
        own.mkdir()
        tables = clips_of_noise(own, count, seconds)
        outputs = {channel: folder / f"{channel}.parquet" for channel in ("near", "far")}

        def job(tables=tables, model=model, outputs=outputs):
            made = str(time.perf_counter_ns())  # so that no embedding of an earlier round is kept
            embed.embed_machine(tables, model, outputs, made=made, threads=torch.get_num_threads())

        def plain(job=job):
            with mock.patch.object(embed, "ahead", lambda items: (item for item in items)):
                job()

        took = best({"prefetch": job, "without": plain}, rounds)
        rows.append((size, count, *(f"{1000 * x / count:.1f}" for figures in took.values() for x in figures)))
    return table(*rows)


def lines(clips=8, rounds=3):
    """Measure with as many threads as torch has, and return the tables as markdown lines."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backbone.fetch("untrained", folder / "base", family="eat", config={})
        folders = (folder / "base", MODELS / "eat-small")
        models = dict(zip(SIZES, map(eat.EAT.load, folders), strict=True))
        measured = [*attention(models["base, 10 s"], rounds), *batches(models, rounds)]
        measured += jobs(folders, folder, clips, rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    kind = torch.backends.cpu.get_cpu_capability()
    return [*measured, f"{torch.get_num_threads()} thread(s), {kind}; peak {peak:.0f} MB"]


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=8, help="of the job at base size; eat-small has 20 times as many")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("\n".join(lines(arguments.clips, arguments.rounds)))


if __name__ == "__main__":
    main()
