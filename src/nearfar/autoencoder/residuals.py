"""What the baseline's autoencoder leaves of a clip, in numbers: whitenings and scores, file to file."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from nearfar.autoencoder.frames import DIMS, read_frames, read_log_mel, window_starts
from nearfar.autoencoder.network import load, residuals_of, save, train
from nearfar.data.clips import read_clips
from nearfar.data.domains import present, settled
from nearfar.errors import NearfarError, error_prefix
from nearfar.features.files import renew
from nearfar.jobs.devices import use_device
from nearfar.jobs.files import write_table
from nearfar.jobs.progress import bar
from nearfar.seeds import seed_for


def train_autoencoder(
    clips: str | Path,
    model: str | Path,
    log: str | Path,
    *,
    machine: str,
    settings: dict,
    singular: str,
    few: str,
    seed: int,
    device: str,
) -> None:
    """Train the autoencoder of a machine on its training clips and write it, with a whitening a domain, and its log.

    clips: path of the training clips' table; settings: of network.train; singular: see whitening; few:
    "cap" takes the pseudo-inverse where there are few clips, and says so on stderr. Raises NearfarError
    for a clip that cannot be used, a loss that is not finite and a covariance that has no inverse.
    """
    table = read_clips(clips)
    frames = read_frames(table["place"], table["frames"])
    seed = seed_for(seed, machine, "autoencoder")
    network, history = train(frames, **settings, seed=seed, device=device)
    domains, singular = (settled(table["domain"]), "pseudo_inverse") if few == "cap" else (table["domain"], singular)
    whitenings = {}
    for domain in present(domains):
        own = frames.starts[domains[frames.clips] == domain]
        residuals = residuals_of(network, frames.mels, own)
        with error_prefix(f"{machine}, {domain} domain"):
            whitenings[domain] = whitening(residuals, singular=singular)
        if few == "cap" and len(whitenings[domain]) < DIMS:
            spanned = f"its {len(own)} training frames span {len(whitenings[domain])} of {DIMS} dimensions"
            print(
                f"nearfar: {machine}, {domain} domain: {spanned}; what lies outside counts for nothing", file=sys.stderr
            )
    save(network, whitenings, model)
    write_table(log, pa.Table.from_pylist(history))


def whitening(residuals: Iterable[np.ndarray], *, singular: str) -> np.ndarray:
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


def clip_scores(residual: np.ndarray, whitenings: dict[str, np.ndarray]) -> np.ndarray:
    """Return (3,): mean squared error, then the squared Mahalanobis distance of the mean residual to each domain.

    (2,) where there is one domain. residual: (frames, dims) of one clip; whitenings: as load gives them.
    The mean over all frames is taken first, and no domain's mean is taken off:
    (mean residual)ᵀ P (mean residual), of which the "selective" distance is the smaller.
    """
    mean = residual.mean(axis=0)
    return np.array([(residual**2).mean(), *(np.sum((ways @ mean) ** 2) for ways in whitenings.values())])


def score_clips(clips: Sequence[str], model: str | Path, path: str | Path, *, device: str, made: str) -> None:
    """Write clip_scores of every clip of a machine as a feature file.

    clips: paths of the clip tables; made: see renew. Raises NearfarError as read_log_mel does and for an absent device.
    """
    use_device(device)
    network, whitenings = load(model)
    network.to(device)

    def compute(chosen):
        for place in bar(chosen["place"], "autoencoder"):
            mels = read_log_mel(place)
            residual = np.concatenate([*residuals_of(network, mels, window_starts(len(mels)))])
            yield [clip_scores(residual, whitenings)]

    renew(read_clips(clips), {"near": path}, made, compute)
