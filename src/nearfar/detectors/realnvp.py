"""RealNVP (Dinh et al. 2017) in numpy: B clips, D dims.

A coupling leaves one half of the dims as it is and scales and shifts the other by what a network with two hidden layers
makes of the first; the halves take turns. The gradient is written out: with networks this small torch's own
bookkeeping costs as much as the arithmetic, and importing it more than a fit. Several flows as one stack of arrays
(F, B, D) would work too, and bring nothing over one after the other (benchmarks/results.md).
"""

import numpy as np

from nearfar.errors import NearfarError

CLIP_NORM, BETAS, EPS = 5.0, (0.9, 0.999), 1e-8
Tape = tuple[list[np.ndarray], list[tuple[np.ndarray, ...]]]  # the two halves in the end, and what each coupling saw
PER_LAYER = 6  # three weights (in, out), each with its bias (out,)


def shapes(dims: int, hidden: int, layers: int) -> list[tuple[int, ...]]:
    """Return the shapes of a flow's weights, PER_LAYER a coupling."""
    found = []
    for layer in range(layers):
        known = dims // 2 if layer % 2 == 0 else dims - dims // 2
        for into, out in ((known, hidden), (hidden, hidden), (hidden, 2 * (dims - known))):
            found += [(into, out), (out,)]
    return found


def unpacked(packed: np.ndarray, wanted: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Return views of consecutive parts of an array (P,), one for each of the shapes ``wanted``."""
    parts = np.split(packed, np.cumsum([np.prod(shape) for shape in wanted])[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, wanted, strict=True)]


def forward(x: np.ndarray, weights: list[np.ndarray]) -> tuple[np.ndarray, Tape]:
    """Return −log p(x) (B,) of x (B, D), and the tape that ``backward`` needs."""
    half = x.shape[-1] // 2
    halves, tape, log_scale = [x[..., :half], x[..., half:]], [], 0.0
    for layer in range(len(weights) // PER_LAYER):
        w1, b1, w2, b2, w3, b3 = weights[PER_LAYER * layer : PER_LAYER * (layer + 1)]
        known, changed = halves[layer % 2], halves[1 - layer % 2]
        h1 = np.maximum(known @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        out = h2 @ w3 + b3
        scale = np.tanh(out[..., : changed.shape[-1]])  # clamped: an unclamped flow diverges
        factor = np.exp(scale)
        scaled = changed * factor
        tape.append((known, h1, h2, scale, factor, scaled))
        log_scale = log_scale + scale.sum(-1)
        halves[1 - layer % 2] = scaled + out[..., changed.shape[-1] :]
    squares = sum((part * part).sum(-1) for part in halves)
    return 0.5 * squares + 0.5 * x.shape[-1] * np.log(2 * np.pi) - log_scale, (halves, tape)


def backward(tape: Tape, weights: list[np.ndarray], gradients: list[np.ndarray]) -> None:
    """Write into ``gradients`` those of the mean of −log p over the clips of the tape."""
    (first, second), layers = tape
    share = np.float32(1 / first.shape[-2])
    slopes = [first * share, second * share]
    for layer in reversed(range(len(layers))):
        w1, _, w2, _, w3, _ = weights[PER_LAYER * layer : PER_LAYER * (layer + 1)]
        into = gradients[PER_LAYER * layer : PER_LAYER * (layer + 1)]
        known, h1, h2, scale, factor, scaled = layers[layer]
        changed = slopes[1 - layer % 2]
        out = np.concatenate([(changed * scaled - share) * (1 - scale * scale), changed], axis=-1)
        behind2 = _linear(h2, w3, out, into[4:]) * (h2 > 0)
        behind1 = _linear(h1, w2, behind2, into[2:4]) * (h1 > 0)
        slopes[layer % 2] = slopes[layer % 2] + _linear(known, w1, behind1, into[:2])
        slopes[1 - layer % 2] = changed * factor


def _linear(x, weight, slope, into):
    """Write the gradients of x @ weight + bias into ``into`` and return that of x; slope: of the output."""
    np.matmul(x.swapaxes(-1, -2), slope, out=into[0])
    slope.sum(-2, keepdims=into[1].ndim > 1, out=into[1])
    return slope @ weight.swapaxes(-1, -2)


class AdamW:
    """AdamW (Loshchilov and Hutter 2019) of packed values (P,), with the gradient cut to CLIP_NORM."""

    def __init__(self, values: np.ndarray, lr: float, weight_decay: float):
        self.values, self.lr, self.weight_decay, self.steps = values, lr, weight_decay, 0
        self.first, self.second, self.scratch = (np.zeros_like(values) for _ in range(3))

    def step(self, gradient: np.ndarray) -> None:
        """Move the values by one step; ``gradient`` (P,) is used up."""
        self.steps += 1
        gradient *= np.float32(min(1, CLIP_NORM / (np.linalg.norm(gradient) + 1e-6)))
        self.values *= np.float32(1 - self.lr * self.weight_decay)
        self._average(self.first, gradient, BETAS[0])
        self._average(self.second, np.multiply(gradient, gradient, out=gradient), BETAS[1])
        move = np.sqrt(self.second, out=self.scratch)
        move *= np.float32((1 - BETAS[1] ** self.steps) ** -0.5)
        move += np.float32(EPS)
        np.divide(self.first, move, out=move)
        move *= np.float32(self.lr / (1 - BETAS[0] ** self.steps))
        self.values -= move

    def _average(self, moment, new, beta):
        change = np.subtract(new, moment, out=self.scratch)
        change *= np.float32(1 - beta)
        moment += change


def begun(wanted: list[tuple[int, ...]], rng: np.random.Generator) -> np.ndarray:
    """Return packed float32 values (P,) of a flow that is still a Gaussian: each coupling's last map is zero.

    The others have the variance that torch's linear layers begin with; He's, six times as large, ends less likely.
    """
    values = np.zeros(sum(np.prod(shape) for shape in wanted), np.float32)
    for i, weight in enumerate(unpacked(values, wanted)):
        if i % PER_LAYER in (0, 2):
            weight[:] = rng.standard_normal(weight.shape, np.float32) * (3 * len(weight)) ** -0.5
    return values


def train(
    x: np.ndarray,
    seed: int,
    *,
    hidden: int,
    layers: int,
    epochs: int,
    batch: int,
    lr: float,
    weight_decay: float,
    held_out: float,
    patience: int,
) -> list[np.ndarray]:
    """Return the weights, a list of float32 arrays, of a flow trained on x, float32 (clips, D).

    held_out: share of the clips that tell when to stop: the epoch with the least loss on them is kept, and training
    ends ``patience`` epochs after it. With 0 all clips are seen for all ``epochs``.
    Raises NearfarError for a loss that is not finite.
    """
    rng, wanted = np.random.default_rng(seed), shapes(x.shape[1], hidden, layers)
    values = begun(wanted, rng)
    weights, optimizer = unpacked(values, wanted), AdamW(values, lr, weight_decay)
    x = x[rng.permutation(len(x))]
    kept = max(round(held_out * len(x)), 1) if held_out else 0
    best = (np.inf, 0, values)
    for epoch in range(epochs + 1):
        if kept:
            loss = forward(x[:kept], weights)[0].mean()
            if loss < best[0]:
                best = loss, epoch, values.copy()
            if epoch - best[1] >= patience:
                break
        if epoch < epochs:
            _epoch(x[kept:], rng.permutation(len(x) - kept), weights, optimizer, batch)
    return unpacked(best[2], wanted)


def _epoch(seen, order, weights, optimizer, batch):
    """See the clips once, in ``order`` and in equal batches of at most the wanted size."""
    gradient = np.empty_like(optimizer.values)
    gradients = unpacked(gradient, [weight.shape for weight in weights])
    for rows in np.array_split(order, -(-len(order) // batch)):
        with np.errstate(over="ignore", invalid="ignore"):  # said below, in one line
            loss, tape = forward(seen[rows], weights)
        if not np.isfinite(loss.mean()):
            raise NearfarError("flow: the training loss is not finite; lower params.lr or use early_stopping: true")
        backward(tape, weights, gradients)
        optimizer.step(gradient)
