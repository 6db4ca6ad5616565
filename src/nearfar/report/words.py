"""A finding in words: which band, when, how much louder, in which signal, and which detectors drive the score."""

from collections.abc import Sequence
from typing import Any

from nearfar.data.audio import RATE
from nearfar.report.explain import Finding
from nearfar.report.views import View

HEARD_IN = {
    "near": "heard by the near microphone",
    "residual": "in the residual, what the near microphone hears and the far one does not",
}
COMPARED = {  # by each method
    "mahalanobis": "how far from the mean of the normal clips",
    "whitened": "how far from the nearest normal clip",
    "knn": "how unlike the nearest normal clip in direction",
    "flow": "how unlikely among the normal clips",
    "predictive": "how badly the far microphone follows from the near one, as it does in normal clips",
    "reconstruction": "how badly a network restores what it learned on normal clips",
}
HEARD = {  # of each feature
    "eat": "what an audio transformer hears",
    "eat_bands": "what an audio transformer hears in each band",
    "beats": "what an audio transformer hears",
    "lccr": "what a network hears that learned to compare both microphones",
    "classifier": "what a network hears that learned to tell your machines and their states apart",
    "autoencoder": "levels of mel bands",
    "rtf": "level and phase between the two microphones, by band",
    "logmel": "mean and swing of the level of each mel band",
    "spectrum": "mean power in bands narrow enough for single tones",
    "modulation": "how much each mel band's level swings, and how fast",
}
MOMENTS = 3  # that are named
THROUGHOUT = 0.7  # share of the clip from which on "throughout" is said


def sentence(finding: Finding, view: View, samples: int) -> str:
    """Return what a finding in a view of a clip of so many samples says."""
    what = _WHAT[view.columns](finding, view, samples)
    if finding.ratio > 1:
        return f"{what[0].upper()}{what[1:]} ({finding.ratio:.1f} times what stands out among normal clips)."
    return f"No single band or moment stands out against normal clips. What comes nearest: {what}."


def _level(finding, view, samples):
    louder = "louder" if finding.decibels > 0 else "quieter"
    seconds = [view.span(*stretch, samples) for stretch in finding.columns]
    where = f"{band(finding, view)}, {when(seconds, samples)}, {HEARD_IN[view.signal]}"
    return f"{decibels(finding)} {louder} than expected {where}"


def _swings(finding, view, samples):
    more = "more" if finding.decibels > 0 else "less"
    paces = [view.span(*stretch, samples) for stretch in finding.columns]
    where = f"{band(finding, view)}, {pace(paces)}, {HEARD_IN[view.signal]}"
    return f"the level swings {decibels(finding)} {more} than expected {where}"


def _path(finding, view, samples):
    more = "louder" if finding.decibels > 0 else "quieter"
    return (
        f"what the near microphone hears reaches the far one {decibels(finding)} {more} than expected "
        f"{band(finding, view)}, throughout"
    )


_WHAT = {"time": _level, "swings": _swings, "one": _path}


def decibels(finding: Finding) -> str:
    """Return by how much a finding departs from what is expected."""
    size = abs(finding.decibels)
    return f"{size:.{int(size < 2)}f} dB"


def band(finding: Finding, view: View) -> str:
    """Return between which frequencies a finding lies."""
    low, high = (float(view.hertz[edge]) for edge in finding.bands)
    if high <= 1000:
        return f"at {low:.0f}–{high:.0f} Hz"
    return f"at {low / 1000:.1f}–{high / 1000:.1f} kHz" if low >= 1000 else f"at {low:.0f} Hz–{high / 1000:.1f} kHz"


def pace(paces: Sequence[tuple[float, float]]) -> str:
    """Return how often a second: stretches of swings a second."""
    named = [f"{low:.1f}" if high - low < 0.1 else f"{low:.1f} to {high:.1f}" for low, high in paces[:MOMENTS]]
    return f"about {' and '.join(named)} times a second"


def when(seconds: Sequence[tuple[float, float]], samples: int) -> str:
    """Return when: stretches in seconds of a clip of so many samples."""
    if sum(end - start for start, end in seconds) > THROUGHOUT * samples / RATE:
        return "throughout"
    longest = sorted(sorted(seconds, key=lambda part: part[0] - part[1])[:MOMENTS])
    named = ", ".join(_moment(*part) for part in longest)
    more = len(seconds) - len(longest)
    return named + (f" and {more} more time{'s' if more > 1 else ''}" if more else "")


def _moment(start, end):
    return f"at {(start + end) / 2:.2f} s" if end - start < 0.15 else f"from {start:.1f} to {end:.1f} s"


def compared(detector: dict[str, Any]) -> str:
    """Return what a detector of the configuration compares, and of which signals; by its names where it is new."""
    features = [view.split("/") for view in detector["views"]]
    heard = " and ".join(dict.fromkeys(HEARD.get(feature, feature) for feature, _ in features))
    signals = " and ".join(dict.fromkeys("near and far" if signal == "pair" else signal for _, signal in features))
    each = ", each feature in its own deviation" if detector.get("params", {}).get("covariance") == "diagonal" else ""
    return f"{COMPARED.get(detector['method'], detector['method'])}: {heard} ({signals}{each})"


def driven(drops: dict[str, float]) -> str:
    """Return which detectors drive a score: a dict from detector to how far the score falls without its word."""
    leading = [(name, drop) for name, drop in sorted(drops.items(), key=lambda pair: -pair[1]) if drop > 0]
    if not leading:
        return "No detector finds it more unusual than half of the normal clips."
    total = sum(drop for _, drop in leading)
    shares = [f"{name} ({drop / total:.0%})" for name, drop in leading[:3] if drop / total >= 0.1]
    return f"The score comes from {' and '.join([', '.join(shares[:-1]), shares[-1]] if shares[1:] else shares)}."
