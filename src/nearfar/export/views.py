"""What a system's members see of one clip: the features of its wave, computed as the workflow computes them."""

import importlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.backbones.families import BANDS, FAMILIES
from nearfar.data.audio import NEAR
from nearfar.data.signals import signal
from nearfar.errors import NearfarError, error_prefix

Vectors = list[np.ndarray]  # of some views: (dims,), or (folds, dims) with one a fold
Listener = Callable[[np.ndarray, str], Vectors]  # from a wave (frames, channels) and its name


def listeners(folder: Path, features: Mapping[str, Any], views: Iterable[str]) -> dict[tuple[str, ...], Listener]:
    """Return what computes ``views`` (written feature/channel), by those that it computes together.

    folder: of the networks of an exported file; features: its settings by feature. The autoencoder's view, whose
    network is of one machine, is not among them: see ``autoencoder``. A listener raises NearfarError, naming the clip,
    for one that is too short or whose vector is not finite.
    """
    views, found = sorted(views), {}
    for feature in sorted({view.split("/")[0].removesuffix(BANDS) for view in views} - {"autoencoder"}):
        own = [view for view in views if view.split("/")[0].removesuffix(BANDS) == feature]
        if feature in FAMILIES:
            found[tuple(own)] = _backbone(folder / feature, features[feature], own)
            continue
        for view in own:
            channel = view.split("/")[1]
            if feature == "classifier":
                vector = _classifier(folder / feature / channel, features[feature]["folds"], channel)
            elif feature == "lccr":
                vector = _lccr(folder / "lccr.safetensors")
            else:
                vector = _plain(feature, channel, features[feature])
            found[view,] = _named(feature, vector)
    return found


def autoencoder(path: Path) -> Listener:
    """Return what computes autoencoder/near by a machine's own network in a file."""
    from nearfar.autoencoder.frames import log_mel, window_starts
    from nearfar.autoencoder.network import load, residuals_of
    from nearfar.autoencoder.residuals import clip_scores

    network, whitenings = load(path)

    def vector(wave):
        mels = log_mel(np.ascontiguousarray(wave[:, NEAR]))
        residual = np.concatenate([*residuals_of(network, mels, window_starts(len(mels)))])
        return clip_scores(residual, whitenings).astype(np.float32)  # as feature files hold it

    return _named("autoencoder", vector)


def _named(feature: str, vector: Callable[[np.ndarray], np.ndarray]) -> Listener:
    """Return a listener of one view; what it raises names the clip."""

    def listen(wave, name):
        with error_prefix(name):
            found = vector(wave)
            if not np.isfinite(found).all():
                raise NearfarError(f"its {feature} is not finite; check the recording")
        return [found]

    return listen


def _plain(feature: str, channel: str, params: Mapping[str, Any]) -> Callable:
    extract = importlib.import_module(f"nearfar.features.{feature}").extractor(**params)
    return lambda wave: extract(wave, channel)


def _lccr(path: Path) -> Callable:
    from nearfar.lccr.maps import clip_maps
    from nearfar.lccr.network import embed, load

    network, params = load(path)
    return lambda wave: next(embed(network, [clip_maps(wave, **params)]))


def _classifier(folder: Path, folds: int, channel: str) -> Callable:
    from nearfar.classifier.inputs import extractor
    from nearfar.classifier.network import embed, load

    loaded = [load(folder / f"{fold}.safetensors") for fold in range(folds)]
    networks, extract = [network for network, _ in loaded], extractor(**loaded[0][1])
    return lambda wave: next(embed(networks, [extract(signal(wave, channel))]))


def _backbone(folder: Path, about: Mapping[str, Any], views: list[str]) -> Listener:
    import torch

    from nearfar.backbones.base import load_backbone
    from nearfar.backbones.embed import channels_in, wave_vectors

    model = load_backbone(folder)
    pooled = [
        (channel, "bands" if name.endswith(BANDS) else about["pooling"])
        for name, channel in (view.split("/") for view in views)
    ]

    def listen(wave, name):
        with error_prefix(name):
            waves = [((name, channel), signal(wave, channel)) for channel in channels_in(pooled)]
        half = about["precision"] == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            return next(wave_vectors(model, waves, pooled, layers=about["layers"]))

    return listen
