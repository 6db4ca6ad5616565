"""An exported system that scores clips, one by one: no clip's score depends on another's."""

import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nearfar.data.audio import RATE, SHORTEST, level_of, refuse_empty
from nearfar.data.recordings import resampled
from nearfar.detectors.crossfit import CrossFit
from nearfar.detectors.normalization import normalize
from nearfar.errors import NearfarError, error_prefix
from nearfar.export.bundle import Bundle
from nearfar.export.views import autoencoder, listeners
from nearfar.jobs.threads import torch_threads
from nearfar.systems.alarms import p_values, threshold_at
from nearfar.systems.fusion import Fused, fuse, fuse_families, train_ranks
from nearfar.systems.tables import DECISIONS
from nearfar.systems.weights import without


class Scored(NamedTuple):
    """What a system says of a clip.

    ``score`` is on the scale of the training clips', an anomaly above ``threshold``; ``p`` the share of normal clips
    that are as anomalous, conformal (nearfar.systems.alarms); ``ranks`` the detectors' ranks among the training clips,
    of which the highest has 1, the most anomalous first.
    """

    machine: str
    score: float
    threshold: float
    p: float
    ranks: tuple[tuple[str, float], ...]

    @property
    def decision(self) -> str:
        """The decision, "anomaly" or "normal"."""
        return DECISIONS[int(self.score > self.threshold)]


def load(path: str | Path) -> "Model":
    """Return the system in a file that ``nearfar export`` made, ready to score. Raises NearfarError as Bundle does."""
    return Model(Bundle(path))


class Model:
    """A system of an exported file. Networks are read with the first clip, a machine's fits with its first."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle, self.about, self.made_of = bundle, bundle.model, bundle.model["data"]
        self.known = {}

    @property
    def machines(self) -> list[str]:
        """The machines that it knows, sorted."""
        return self.bundle.machines

    def score(self, wave: np.ndarray, rate: int, machine: str | None = None, name: str = "wave") -> Scored:
        """Return what the system says of a wave (frames, channels), float in [-1, 1], of ``rate`` Hz.

        Its channels are those of the recordings that the system was made of, or near and far alone. machine: needed
        where the file holds several; name: of the clip in errors.
        Raises NearfarError for another machine, rate or number of channels, and for a wave that cannot be scored.
        """
        with error_prefix(name):
            chosen = self.machine_of(machine)
            wave = self._heard(np.asarray(wave), rate)
        return self.score_heard(wave, chosen, name)

    def score_heard(self, wave: np.ndarray, machine: str, name: str) -> Scored:
        """Return what ``score`` does of near and far, float32 (frames, 1 or 2) at 16 kHz."""
        with error_prefix(name):
            self._refuse_unfit(wave)
        with torch_threads(1):
            return self.fitted(machine).score(self._vectors(wave, machine, name))

    def machine_of(self, machine: str | None) -> str:
        """Return the machine that is meant, the only one by default; raise NearfarError for one that there is not."""
        if machine is None and len(self.machines) > 1:
            raise NearfarError(f"name its machine, one of {', '.join(self.machines)} (--machine, or its folder)")
        machine = self.machines[0] if machine is None else machine
        self.bundle.refuse_unknown(machine)
        return machine

    def read(self, machine: str) -> None:
        """Read what scores a machine's clips, unless that is done; raises NearfarError for a damaged file."""
        self.fitted(machine), self._listeners

    def fitted(self, machine: str) -> "Machine":
        """Return what was learned of a machine."""
        if machine not in self.known:
            self.bundle.refuse_unknown(machine)
            with tempfile.TemporaryDirectory(prefix="nearfar-") as place:
                self.bundle.extract(f"machines/{machine}", place)
                try:
                    self.known[machine] = Machine(machine, self.about, Path(place, "machines", machine))
                except KeyError as error:  # of a development version of the same format
                    raise NearfarError(f"{self.bundle.path}: says nothing of {error}; export it again") from error
        return self.known[machine]

    def refuse_other(self, rate: int, channels: int) -> None:
        """Raise NearfarError for a rate (Hz) or a number of channels that no recording had which this is made of."""
        for value, known, what in (
            (rate, self.made_of["rates"], lambda hertz: f"{hertz} Hz"),
            (channels, self.made_of["channels"], lambda count: f"{count} channel{'s' * (count != 1)}"),
        ):
            if value not in known:
                those = " and ".join(map(what, known))
                raise NearfarError(f"has {what(value)}, and the model is made of {those}; record it like these")

    @cached_property
    def _listeners(self):
        views = {view for one in self.about["detectors"].values() for view in one["views"]}
        with tempfile.TemporaryDirectory(prefix="nearfar-") as place:
            self.bundle.extract("networks", place)
            try:
                return listeners(Path(place, "networks"), self.about["features"], views)
            except (ImportError, OSError) as error:  # torchaudio's library, where it was built for another torch
                raise NearfarError(
                    f"a library that it needs cannot be loaded ({error}); install nearfar anew, with torch and "
                    f"torchaudio of one build"
                ) from error

    def _vectors(self, wave: np.ndarray, machine: str, name: str) -> dict[str, np.ndarray]:
        own = self.fitted(machine)
        found = {}
        for views, listen in (self._listeners | own.listeners).items():
            if own.views.intersection(views):
                found |= zip(views, listen(wave, name), strict=True)
        return found

    def _heard(self, wave, rate):
        """Return near and far of a wave at 16 kHz, float32 (frames, 1 or 2)."""
        if wave.dtype.kind != "f":
            raise NearfarError(f"is of {wave.dtype}; give floats in [-1, 1], of 16-bit samples divided by 32768")
        wave = wave[:, None] if wave.ndim == 1 else wave
        if wave.ndim != 2 or not len(wave):
            raise NearfarError(f"has the shape {wave.shape}; give (frames, channels)")
        places = [self.made_of["near"]] + ([] if self.made_of["far"] is None else [self.made_of["far"]])
        if wave.shape[1] == len(places):
            places = list(range(len(places)))
        self.refuse_other(rate, self.made_of["channels"][0] if wave.shape[1] == len(places) else wave.shape[1])
        return resampled(wave[:, places], rate)

    def _refuse_unfit(self, wave):
        if len(wave) < SHORTEST:
            raise NearfarError(f"too short ({len(wave)} of at least {SHORTEST} samples at {RATE} Hz); remove it")
        if len(wave) > self.made_of["longest"] * RATE:
            raise NearfarError(f"lasts {len(wave) / RATE:g} s, {self.made_of['longest']:g} s is the most; cut it")
        refuse_empty(wave)
        if wave.shape[1] == 2:
            level_of(wave)


class Machine:
    """What a system has learned of a machine: its members' fits, and their scores of its n training clips.

    ``training`` (n,) are the training clips' fused scores.
    """

    def __init__(self, name: str, about: Mapping[str, Any], folder: Path) -> None:
        known = about["machines"][name]
        self.name, self.domain, self.fusion = name, np.array(known["domain"]), about["fusion"]
        if not known.get("far", True):
            families = without(self.fusion["families"], self.fusion["residual"])
            self.fusion = self.fusion | {"families": families}
        counted = self.fusion.get("weights") or sum(self.fusion["families"].values(), [])
        self.detectors = {detector: about["detectors"][detector] for detector in counted}
        self.fits = {detector: CrossFit.read(folder / f"{detector}.safetensors") for detector in self.detectors}
        self.views = {view for one in self.detectors.values() for view in one["views"]}
        network = folder / "networks/autoencoder.safetensors"
        self.listeners = {("autoencoder/near",): autoencoder(network)} if network.is_file() else {}
        self.normalized = {detector: self._normalized(detector, fit.trained) for detector, fit in self.fits.items()}
        self.percentile, rate = about["decision"]["percentile"], about["decision"]["false_alarm"]
        self.training = self._fused(self.normalized).training
        self.threshold = threshold_at(rate, self.training, self.percentile)

    def score(self, vectors: Mapping[str, np.ndarray]) -> Scored:
        """Return what the system says of a clip, by a dict from view to its vector, (dims,) or (folds, dims)."""
        scores = {}
        for detector, fit in self.fits.items():
            seen = [vectors[view][None] for view in self.detectors[detector]["views"]]
            scores[detector] = self._normalized(detector, fit.score(seen))
            if not np.isfinite(scores[detector]).all():
                raise NearfarError(f"{detector} gives it no finite score; check the recording")
        fused = self._fused(scores)
        ranks = {name: float(train_ranks(own, self.normalized[name])[0]) for name, own in scores.items()}
        in_order = sorted(ranks.items(), key=lambda pair: (-pair[1], pair[0]))
        chance = p_values(fused.level, self.training)[0]
        return Scored(self.name, float(fused.level[0]), self.threshold, float(chance), tuple(in_order))

    def _normalized(self, detector, scores):
        how = self.detectors[detector]["normalization"]
        return normalize(self.fits[detector].trained, scores, self.domain, **how)[1]

    def _fused(self, scores: Mapping[str, np.ndarray]) -> Fused:
        """Return the fusion of clips, a dict from detector to (clips,), on the scale of the training clips."""
        if "families" in self.fusion:
            how = {"combine": self.fusion["combine"], "percentile": self.percentile}
            return fuse_families(self.normalized, scores, self.fusion["families"], **how)
        return fuse(self.normalized, scores, self.fusion["weights"], ranks="train", percentile=self.percentile)
