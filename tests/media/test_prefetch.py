"""Prefetched items are the same as without prefetching, errors and early ends included."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from iaca.media import prefetch
from iaca.media.video import PREFETCH


def numbers(count: int, made: list[int]) -> Iterator[int]:
    for number in range(count):
        made.append(threading.get_ident())
        yield number


@pytest.mark.parametrize("count", [0, 1, PREFETCH - 1, PREFETCH, PREFETCH + 1, 40])
def test_items_come_whole_and_in_order_from_one_thread_that_is_not_ours(count: int) -> None:
    made: list[int] = []
    assert list(prefetch(numbers(count, made))) == list(range(count))
    assert len(set(made)) == min(count, 1)
    assert threading.get_ident() not in made


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield from range(7)
        raise OSError("the disk is gone")

    seen: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(prefetch(broken()))
    assert seen == list(range(7))


def test_who_stops_early_ends_the_thread_and_no_further_item_is_begun() -> None:
    made: list[int] = []
    items = prefetch(numbers(1000, made))
    assert [next(items), next(items)] == [0, 1]
    items.close()
    begun = len(made)
    assert begun <= 2 + PREFETCH
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]
    assert len(made) == begun


def test_the_next_item_is_made_while_one_is_at_work() -> None:
    made: list[int] = []
    items = prefetch(numbers(100, made))
    next(items)
    end = time.monotonic() + 30
    while len(made) < 1 + PREFETCH and time.monotonic() < end:
        time.sleep(0.001)
    assert len(made) == 1 + PREFETCH  # as many as may wait, and no more
    items.close()


def test_a_caller_may_ask_for_more_ahead() -> None:
    made: list[int] = []
    items = prefetch(numbers(100, made), ahead=9)
    next(items)
    end = time.monotonic() + 30
    while len(made) < 10 and time.monotonic() < end:
        time.sleep(0.001)
    assert len(made) == 10
    items.close()
