"""Training a machine's three flows: by nearfar.realnvp, by zuko and by normflows, and a step of three as one stack.

    .venv/bin/python benchmarks/flows.py [--rounds 5]

All have the same network (64 dims, 6 couplings, two hidden layers of 128), data, batches, epochs and optimizer (AdamW,
gradients clipped), in float32 on one thread; the flow of each that was best on the held-out clips is judged on unseen
ones. CPU-seconds are the best of the rounds, which take turns. `make bench` puts zuko and normflows into
benchmarks/others.
"""

import argparse
import sys
import time

import numpy as np
from project import ROOT

sys.path.append(str(ROOT / "benchmarks/others"))  # where make bench puts what only benchmarks use
DIMS, LAYERS, HIDDEN, BATCH, EPOCHS, LR, DECAY, HELD = 64, 6, 128, 128, 30, 1e-3, 1e-2, 0.15
CLIPS, FLOWS, UNSEEN = 672, 3, 4000  # what two of three folds of 1,000 and 10 clips have


def clips(count, seed):
    """Return (count, 64) of correlated, skewed components, as PCA of embeddings leaves them."""
    z = np.random.default_rng(seed).standard_normal((count, DIMS))
    z[:, 1::4] += 0.9 * (z[:, ::4] ** 2 - 1)
    z[:, 2::4] *= np.exp(0.5 * z[:, 3::4])
    turned = z @ np.linalg.qr(np.random.default_rng(0).standard_normal((DIMS, DIMS)))[0]
    return (turned / turned.std(0)).astype(np.float32)


def ours(inputs):
    """Train a flow of ours on each input."""
    from nearfar.detectors import realnvp

    return [
        realnvp.train(
            x, seed, hidden=HIDDEN, layers=LAYERS, epochs=EPOCHS, batch=BATCH, lr=LR, weight_decay=DECAY, held_out=HELD,
            patience=EPOCHS + 1,
        )
        for seed, x in enumerate(inputs)
    ]  # fmt: skip


def judged(flows, unseen):
    """Return the mean −log p of unseen clips under flows of ours."""
    from nearfar.detectors import realnvp

    return float(np.mean([realnvp.forward(unseen, flow)[0].mean() for flow in flows]))


def a_step(count, times=50):
    """Return the CPU-milliseconds of a step of ``count`` flows as one stack, (count, …) arrays; 0: of one by itself."""
    from nearfar.detectors import realnvp

    rng, wanted = np.random.default_rng(0), realnvp.shapes(DIMS, HIDDEN, LAYERS)
    ahead = (count,) if count else ()
    weights = [(0.1 * rng.standard_normal((*ahead, *_row(shape, count)))).astype(np.float32) for shape in wanted]
    gradients = [np.empty_like(weight) for weight in weights]
    packed = np.zeros(sum(weight.size for weight in weights), np.float32)
    optimizer, gradient = realnvp.AdamW(packed, LR, DECAY), np.ones_like(packed)
    x = rng.standard_normal((*ahead, BATCH, DIMS)).astype(np.float32)
    start = time.process_time()
    for _ in range(times):
        _, tape = realnvp.forward(x, weights)
        realnvp.backward(tape, weights, gradients)
        optimizer.step(gradient)
    return 1000 * (time.process_time() - start) / times


def _row(shape, count):
    """Return a bias's shape as a row of a stack, any other as it is."""
    return (1, *shape) if count and len(shape) == 1 else shape


def zukos(seed):
    """Return a RealNVP of zuko's, as a function of x that gives −log p."""
    import torch
    import zuko

    torch.manual_seed(seed)
    flow = zuko.flows.RealNVP(DIMS, transforms=LAYERS, hidden_features=(HIDDEN, HIDDEN))
    return flow, lambda x: -flow().log_prob(x)


def normflows(seed):
    """Return a RealNVP of normflows', as a function of x that gives −log p."""
    import normflows
    import torch

    torch.manual_seed(seed)
    parts = []
    for _ in range(LAYERS):
        network = normflows.nets.MLP([DIMS // 2, HIDDEN, HIDDEN, DIMS], init_zeros=True)
        parts += [normflows.flows.AffineCouplingBlock(network), normflows.flows.Permute(DIMS, mode="swap")]
    flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(DIMS, trainable=False), parts)
    return flow, lambda x: -flow.log_prob(x)


def by_torch(make):
    """Return a trainer like ``ours`` of another library's flows, one after the other."""
    import torch

    def train(inputs):
        trained = []
        for seed, x in enumerate(inputs):
            flow, loss = make(seed)
            optimizer = torch.optim.AdamW(flow.parameters(), lr=LR, weight_decay=DECAY, foreach=True)
            x = torch.from_numpy(x)
            held, seen = x[: round(HELD * len(x))], x[round(HELD * len(x)) :]
            best = np.inf, None
            for epoch in range(EPOCHS + 1):
                with torch.no_grad():
                    now = loss(held).mean().item()
                if now < best[0]:
                    best = now, {name: value.clone() for name, value in flow.state_dict().items()}
                if epoch < EPOCHS:
                    _epoch(seen, loss, flow, optimizer)
            flow.load_state_dict(best[1])
            trained.append(loss)
        return trained

    return train


def _epoch(seen, loss, flow, optimizer):
    import torch

    for rows in torch.randperm(len(seen)).split(BATCH):
        value = loss(seen[rows]).mean()
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
        optimizer.step()


def judged_by_torch(losses, unseen):
    """Return the mean −log p of unseen clips under other libraries' flows."""
    import torch

    with torch.no_grad():
        return float(np.mean([loss(torch.from_numpy(unseen)).mean().item() for loss in losses]))


def lines(rounds=5):
    """Yield the section."""
    import torch

    torch.set_num_threads(1)
    ways = {
        "nearfar": (ours, judged),
        "zuko": (by_torch(zukos), judged_by_torch),
        "normflows": (by_torch(normflows), judged_by_torch),
    }
    best, quality, unseen = dict.fromkeys(ways, np.inf), {name: [] for name in ways}, clips(UNSEEN, 0)
    for number in range(rounds):
        inputs = [clips(CLIPS, FLOWS * number + i) for i in range(1, FLOWS + 1)]
        for name, (train, judge) in ways.items():
            start = time.process_time()
            trained = train(inputs)
            best[name] = min(best[name], time.process_time() - start)
            quality[name].append(judge(trained, unseen))
    yield f"{FLOWS} flows, {CLIPS} clips each, {EPOCHS} epochs; −log p in nats, mean of {rounds} sets of clips; a"
    yield f"standard normal has {0.5 * np.mean((unseen**2).sum(1)) + 0.5 * DIMS * np.log(2 * np.pi):.2f}.\n"
    yield "| | CPU-s | against nearfar | −log p of unseen clips | less nearfar's, with its standard error |"
    yield "|---|---|---|---|---|"
    for name in ways:
        less = np.subtract(quality[name], quality["nearfar"])
        cells = [f"{best[name]:.2f}", f"{best[name] / best['nearfar']:.2f}", f"{np.mean(quality[name]):.2f}"]
        yield f"| {name} | {' | '.join(cells)} | {less.mean():+.2f} ± {less.std(ddof=1) / rounds**0.5:.2f} |"
    alone, stack = (min(a_step(count) for _ in range(rounds)) for count in (0, FLOWS))
    yield f"\nA step of {FLOWS} of nearfar's flows: {FLOWS * alone:.1f} CPU-ms one by one, {stack:.1f} as one stack."


def main():
    """Print the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    for line in lines(parser.parse_args().rounds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
