"""What the baseline's autoencoder leaves of a clip, in numbers: whitenings and scores, file to file."""

import numpy as np

from nearfar.data.clips import read_clips
from nearfar.data.domains import DOMAINS
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_table, write_vectors
from nearfar.jobs.progress import bar
from nearfar.seeds import seed_for


def train_autoencoder(clips, model, log, *, machine, settings, singular, seed, device):
    """Train the autoencoder of a machine on its training clips and write it, with a whitening a domain, and its log.

    clips: path of the clip table; settings: of autoencoder.train; singular: see whitening. Raises NearfarError for a
    clip that cannot be used, a loss that is not finite and a covariance that has no inverse.
    """
    from nearfar.autoencoder import network as autoencoder
    from nearfar.autoencoder.frames import read_frames

    table = read_clips(clips, "train")
    frames = read_frames(table["path"], table["frames"])
    seed = seed_for(seed, machine, "autoencoder")
    network, history = autoencoder.train(frames, **settings, seed=seed, device=device)
    whitenings = {}
    for domain in DOMAINS:
        own = frames.starts[table["domain"][frames.clips] == domain]
        residuals = autoencoder.residuals(network, frames.mels, own)
        with error_prefix(f"{machine}, {domain} domain"):
            whitenings[domain] = whitening(residuals, singular=singular)
    autoencoder.save(network, whitenings, model)
    write_table(log, {name: [row[name] for row in history] for name in history[0]})


def whitening(residuals, *, singular):
    """Return W (rank, dims), float64, such that P = WᵀW is the inverse covariance of the residual vectors.

    residuals: iterable of float64 (frames, dims). Fewer frames than dims + 1 leave a covariance without an inverse.
    singular: "refuse" raises NearfarError then; "pseudo_inverse" leaves out what lies outside the frames' span, so that
    a residual there counts for nothing.
    """
    count, total, squares = 0, 0.0, 0.0
    for part in residuals:
        count, total, squares = count + len(part), total + part.sum(axis=0), squares + part.T @ part
    values, vectors = np.linalg.eigh((squares - np.outer(total, total) / count) / (count - 1))
    keep = values > values[-1] * max(count, len(values)) * np.finfo(np.float64).eps
    if singular == "refuse" and not keep.all():
        raise NearfarError(
            f"its {count} training frames span {keep.sum()} of {len(values)} dimensions, so their covariance has no "
            f"inverse; add clips, or set features.autoencoder.singular to pseudo_inverse"
        )
    return (vectors[:, keep] / np.sqrt(values[keep])).T


def clip_scores(residual, whitenings):
    """Return (3,): mean squared error, then the squared Mahalanobis distance of the mean residual to each domain.

    residual: (frames, dims) of one clip. The mean over all frames is taken first, and no domain's mean is taken off:
    (mean residual)ᵀ P (mean residual), of which the "selective" distance is the smaller.
    """
    mean = residual.mean(axis=0)
    return np.array([(residual**2).mean(), *(np.sum((whitenings[domain] @ mean) ** 2) for domain in DOMAINS)])


def score_clips(clips, model, path, device):
    """Write clip_scores of every clip of a machine as a feature file; raises NearfarError as read_log_mel does."""
    from nearfar.autoencoder import network as autoencoder
    from nearfar.autoencoder.frames import read_log_mel, window_starts

    network, whitenings = autoencoder.load(model)
    network.to(device)
    table, vectors = read_clips(clips), []
    for place in bar(table["path"], "autoencoder"):
        mels = read_log_mel(place)
        residual = np.concatenate([*autoencoder.residuals(network, mels, window_starts(len(mels)))])
        vectors.append(clip_scores(residual, whitenings))
    write_vectors(path, table["file"], vectors)
