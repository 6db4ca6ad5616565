"""Progress bars: counts, speed and remaining time on a terminal, nothing in a file or a pipe."""

from tqdm import tqdm


def bar(items, what, unit="clip", total=None):
    """Return ``items`` under a bar on stderr that says how many are done, how fast, and when the last will be.

    Without items (None), the bar of ``total`` of them, to be moved by its ``update``.
    """
    return tqdm(
        items, desc=what, unit=unit, total=total, disable=None, mininterval=0.5, leave=False, dynamic_ncols=True
    )
