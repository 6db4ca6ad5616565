"""Progress bars: counts, speed and remaining time on a terminal, nothing in a file or a pipe."""

from tqdm import tqdm


def bar(items, what, unit="clip"):
    """Return ``items`` under a bar on stderr that says how many are done, how fast, and when the last will be."""
    return tqdm(items, desc=what, unit=unit, disable=None, mininterval=0.5, leave=False, dynamic_ncols=True)
