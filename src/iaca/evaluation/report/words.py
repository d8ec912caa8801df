"""How values are written on the page: readable, with the exact number beside it for whoever reads by machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from markupsafe import Markup


def number(value: object, digits: int = 3) -> Markup:
    """A real number as a `<data>` element: `digits` places to read, the exact value in its attribute."""
    return _data(value, lambda x: f"{x:.{digits}f}".replace("-", "−"))


def difference(value: object) -> Markup:
    """A signed difference with three places; exactly 0 is a dash, since a model does not differ from itself."""
    return _data(value, lambda x: "–" if x == 0 else f"{x:+.3f}".replace("-", "−"))


def count(value: object) -> Markup:
    """A whole number with thousands set apart."""
    return _data(value, lambda x: f"{x:,.0f}".replace(",", "\u202f"))


def cell(value: object) -> Markup | str:
    """Whatever stands in a table: whole numbers as counts, real ones with three places, text as it is (escaped)."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return count(value)
    return number(value) if isinstance(value, (float, np.floating)) else str(value)


def _data(value: object, text: Callable[[float], str]) -> Markup:
    if value is None or not np.isfinite(float(value)):  # type: ignore[arg-type]
        return Markup('<data value="">n/a</data>')
    exact = float(value)  # type: ignore[arg-type]
    return Markup('<data value="{}">{}</data>').format(repr(exact), text(exact))
