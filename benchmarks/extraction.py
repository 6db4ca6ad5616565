"""Embedding by an EAT of base size with random weights: ours beside explicit attention, in one run.

    .venv/bin/python benchmarks/extraction.py [--clips 8] [--rounds 3] [--threads 1]

Both run the same weights on the same log-mel inputs of 10 s clips; explicit attention writes softmax(q kᵀ/√d) v out, as
the hub's own code does. The rounds take turns, so that what else the machine does hits both alike; the table gives the
CPU-seconds a clip of each round's best, and their ratio. It also embeds the clips by the workflow's own job.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
import torch

from nearfar import backbone, eat, embed
from nearfar.fbank import eat_inputs


def explicit(q, k, v):
    """Attention as three steps, the hub's reference."""
    return (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1) @ v


def cpu_seconds(call):
    """Return the CPU time of a call."""
    start = time.process_time()
    with torch.inference_mode():
        call()
    return time.process_time() - start


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        backbone.fetch("untrained", Path(folder, "eat"), config={})
        paths = [Path(folder, f"clip{i}.wav") for i in range(arguments.clips)]
        for path in paths:
            soundfile.write(path, rng.normal(0, 0.1, (160000, 2)), 16000, subtype="PCM_16")
        report(eat.load(Path(folder, "eat")), paths, Path(folder), arguments)


def report(model, paths, folder, arguments):
    """Measure and print: the body at two batch sizes, then the job as a whole."""
    waves = [torch.as_tensor(wave) for _, wave in embed.channel_waves(paths, ["near"])]
    print("| batch | explicit attention, CPU-s a clip | ours | ratio | largest difference |\n|---|---|---|---|---|")
    for batch in (1, 4):
        inputs = eat_inputs(waves[:batch], 1024)
        best = {"ours": np.inf, "explicit": np.inf}
        for _ in range(arguments.rounds):
            best["ours"] = min(best["ours"], cpu_seconds(lambda inputs=inputs: model(inputs)))
            with mock.patch.object(eat.F, "scaled_dot_product_attention", explicit):
                best["explicit"] = min(best["explicit"], cpu_seconds(lambda inputs=inputs: model(inputs)))
        with torch.inference_mode():
            ours = model(inputs)
            with mock.patch.object(eat.F, "scaled_dot_product_attention", explicit):
                difference = float((model(inputs) - ours).abs().max() / ours.abs().max())
        cells = [f"{best['explicit'] / batch:.2f}", f"{best['ours'] / batch:.2f}"]
        print(
            f"| {batch} | {' | '.join(cells)} | {best['explicit'] / best['ours']:.2f} | {difference:.0e} |", flush=True
        )
    outputs = {channel: folder / f"{channel}.parquet" for channel in ("near", "far")}
    start, wall = time.process_time(), time.perf_counter()
    embed.embed_machine(paths, folder / "eat", outputs, threads=arguments.threads)
    used, wall = time.process_time() - start, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = f"{used / len(paths):.2f} CPU-s a clip, {wall:.1f} s, peak {peak:.0f} MB"
    print(f"\n{len(paths)} clips of 10 s, both channels: {figures}")


if __name__ == "__main__":
    main()
