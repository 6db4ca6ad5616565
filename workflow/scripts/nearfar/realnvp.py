"""RealNVP (Dinh et al. 2017) in numpy, several flows of one shape trained as one stack (F flows, B clips, D dims).

A coupling leaves one half of the dims as it is and scales and shifts the other by what a network with two hidden layers
makes of the first; the halves take turns. The gradient is written out: with networks this small torch's own
bookkeeping costs as much as the arithmetic, and importing it more than a fit (benchmarks/results.md).
"""

import numpy as np

from nearfar.errors import NearfarError

CLIP_NORM, BETAS, EPS = 5.0, (0.9, 0.999), 1e-8
PER_LAYER = 6  # three weights (in, out), each with its bias


class Stack:
    """The weights of F flows in one array (F, P), their gradients and AdamW's moments likewise, and views of each.

    The last map of a coupling begins at zero, so that a flow begins as a Gaussian; rngs: one a flow.
    """

    def __init__(self, dims, hidden, layers, rngs):
        self.shapes = shapes(dims, hidden, layers)
        self.values = np.zeros((len(rngs), sum(map(np.prod, self.shapes))), np.float32)
        self._allot(np.zeros_like(self.values), np.zeros_like(self.values))
        self.steps = 0
        for i, weight in enumerate(self.weights):
            if i % PER_LAYER in (0, 2):
                for flow, rng in zip(weight, rngs, strict=True):
                    flow[:] = rng.standard_normal(flow.shape, np.float32) * (2 / len(flow)) ** 0.5

    def keep(self, rows):
        """Go on with the flows in ``rows`` (bool) only."""
        self.values = self.values[rows]
        self._allot(self.first[rows], self.second[rows])

    def _allot(self, first, second):
        self.first, self.second, self.slopes = first, second, np.empty_like(self.values)
        self.weights, self.gradients = unpacked(self.values, self.shapes), unpacked(self.slopes, self.shapes)

    def step(self, lr, weight_decay):
        """Do one step of AdamW (Loshchilov and Hutter 2019), each flow's gradient cut to CLIP_NORM."""
        self.steps += 1
        slopes, scratch = self.slopes, np.empty_like(self.slopes)
        norms = np.array([np.sqrt(flow @ flow) for flow in slopes])
        slopes *= np.minimum(1, CLIP_NORM / (norms + 1e-6)).astype(np.float32)[:, None]
        self.values *= np.float32(1 - lr * weight_decay)
        for moment, new, beta in ((self.first, slopes, BETAS[0]), (self.second, slopes * slopes, BETAS[1])):
            np.subtract(new, moment, out=scratch)
            scratch *= np.float32(1 - beta)
            moment += scratch
        np.sqrt(self.second, out=scratch)
        scratch *= np.float32((1 - BETAS[1] ** self.steps) ** -0.5)
        scratch += np.float32(EPS)
        np.divide(self.first, scratch, out=scratch)
        scratch *= np.float32(lr / (1 - BETAS[0] ** self.steps))
        self.values -= scratch


def shapes(dims, hidden, layers):
    """Return the shapes of a flow's weights, PER_LAYER a coupling, biases as (1, out)."""
    found = []
    for layer in range(layers):
        known = dims // 2 if layer % 2 == 0 else dims - dims // 2
        for into, out in ((known, hidden), (hidden, hidden), (hidden, 2 * (dims - known))):
            found += [(into, out), (1, out)]
    return found


def unpacked(packed, wanted):
    """Return views (F, *shape) of consecutive parts of an array (F, P), one for each of the shapes ``wanted``."""
    ends = np.cumsum([np.prod(shape) for shape in wanted])
    parts = np.split(packed, ends[:-1], axis=1)
    return [part.reshape(-1, *shape) for part, shape in zip(parts, wanted, strict=True)]


def forward(x, weights):
    """Return −log p(x) (F, B) of x (F, B, D), and the tape that ``backward`` needs."""
    half = x.shape[2] // 2
    halves, tape, log_scale = [x[:, :, :half], x[:, :, half:]], [], 0.0
    for layer in range(len(weights) // PER_LAYER):
        w1, b1, w2, b2, w3, b3 = weights[PER_LAYER * layer : PER_LAYER * (layer + 1)]
        known, changed = halves[layer % 2], halves[1 - layer % 2]
        h1 = np.maximum(known @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        out = h2 @ w3 + b3
        scale = np.tanh(out[:, :, : changed.shape[2]])  # clamped: an unclamped flow diverges
        factor = np.exp(scale)
        scaled = changed * factor
        tape.append((known, h1, h2, scale, factor, scaled))
        log_scale = log_scale + scale.sum(2)
        halves[1 - layer % 2] = scaled + out[:, :, changed.shape[2] :]
    squares = sum((part * part).sum(2) for part in halves)
    return 0.5 * squares + 0.5 * x.shape[2] * np.log(2 * np.pi) - log_scale, (halves, tape)


def backward(tape, share, weights, gradients):
    """Write into ``gradients`` those of Σ share · −log p; share: (F, B), each clip's part in its flow's mean."""
    share = share[:, :, None]
    (first, second), layers = tape
    slopes = [first * share, second * share]
    for layer in reversed(range(len(layers))):
        w1, _, w2, _, w3, _ = weights[PER_LAYER * layer : PER_LAYER * (layer + 1)]
        into = gradients[PER_LAYER * layer : PER_LAYER * (layer + 1)]
        known, h1, h2, scale, factor, scaled = layers[layer]
        changed = slopes[1 - layer % 2]
        out = np.concatenate([(changed * scaled - share) * (1 - scale * scale), changed], axis=2)
        behind2 = _linear(h2, w3, out, into[4:]) * (h2 > 0)
        behind1 = _linear(h1, w2, behind2, into[2:4]) * (h1 > 0)
        slopes[layer % 2] = slopes[layer % 2] + _linear(known, w1, behind1, into[:2])
        slopes[1 - layer % 2] = changed * factor


def _linear(x, weight, slope, into):
    """Write the gradients of x @ weight + bias into ``into`` and return that of x; slope: of the output."""
    np.matmul(x.transpose(0, 2, 1), slope, out=into[0])
    slope.sum(1, keepdims=True, out=into[1])
    return slope @ weight.transpose(0, 2, 1)


def train(inputs, seeds, *, hidden, layers, epochs, batch, lr, weight_decay, held_out, patience):
    """Return the weights, a list of float32 arrays, of a flow for each of ``inputs``, float32 (clips, D).

    held_out: share of the clips that tell when to stop: the epoch with the least loss on them is kept, and a flow ends
    ``patience`` epochs after it. With 0 all clips are seen for all ``epochs``. Each flow is what it would be alone,
    where all have equally many batches an epoch. Raises NearfarError for a loss that is not finite.
    """
    rngs = [np.random.default_rng(seed) for seed in seeds]
    stack = Stack(inputs[0].shape[1], hidden, layers, rngs)
    inputs = [x[rng.permutation(len(x))] for x, rng in zip(inputs, rngs, strict=True)]
    kept = [max(round(held_out * len(x)), 1) if held_out else 0 for x in inputs]
    seen = [x[k:] for x, k in zip(inputs, kept, strict=True)]
    best = Best([x[:k] for x, k in zip(inputs, kept, strict=True)], stack, patience) if held_out else None
    alive = np.arange(len(inputs))
    for epoch in range(epochs):
        if best:
            alive = best.judge(epoch, alive)
            if not len(alive):
                break
        _epoch([seen[i] for i in alive], [rngs[i] for i in alive], stack, (batch, lr, weight_decay))
    if best:
        best.judge(epochs, alive)
    return [[w[0] for w in unpacked(flow[None], stack.shapes)] for flow in (best.values if best else stack.values)]


class Best:
    """The values (F, P) that each flow had after its epoch with the least loss on its ``held`` clips, (clips, D)."""

    def __init__(self, held, stack, patience):
        self.held, self.stack, self.patience = held, stack, patience
        self.values, self.loss = stack.values.copy(), np.full(len(held), np.inf)
        self.epoch = np.zeros(len(held), int)

    def judge(self, epoch, alive):
        """Look at the flows with the numbers ``alive`` after ``epoch`` epochs; keep, and return, those that go on."""
        if not len(alive):
            return alive
        x, share = _stacked([self.held[i] for i in alive])
        loss = (forward(x, self.stack.weights)[0] * share).sum(1)
        better = loss < self.loss[alive]
        rows = alive[better]
        self.loss[rows], self.epoch[rows], self.values[rows] = loss[better], epoch, self.stack.values[better]
        going = epoch - self.epoch[alive] < self.patience
        if not going.all():
            self.stack.keep(going)
        return alive[going]


def _epoch(seen, rngs, stack, settings):
    """See each flow's clips once, in an order of its own and in equally many batches of at most the wanted size."""
    batch, lr, weight_decay = settings
    count = -(-max(map(len, seen)) // batch)
    orders = [np.array_split(rng.permutation(len(x)), count) for x, rng in zip(seen, rngs, strict=True)]
    for rows in zip(*orders, strict=True):
        _learn([x[r] for x, r in zip(seen, rows, strict=True)], stack, lr, weight_decay)


def _learn(parts, stack, lr, weight_decay):
    """Do one step on a batch, one part (clips, D) a flow."""
    x, share = _stacked(parts)
    with np.errstate(over="ignore", invalid="ignore"):  # said below, in one line
        loss, tape = forward(x, stack.weights)
    if not np.isfinite((loss * share).sum(1)).all():
        raise NearfarError("flow: the training loss is not finite; lower params.lr or use early_stopping: true")
    backward(tape, share, stack.weights, stack.gradients)
    stack.step(lr, weight_decay)


def _stacked(parts):
    """Return parts of about equal length as one array (F, B, D), filled up with zeros, and each clip's share (F, B)."""
    x = np.zeros((len(parts), max(map(len, parts)), parts[0].shape[1]), np.float32)
    share = np.zeros(x.shape[:2], np.float32)
    for i, part in enumerate(parts):
        x[i, : len(part)], share[i, : len(part)] = part, 1 / len(part)
    return x, share
