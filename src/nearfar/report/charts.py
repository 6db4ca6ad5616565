"""Numbers for the page's drawings: where bars, lines and ticks lie. The templates draw them as SVG."""

from typing import Any

import numpy as np

from nearfar.report.spectra import BANDS, HERTZ

BINS = 32
TICKS = (200, 500, 1000, 2000, 4000)  # Hz


def histogram(training: list[float], rows: list[dict]) -> dict[str, Any]:
    """Return low and high of the scores, and the share of each group in each of BINS bins, scaled to a highest of 1.

    training: scores of normal training clips; rows: of the tested ones, with score and label.
    """
    groups = {"training": np.asarray(training)}
    for label, name in (("normal", "normal"), ("anomaly", "anomaly"), (None, "test")):
        if of_label := [row["score"] for row in rows if row["label"] == label]:
            groups[name] = np.asarray(of_label)
    everything = np.concatenate(list(groups.values()))
    low, high = float(everything.min()), float(everything.max())
    high = high if high > low else low + 1
    shares = {name: np.histogram(values, BINS, (low, high))[0] / len(values) for name, values in groups.items()}
    most = max(share.max() for share in shares.values())
    bars = {name: (share / most).round(4).tolist() for name, share in shares.items()}
    return {"low": low, "high": high, "bars": bars, "bins": BINS}


def frequency_ticks() -> list[tuple[str, float]]:
    """Return the words and the height, in percent from the bottom, of the ticks of a spectrogram."""
    heights = np.interp(TICKS, HERTZ, np.arange(BANDS + 1)) / BANDS
    words = [f"{hertz // 1000} kHz" if hertz >= 1000 else f"{hertz} Hz" for hertz in TICKS]
    return list(zip(words, (100 * heights).round(1).tolist(), strict=True))


def line(across: list[float], up: list[float], low: float, high: float) -> str:
    """Return the points of a line in a box of 100 by 100, ``up`` from ``low`` at the bottom to ``high`` at the top."""
    first, last = across[0], across[-1] if across[-1] > across[0] else across[0] + 1
    pairs = zip(across, up, strict=True)
    return " ".join(
        f"{100 * (x - first) / (last - first):.1f},{100 - 100 * (y - low) / (high - low):.1f}" for x, y in pairs
    )


def share_above(training: list[float], threshold: float) -> float:
    """Return the share of the training scores above a threshold."""
    return float((np.asarray(training) > threshold).mean())
