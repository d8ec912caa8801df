"""How figures and report pages look and write: colours, parts of figures, names, and the format of numbers.

Every figure has few colours, distinguishable without colour vision, and its finding as the title. On the page a number
is rounded for readers and carries its exact value for programs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from iaca.errors import counted
from iaca.evaluation.config import BLUR, CLEAN_LEVELS, SNR, clean_level

INK, MUTED, GRID, SHADE, PAPER = "#1b2733", "#566472", "#e3e8ed", "#dfe3e8", "#ffffff"

VALENCE, AROUSAL = "#1f6fb4", "#d1600a"

AUDIO, VISUAL = "#3aa396", "#8a2f62"

DIMENSION_COLOURS = {"valence": VALENCE, "arousal": AROUSAL}

MODALITY_COLOURS = {"audio": AUDIO, "visual": VISUAL}
SMALL, NORMAL, LARGE = 9.5, 10.5, 13.5

DPI = 144
HEAD_IN = 0.72  # height of title and subtitle, inches
MODALITY_NAMES = {"audio": "voice", "visual": "face"}

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

# Parts of figures


def new_figure(width_in: float, height_in: float, title: str, subtitle: str = "") -> Figure:
    """An empty white figure of the given size in inches, with title (finding) and subtitle (method) at the left."""
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    top = 1 - HEAD_IN / height_in if subtitle else 1 - 0.42 / height_in
    figure.get_layout_engine().set(rect=(0.006, 0.008, 0.984, top - 0.008), h_pad=0.06, w_pad=0.08)  # type: ignore[union-attr,call-arg]
    size = float(
        np.clip((width_in - 0.24) * 72 / (0.64 * max(len(title), 1)), SMALL, LARGE)
    )  # shrink long titles to fit
    figure.text(0.12 / width_in, 1 - 0.1 / height_in, title, size=size, weight="bold", color=INK, va="top")
    if subtitle:
        figure.text(0.12 / width_in, 1 - 0.41 / height_in, subtitle, size=NORMAL, color=MUTED, va="top")
    return figure


def dress(axes: Axes, *, grid: str = "y") -> Axes:
    """Remove the box, mute the tick labels (at least 9 pt), draw a faint grid along `grid` ("x", "y", "both" or "")."""
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=MUTED, pad=4)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, axis=grid, color=GRID, linewidth=0.9)  # type: ignore[arg-type]
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(size=NORMAL, color=MUTED)
    return axes


def panel_title(axes: Axes, text: str, aside: str = "") -> None:
    """Set a panel's heading at its left, and `aside` in the muted colour at its right."""
    axes.set_title(text, loc="left", size=NORMAL, weight="bold", color=INK, pad=7)
    if aside:
        axes.set_title(aside, loc="right", size=SMALL, color=MUTED, pad=7)


def legend(axes: Axes, **options: Any) -> None:
    """Draw a legend without a frame, in the text colour."""
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, handlelength=1.6, borderaxespad=0.2, **options)


def gate_bands(axes: Axes, time_s: npt.ArrayLike, audio: npt.ArrayLike, visual: npt.ArrayLike) -> None:
    """Draw the weights of voice (lower) and face (upper) as two bands that fill 0 to 1; NaN leaves a gap."""
    audio, visual = np.asarray(audio, float), np.asarray(visual, float)
    axes.fill_between(time_s, 0, audio, color=AUDIO, alpha=0.75, linewidth=0, label="voice")
    axes.fill_between(time_s, audio, audio + visual, color=VISUAL, alpha=0.7, linewidth=0, label="face")
    axes.plot(time_s, audio, color=PAPER, linewidth=1.2)
    axes.axhline(0.5, color=PAPER, linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.8)
    axes.set(ylim=(0, 1), yticks=[0, 0.5, 1], yticklabels=["0 %", "50 %", "100 %"])


def event_strip(axes: Axes, spans: Sequence[tuple[str, float, float, str, str]], rows: Sequence[str]) -> None:
    """Draw labelled bars in rows.

    Args:
        axes: x is time in s.
        spans: (row, start_s, end_s, colour, label).
        rows: names of the rows from top to bottom; empty rows are shown, too.
    """
    place = {row: len(rows) - 1 - i for i, row in enumerate(rows)}
    for row, start, end, colour, label in spans:
        axes.barh(place[row], end - start, left=start, height=0.78, color=colour, linewidth=0)
        _bar_label(axes, start, end, place[row], label)
    axes.set(ylim=(-0.55, len(rows) - 0.45), yticks=list(place.values()), yticklabels=list(place))


def _bar_label(axes: Axes, start: float, end: float, height: float, label: str) -> None:
    """Write the label inside the bar if it fits, else next to it: a label must never be cut off."""
    low, high = axes.get_xlim()
    per_inch = (high - low) / (axes.get_window_extent().width / DPI)
    needed = (len(label) * SMALL * 0.6 / 72 + 0.08) * per_inch
    if end - start >= needed:
        axes.text((start + end) / 2, height, label, size=SMALL, color=PAPER, ha="center", va="center", weight="bold")
        return
    room = high - end > needed
    side, anchor = (end, "left") if room else (start, "right")
    axes.annotate(
        label,
        (side, height),
        (4 if room else -4, 0),
        textcoords="offset points",
        size=SMALL,
        color=INK,
        ha=anchor,
        va="center",
    )


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes, identical for identical figures (no date, no version in the metadata).

    Math parsing is off: matplotlib would set a name with two dollar signs as a formula, or fail if it is not one.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # type: ignore[attr-defined]
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor=PAPER, metadata={"Software": None})
    return buffer.getvalue()


def stretches(mask: npt.NDArray[np.bool_], time_s: npt.NDArray[np.float64]) -> Iterator[tuple[float, float]]:
    """(start_s, end_s) of each run of True in `mask` (n,), at the frame times `time_s` (n,) in seconds."""
    if not mask.size:
        return
    step = float(np.median(np.diff(time_s))) if time_s.size > 1 else 0.0
    edges = np.append(time_s, time_s[-1] + step)
    bounds = [0, *(np.flatnonzero(np.diff(mask)) + 1).tolist(), mask.size]
    for start, end in pairwise(bounds):
        if mask[start]:
            yield float(edges[start]), float(edges[end])


# Numbers and words as text


def level_text(corruption: str, level: float) -> str:
    """A level of corruption: `50 %` of the timeline, `+0.5 s`, `−5 dB`, `x 4`, or `clean`."""
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
    """`+0.012`, `−0.003`, or `n/a`; no sign if it rounds to 0."""
    return _fixed(value, digits, "+") if np.isfinite(value) else "n/a"


def plain(value: float, digits: int = 3) -> str:
    """`0.512`, `−0.020`, or `n/a`."""
    return _fixed(value, digits) if np.isfinite(value) else "n/a"


def _fixed(value: float, digits: int, sign: Literal["", "+"] = "") -> str:
    """Round to `digits` places; a value that rounds to 0 has no sign."""
    rounded = f"{value:z.{digits}f}"
    return (f"{value:{sign}.{digits}f}" if float(rounded) else rounded).replace("-", "−")


def with_interval(value: float, low: float, high: float) -> str:
    """`+0.012 [−0.003, +0.027]`; the number alone if it has no interval."""
    return f"{signed(value)} {interval(low, high)}" if np.isfinite([low, high]).all() else signed(value)


def interval(low: float, high: float) -> str:
    """`[−0.003, +0.027]`, or `[n/a]`."""
    return f"[{signed(low)}, {signed(high)}]" if np.isfinite([low, high]).all() else "[n/a]"


def listed(words: Iterable[str]) -> str:
    """`a, b and c`; `none` for an empty list."""
    *first, last = [*words] or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


# Numbers on the page


def number(value: object, digits: int = 3) -> Markup:
    """A real number as a `<data>` element: rounded to `digits` places, with the exact value in its attribute."""
    return _data(value, lambda x: _fixed(x, digits))


def difference(value: object) -> Markup:
    """A signed difference with three places; exactly 0 is a dash: a model compared with itself."""
    return _data(value, lambda x: "–" if x == 0 else _fixed(x, 3, "+"))


def count(value: object) -> Markup:
    """A whole number with thousands separated."""
    return _data(value, lambda x: f"{x:,.0f}".replace(",", "\u202f"))


def counted_data(value: int, noun: str) -> Markup:
    """A whole number as `count` writes it, with its noun in the singular or plural: `1 clip`, `3 clips`."""
    return count(value) + " " + counted(value, noun).split(" ", 1)[1]


def cell(value: object) -> Markup | str:
    """A table cell: integers as counts, real numbers with three places; the template escapes text."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return count(value)
    return number(value) if isinstance(value, (float, np.floating)) else str(value)


def parameter(value: object) -> Markup | str:
    """A parameter of a model on the page: numbers exact, anything else as `parameter_text`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return count(value)
    return _data(value, parameter_text) if isinstance(value, float) else parameter_text(value)


def parameter_text(value: object) -> str:
    """A parameter for readers, without the syntax of Python or JSON.

    Examples: `yes`, `0.001`, `audio, visual`, `name: resnet18, weights: tuned.pt`; `none` if empty. Empty entries of a
    mapping are left out; if only `name` remains, its value is written alone. JSON, as model files keep it, is parsed.
    """
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):  # not JSON: any text may begin with a bracket
            return str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, Mapping):
        filled = {name: entry for name, entry in value.items() if entry not in (None, "", [], {})}
        if set(filled) == {"name"}:
            return parameter_text(filled["name"])
        return ", ".join(f"{name}: {_nested(entry)}" for name, entry in filled.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_nested(entry) for entry in value) or "none"
    return "none" if value is None else str(value)


def _nested(value: object) -> str:
    text = parameter_text(value)
    return f"({text})" if isinstance(value, (Mapping, list, tuple)) and ", " in text else text


def _data(value: object, text: Callable[[float], str]) -> Markup:
    if value is None or not np.isfinite(float(value)):  # type: ignore[arg-type]
        return Markup('<data value="">n/a</data>')
    exact = float(value)  # type: ignore[arg-type]
    return Markup('<data value="{}">{}</data>').format(repr(exact), text(exact))
