"""Numbers and names as the page and the figures write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "clean": "Clean",
        "missing_audio": "Voice missing",
        "missing_video": "Face missing",
        "frame_drop": "Steps of both dropped",
        "time_shift": "Voice shifted in time",
        "conflict": "Another clip's voice or face",
        "feature_noise": "Noise on voice or face features",
    }
)


def level_text(corruption: str, level: float) -> str:
    """`50 %` of the timeline, or `+0.5 s`."""
    if corruption == "time_shift":
        return f"{level:+g} s".replace("-", "−")
    return f"{100 * level:g} %"


def signed(value: float, digits: int = 3) -> str:
    """`+0.012`, `−0.003`, or `n/a`."""
    return f"{value:+.{digits}f}".replace("-", "−") if np.isfinite(value) else "n/a"


def plain(value: float, digits: int = 3) -> str:
    """`0.512`, `−0.020`, or `n/a`."""
    return f"{value:.{digits}f}".replace("-", "−") if np.isfinite(value) else "n/a"


def interval(low: float, high: float) -> str:
    """`[−0.003, +0.027]`, or `[n/a]`."""
    return f"[{signed(low)}, {signed(high)}]" if np.isfinite([low, high]).all() else "[n/a]"


def listed(words: Iterable[str]) -> str:
    """`a, b and c`; `none` of nothing."""
    *first, last = [*words] or ["none"]
    return f"{', '.join(first)} and {last}" if first else last
