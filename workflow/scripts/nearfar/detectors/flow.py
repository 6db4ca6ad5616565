import numpy as np

from nearfar import realnvp
from nearfar.covariance import principal, refuse_few
from nearfar.domains import against_each, centre, means


class Detector:
    """Negative log-likelihood under a normalizing flow of the clip's principal components: F of the paper (§3).

    PCA to ``components``, each divided by its spread; ``layers`` affine couplings (nearfar.realnvp), each a network
    with two hidden layers of ``hidden``. The scale outputs are clamped by tanh, and by default the epoch with the least
    held-out loss is kept: trained to the end, the flow overfits at a thousand clips.
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
        self.fit_together([self], [[view]], [domain])
        return self

    @staticmethod
    def fit_together(detectors, views, domains):
        """Fit detectors of equal settings as one stack: views and domains as of fit, one of each a detector."""
        one = detectors[0]
        settings = {name: vars(one)[name] for name in ("hidden", "layers", "epochs", "batch", "lr", "weight_decay")}
        trained = realnvp.train(
            [d._prepare(*view, domain) for d, view, domain in zip(detectors, views, domains, strict=True)],
            [d.seed for d in detectors],
            held_out=one.held_out if one.early_stopping else 0,
            patience=one.patience,
            **settings,
        )
        for detector, weights in zip(detectors, trained, strict=True):
            detector.__dict__ |= {f"w{i}_": weight for i, weight in enumerate(weights)}

    def score(self, view):
        """Return (clips, 2), in nats, relative to source and to target, or (clips,) for "pooled"."""
        return against_each(self._surprise, [view], [self.centres_])

    def _prepare(self, view, domain):
        """Learn centres and components; return the flow's input (clips, components), float32."""
        refuse_few(self.components, view, min(len(view) - 2, view.shape[1]))
        self.centres_ = means(view, domain, self.reference)
        centred = centre(view, domain, self.centres_)
        self.basis_, variances = principal(centred, self.components)
        self.spread_ = np.sqrt(np.maximum(variances, 1e-12 * variances[0]))
        return (centred @ self.basis_.T / self.spread_).astype(np.float32)

    def _surprise(self, centred):
        weights = [vars(self)[f"w{i}_"][None] for i in range(realnvp.PER_LAYER * self.layers)]
        return realnvp.forward((centred @ self.basis_.T / self.spread_)[None], weights)[0][0]
