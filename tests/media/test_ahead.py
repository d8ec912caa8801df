"""Items made ahead are the same as without, errors and early ends included."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from iaca.media import made_ahead
from iaca.media.video import AHEAD


def numbers(count: int, made: list[int]) -> Iterator[int]:
    for number in range(count):
        made.append(threading.get_ident())
        yield number


@pytest.mark.parametrize("count", [0, 1, AHEAD - 1, AHEAD, AHEAD + 1, 40])
def test_items_come_whole_and_in_order_from_one_thread_that_is_not_ours(count: int) -> None:
    made: list[int] = []
    assert list(made_ahead(numbers(count, made))) == list(range(count))
    assert len(set(made)) == min(count, 1)
    assert threading.get_ident() not in made


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield from range(7)
        raise OSError("the disk is gone")

    seen: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(made_ahead(broken()))
    assert seen == list(range(7))


def test_who_stops_early_ends_the_thread_and_no_further_item_is_begun() -> None:
    made: list[int] = []
    items = made_ahead(numbers(1000, made))
    assert [next(items), next(items)] == [0, 1]
    items.close()
    begun = len(made)
    assert begun <= 2 + AHEAD
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
    assert len(made) == begun


def test_the_next_item_is_made_while_one_is_at_work() -> None:
    made: list[int] = []
    items = made_ahead(numbers(100, made))
    next(items)
    end = time.monotonic() + 30
    while len(made) < 1 + AHEAD and time.monotonic() < end:
        time.sleep(0.001)
    assert len(made) == 1 + AHEAD  # as many as may wait, and no more
    items.close()
