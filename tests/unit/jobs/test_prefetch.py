import threading
import time

import pytest

from nearfar.errors import NearfarError
from nearfar.jobs.prefetch import ahead


def counted(made, count=20):
    for number in range(count):
        made.append(threading.current_thread())
        yield number


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_items_come_in_order_made_by_one_other_thread_and_not_too_early(depth):
    made = []
    for number, item in enumerate(ahead(counted(made), depth)):
        time.sleep(0.002)
        assert item == number and len(made) <= number + 1 + depth
    assert len(made) == 20 and len(set(made)) == 1 and made[0] is not threading.current_thread()


def test_the_next_item_is_made_while_the_consumer_works():
    made, begun = [], time.perf_counter()
    coming = ahead(counted(made), 2)
    next(coming)
    while len(made) < 3:
        assert time.perf_counter() - begun < 10
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(made) == 3
    coming.close()


def test_an_error_comes_in_its_place():
    def broken():
        yield 1
        raise NearfarError("b.wav: cut short")

    coming = ahead(broken(), 4)
    assert next(coming) == 1
    with pytest.raises(NearfarError, match="b.wav: cut short"):
        next(coming)


@pytest.mark.parametrize("items", [[], [1, 2, 3]])
def test_no_thread_is_left(items):
    before, made = threading.active_count(), []
    assert list(ahead(items)) == items
    coming = ahead(counted(made))
    next(coming)
    coming.close()
    assert threading.active_count() == before and len(made) <= 4
