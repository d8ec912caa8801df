"""Numbers and names as the page and the figures write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from iaca.evaluation.robustness.config import BLUR, CLEAN_LEVELS, SNR, clean_level

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "clean": "Clean",
        "missing_audio": "Voice missing",
        "missing_video": "Face missing",
        "frame_drop": "Steps of both dropped",
        "time_shift": "Voice shifted in time",
        "conflict": "Another clip's voice or face",
        "feature_noise": "Noise on voice or face features",
        "audio_noise": "White noise in the sound",
        "audio_babble": "Babble in the sound",
        "video_blur": "Face blurred",
        "occlusion_mouth": "Mouth covered",
        "occlusion_eyes": "Eyes covered",
    }
)


def level_text(corruption: str, level: float) -> str:
    """`50 %` of the timeline, `+0.5 s`, `−5 dB` or `x 4`; or `clean`."""
    if corruption in CLEAN_LEVELS and level == clean_level(corruption):
        return "clean"
    if corruption == "time_shift":
        return f"{level:+g} s".replace("-", "−")
    if corruption in SNR:
        return f"{level:g} dB".replace("-", "−")
    if corruption == BLUR:
        return f"x {level:g}"
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
