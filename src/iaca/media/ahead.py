"""One step ahead: a thread decodes the next frames while those before are at work."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
AHEAD = 4
"""Items made and not yet asked for: 4 frames of 1920x1080 are 25 MB."""
_END: object = object()


def made_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items in the same order, made by one thread that is up to `AHEAD` of them in front.

    What the items come from may be used by nobody else meanwhile. It is run by that thread alone and never by two at a
    time, so the items are the same as without. An exception in there is raised here, after the items before it. Who
    stops early waits for the item that is under way, and no other is begun.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        waiting: deque[Future[T]] = deque(thread.submit(next, items, _END) for _ in range(AHEAD))  # type: ignore[arg-type]
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(thread.submit(next, items, _END))  # type: ignore[arg-type]
                yield item
        finally:
            for future in waiting:
                future.cancel()
