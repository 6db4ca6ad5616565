"""Items made ahead of the one who needs them."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """Yield ``items`` in their order while one thread makes the next ``depth`` of them.

    An exception that ``items`` raises is raised here, in its place. When this generator ends or is closed the thread
    has ended, and what it had not begun is not made.
    """
    items, end = iter(items), object()
    worker = ThreadPoolExecutor(1)  # one, so that the items are made one after another
    try:
        coming = deque(worker.submit(next, items, end) for _ in range(depth))
        while (item := coming.popleft().result()) is not end:
            coming.append(worker.submit(next, items, end))
            yield item
    finally:
        worker.shutdown(cancel_futures=True)
