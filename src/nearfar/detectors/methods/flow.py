from typing import Literal, Self

import numpy as np

from nearfar.data.domains import against_each, centre, means
from nearfar.detectors import realnvp
from nearfar.detectors.covariance import principal, refuse_few
from nearfar.jobs.kinds import Amount, Count, Positive, Share


class Detector:
    """Negative log-likelihood under a normalizing flow of the clip's principal components: F of the paper (§3).

    PCA to ``components``, each divided by its spread; ``layers`` affine couplings (realnvp), each a network
    with two hidden layers of ``hidden``. The scale outputs are clamped by tanh, and by default the epoch with the least
    held-out loss is kept: trained to the end, the flow overfits at a thousand clips.
    early_stopping: False is the paper's literal training, all ``epochs`` on all clips.
    reference: "domain" gives the likelihood relative to each domain's mean, "pooled" to the mean of all clips.
    Raises NearfarError for fewer clips than components and for a loss that is not finite.
    """

    def __init__(
        self,
        *,
        components: Count,
        layers: Count,
        hidden: Count,
        epochs: Count,
        batch: Count,
        lr: Positive,
        weight_decay: Amount,
        early_stopping: bool,
        patience: Count,
        held_out: Share,
        reference: Literal["domain", "pooled"],
        seed: int,
    ) -> None:
        self.components, self.layers, self.hidden, self.seed = components, layers, hidden, seed
        self.epochs, self.batch, self.lr, self.weight_decay = epochs, batch, lr, weight_decay
        self.early_stopping, self.patience, self.held_out = early_stopping, patience, held_out
        self.reference = reference

    @staticmethod
    def at_most(clips: int) -> dict[str, int]:
        """Return the most that parameters may be for so many training clips: the means take two directions out."""
        return {"components": clips - 2}

    def fit(self, view: np.ndarray, *, domain: np.ndarray) -> Self:
        """view: (clips, dims) of normal clips; domain: (clips,) of "source" | "target"."""
        refuse_few(self.components, view, min(self.at_most(len(view))["components"], view.shape[1]))
        self.centres_ = means(view, domain, self.reference)
        centred = centre(view, domain, self.centres_)
        self.basis_, variances = principal(centred, self.components)
        self.spread_ = np.sqrt(np.maximum(variances, 1e-12 * variances[0]))
        names = ("hidden", "layers", "epochs", "batch", "lr", "weight_decay", "patience")
        weights = realnvp.train(
            (centred @ self.basis_.T / self.spread_).astype(np.float32),
            self.seed,
            held_out=self.held_out if self.early_stopping else 0,
            **{name: vars(self)[name] for name in names},
        )
        self.__dict__ |= {f"w{i}_": weight for i, weight in enumerate(weights)}
        return self

    def score(self, view: np.ndarray) -> np.ndarray:
        """Return (clips, 2), in nats, relative to source and to target, or (clips,) for one reference."""
        return against_each(self._surprise, [view], [self.centres_])

    def _surprise(self, centred):
        weights = [vars(self)[f"w{i}_"] for i in range(realnvp.PER_LAYER * self.layers)]
        return realnvp.forward(centred @ self.basis_.T / self.spread_, weights)[0]
