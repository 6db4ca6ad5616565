"""Progress bars: counts, speed and remaining time on a terminal, nothing in a file or a pipe."""

from tqdm import tqdm


def bar(items, what, unit="clip", total=None, initial=0):
    """Return ``items`` under a bar on stderr that says how many are done, how fast, and when the last will be.

    Without items (None), the bar of ``total`` of them, of which ``initial`` are done, to be moved by its ``update``.
    The unit B is bytes, shown as kB, MB and GB.
    """
    return tqdm(
        items,
        desc=what,
        unit=unit,
        unit_scale=unit == "B",
        total=total,
        initial=initial,
        disable=None,
        mininterval=0.5,
        leave=False,
        dynamic_ncols=True,
    )
