"""A finding in words: which band, when, how much louder, in which signal, and which detectors drive the score."""

from collections.abc import Sequence

from nearfar.report.explain import THROUGHOUT, Finding
from nearfar.report.spectra import HERTZ, frames_as_seconds

HEARD_IN = {
    "near": "by the near microphone",
    "far": "by the far microphone",
    "residual": "in the residual, what the near microphone hears and the far one does not",
}
MOMENTS = 3  # that are named


def sentence(finding: Finding, signal: str, samples: int) -> str:
    """Return what a finding in a signal of a clip of so many samples says."""
    seconds = [frames_as_seconds(*time, samples) for time in finding.times]
    decibels = abs(finding.decibels)
    what = (
        f"{decibels:.{int(decibels < 2)}f} dB {'louder' if finding.decibels > 0 else 'quieter'} than expected "
        f"{band(finding)}, {when(seconds, samples)}, {HEARD_IN[signal]}"
    )
    if finding.ratio > 1:
        return f"{what[0].upper()}{what[1:]} ({finding.ratio:.1f} times what stands out among normal clips)."
    return f"No single band or moment stands out against normal clips. What comes nearest: {what}."


def band(finding: Finding) -> str:
    """Return between which frequencies a finding lies."""
    low, high = (float(HERTZ[edge]) for edge in finding.bands)
    if high <= 1000:
        return f"at {low:.0f}–{high:.0f} Hz"
    return f"at {low / 1000:.1f}–{high / 1000:.1f} kHz" if low >= 1000 else f"at {low:.0f} Hz–{high / 1000:.1f} kHz"


def when(seconds: Sequence[tuple[float, float]], samples: int) -> str:
    """Return when: stretches in seconds of a clip of so many samples."""
    from nearfar.data.audio import RATE

    if sum(end - start for start, end in seconds) > THROUGHOUT * samples / RATE:
        return "throughout"
    longest = sorted(sorted(seconds, key=lambda part: part[0] - part[1])[:MOMENTS])
    named = ", ".join(_moment(*part) for part in longest)
    more = len(seconds) - len(longest)
    return named + (f" and {more} more time{'s' if more > 1 else ''}" if more else "")


def _moment(start, end):
    return f"at {(start + end) / 2:.2f} s" if end - start < 0.15 else f"from {start:.1f} to {end:.1f} s"


def driven(drops: dict[str, float]) -> str:
    """Return which detectors drive a score: a dict from detector to how far the score falls without its word."""
    leading = [(name, drop) for name, drop in sorted(drops.items(), key=lambda pair: -pair[1]) if drop > 0]
    if not leading:
        return "No detector finds it more unusual than half of the normal clips."
    total = sum(drop for _, drop in leading)
    shares = [f"{name} ({drop / total:.0%})" for name, drop in leading[:3] if drop / total >= 0.1]
    return f"The score comes from {' and '.join([', '.join(shares[:-1]), shares[-1]] if shares[1:] else shares)}."
