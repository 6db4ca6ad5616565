"""From the windows of a recording to one score, and to a threshold that is not passed for being long."""

import numpy as np


def in_time(clips: dict[str, np.ndarray]) -> np.ndarray:
    """Return the indices (clips,) that sort a clip table by recording and start."""
    return np.lexsort((clips["start"], clips["recording"].astype(str)))


def by_recording(clips: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a dict from recording, sorted, to the indices (windows,) of its rows in a clip table, by their start."""
    order = in_time(clips)
    names, first = np.unique(clips["recording"][order].astype(str), return_index=True)
    return dict(zip(names.tolist(), np.split(order, first[1:]), strict=True))


def worst(levels: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the ``count`` highest of the levels (windows,), the highest first, or of all these."""
    return np.argsort(-levels, kind="stable")[:count]


def block_threshold(training: np.ndarray, length: int, *, worst_windows: int, percentile: float) -> np.float64:
    """Return what the mean of the worst windows of a normal recording of ``length`` windows stays below.

    The ``percentile`` of ``block_means`` over all of them: the maximum of many windows is higher than that of few.
    """
    return np.percentile(block_means(training, length, worst_windows=worst_windows), percentile)


def block_means(training: np.ndarray, length: int, *, worst_windows: int) -> np.ndarray:
    """Return the means (n,) of the worst windows of each block of ``length`` successive normal windows.

    training: the levels (n,) of the normal windows in order of time; the first follows the last (circular blocks, after
    Politis and Romano 1992: neighbours resemble each other). No block is longer than n.
    """
    length = min(length, len(training))
    ring = np.concatenate([training, training[: length - 1]])
    blocks = np.lib.stride_tricks.sliding_window_view(ring, length)
    return np.array([block[worst(block, worst_windows)].mean() for block in blocks])


def caution(length: int, normal: int, percentile: float) -> str:
    """Return a remark where there are too few ``normal`` windows to keep the false alarms that ``percentile`` promises.

    Of recordings of ``length`` windows like the normal ones, length in length + normal is then above the threshold: a
    new block is the highest of all as often as any other (docs/evidence.md has the simulation).
    """
    share = length / (length + normal)
    if share <= 1 - percentile / 100 or length == 1:
        return ""
    return f"{share:.0%} of normal recordings so long would be above: {length} windows judged by {normal} normal ones"
