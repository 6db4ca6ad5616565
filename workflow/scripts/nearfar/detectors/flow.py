"""RealNVP on principal components. torch is imported where a flow is trained; scoring needs numpy alone."""

import numpy as np

from nearfar.covariance import principal, refuse_few
from nearfar.domains import against_each, centre, means
from nearfar.errors import NearfarError


class Detector:
    """Negative log-likelihood under a normalizing flow of the clip's principal components: F of the paper (§3).

    PCA to ``components``, each divided by its spread; ``layers`` affine couplings (Dinh et al. 2017, RealNVP), each a
    network with two hidden layers of ``hidden``. The scale outputs are clamped by tanh, and by default the epoch with
    the least held-out loss is kept: trained to the end, the flow overfits at a thousand clips.
    early_stopping: False is the paper's literal training, all ``epochs`` on all clips.
    reference: "domain" gives the likelihood relative to each domain's mean, "pooled" to the mean of all clips.
    Raises NearfarError for fewer clips than components and for a loss that is not finite.
    """

    def __init__(self, components=64, layers=6, hidden=128, epochs=200, batch=128, lr=1e-3, weight_decay=1e-2,
                 early_stopping=True, patience=20, held_out=0.15, reference="domain", seed=0):  # fmt: skip
        self.components, self.layers, self.hidden, self.seed = components, layers, hidden, seed
        self.epochs, self.batch, self.lr, self.weight_decay = epochs, batch, lr, weight_decay
        self.early_stopping, self.patience, self.held_out = early_stopping, patience, held_out
        self.reference = reference

    def fit(self, view, *, domain):
        """view: (clips, dims) of normal clips; domain: (clips,) of "source" | "target"."""
        refuse_few(self.components, view, min(len(view) - 2, view.shape[1]))
        self.centres_ = means(view, domain, self.reference)
        centred = centre(view, domain, self.centres_)
        self.basis_, variances = principal(centred, self.components)
        self.spread_ = np.sqrt(np.maximum(variances, 1e-12 * variances[0]))
        self.__dict__ |= self._train(centred @ self.basis_.T / self.spread_)
        return self

    def score(self, view):
        """Return (clips, 2), in nats, relative to source and to target, or (clips,) for "pooled"."""
        return against_each(self._surprise, [view], [self.centres_])

    def _surprise(self, centred):
        return _negative_log_likelihood(np, centred @ self.basis_.T / self.spread_, self._couplings())

    def _couplings(self):
        return [[vars(self)[f"w{layer}_{i}_"] for i in range(6)] for layer in range(self.layers)]

    def _train(self, x):
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        x = torch.from_numpy(x).float()[torch.randperm(len(x), generator=generator)]
        kept = max(round(self.held_out * len(x)), 1) if self.early_stopping else 0
        held, seen = x[:kept], x[kept:]
        couplings = _couplings(torch, generator, self.components, self.hidden, self.layers)
        flat = [weight.requires_grad_() for coupling in couplings for weight in coupling]
        optimizer = torch.optim.AdamW(flat, lr=self.lr, weight_decay=self.weight_decay, foreach=True)
        best = (np.inf, 0, None)
        for epoch in range(self.epochs + 1):
            if self.early_stopping:
                with torch.no_grad():
                    loss = _negative_log_likelihood(torch, held, couplings).mean().item()
                if loss < best[0]:
                    best = loss, epoch, [weight.detach().clone() for weight in flat]
                if epoch - best[1] >= self.patience:
                    break
            if epoch < self.epochs:
                _epoch(seen, couplings, flat, optimizer, generator, self.batch)
        weights = best[2] if self.early_stopping else [weight.detach() for weight in flat]
        return {f"w{i // 6}_{i % 6}_": weight.double().numpy() for i, weight in enumerate(weights)}


def _epoch(seen, couplings, flat, optimizer, generator, batch):
    import torch

    for rows in torch.randperm(len(seen), generator=generator).split(batch):
        loss = _negative_log_likelihood(torch, seen[rows], couplings).mean()
        if not torch.isfinite(loss):
            raise NearfarError("flow: the training loss is not finite; lower params.lr or use early_stopping: true")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flat, 5.0)
        optimizer.step()


def _couplings(torch, generator, dims, hidden, layers):
    """Return the seeded weights of all couplings; the last map of each is zero, so the flow starts as a Gaussian."""
    half, rest = dims // 2, dims - dims // 2
    result = []
    for layer in range(layers):
        known, changed = (half, rest) if layer % 2 == 0 else (rest, half)
        sizes = [(hidden, known), (hidden, hidden), (2 * changed, hidden)]
        weights = []
        for out, into in sizes:
            scale = 0.0 if out == 2 * changed and (out, into) == sizes[2] else (2 / into) ** 0.5
            weights += [torch.randn(out, into, generator=generator) * scale, torch.zeros(out)]
        result.append(weights)
    return result


def _negative_log_likelihood(xp, x, couplings):
    """Return −log p(x) (clips,) of x (clips, dims), with xp either numpy or torch."""
    half = x.shape[1] // 2
    first, second, log_scale = x[:, :half], x[:, half:], 0.0
    for layer, (w1, b1, w2, b2, w3, b3) in enumerate(couplings):
        known, changed = (first, second) if layer % 2 == 0 else (second, first)
        h = (known @ w1.T + b1).clip(0)
        h = (h @ w2.T + b2).clip(0)
        h = h @ w3.T + b3
        scale = xp.tanh(h[:, : changed.shape[1]])
        changed = changed * xp.exp(scale) + h[:, changed.shape[1] :]
        log_scale = log_scale + scale.sum(1)
        first, second = (known, changed) if layer % 2 == 0 else (changed, known)
    squares = (first**2).sum(1) + (second**2).sum(1)
    return 0.5 * squares + 0.5 * x.shape[1] * np.log(2 * np.pi) - log_scale
