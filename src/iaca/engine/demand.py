"""A mapping whose values are made when they are asked for: what thousands of items have in common is held once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class OnDemand(Mapping[str, T]):
    """Item -> value, made anew each time; only the names of the items are held.

    Args:
        make: called as `make(item, *cells)`; the same call gives the same value.
        items: the names, in order.
        columns: of each its cell at the item's place is passed on, such as `table["media"].array`, which holds a text
            in a fraction of what a Python object takes.
    """

    def __init__(self, make: Callable[..., T], items: Iterable[str], *columns: Sequence[Any]):
        self._make, self._columns = make, columns
        self._places = {item: place for place, item in enumerate(items)}

    def __getitem__(self, item: str) -> T:
        place = self._places[item]
        return self._make(item, *(column[place] for column in self._columns))

    def __contains__(self, item: object) -> bool:
        return item in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
