"""One progress bar with an ETA where somebody watches, a few log lines where nobody does."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

log = logging.getLogger(__name__)
T = TypeVar("T")


def watched() -> bool:
    """Whether a person sees this terminal: a bar there, a quiet log elsewhere."""
    return sys.stderr.isatty() and not os.environ.get("CI")


def progress(items: Iterable[T], name: str, total: int) -> Iterator[T]:
    """Hand the items on while showing how far it is: a bar with ETA, or a log line each quarter of the way."""
    if not watched():
        for count, item in enumerate(items, start=1):
            if count % max(total // 4, 1) == 0 and count < total:
                log.info("%s: %d of %d", name, count, total)
            yield item
        return
    yield from tqdm(items, desc=name, total=total, unit="clip", smoothing=0.1, dynamic_ncols=True)
