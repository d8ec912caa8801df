"""The plot of a video: valence and arousal with their intervals, inconsistency, and the weights of voice and face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iaca.errors import InputError
from iaca.evaluation import style
from iaca.evaluation.events import modality_gates, spans
from iaca.evaluation.metrics import DIMENSIONS
from iaca.inference.summary import UNUSUAL, Sources, observed
from iaca.parameters import MODALITIES

_ABSENT = (("face_found", "no face", "#b9a3b2"), ("audio_present", "no sound", "#93b3af"))
_ABSENT_OF_SEVERAL = (("face_found", "not in view", "#b9a3b2"), ("audio_present", "voice not theirs", "#93b3af"))
MOST = 0.95
"""A mean over fewer frames than this share says over how many it is."""
MAX_PEOPLE = 6
"""People drawn at most; the first ones have the largest faces."""


def prediction_plot(
    table: pd.DataFrame | Sequence[pd.DataFrame],
    title: str,
    events: pd.DataFrame | None = None,
    sources: Sources | None = None,
) -> Figure:
    """Valence and arousal over time; below, how far voice and face disagree, their weights, and where one was missing.

    Args:
        table: predictions of one clip: time_s, valence, arousal; optionally {valence,arousal}_{low,high},
            inconsistency, face_found, audio_present, and the gates of `modality_gates`. For several people in one
            video, the table of each; the first `MAX_PEOPLE` are drawn, one below the other.
        title: name of the video; the main result is the subtitle.
        events: modality, kind, start_s, end_s of this clip if the truth is known; drawn as labelled bars.
        sources: of the model (`Predictor.sources`), for the means in the subtitle.

    Raises:
        InputError: if a table is empty.
    """
    given = [table] if isinstance(table, pd.DataFrame) else list(table)
    if not given or any(one.empty for one in given):
        raise InputError(f"{title}: there are no predictions to draw")
    tables = [one.sort_values("time_s") for one in given[:MAX_PEOPLE]]
    shown = events if events is not None and len(events) else None
    heights = [height for one in tables for height in _heights(one, shown, len(tables))]
    finding = _finding(tables[0], sources) if len(tables) == 1 else _people_subtitle(len(tables), len(given))
    figure = style.new_figure(10, 1.3 + sum(heights) + 0.55 * (len(tables) - 1), title, finding)
    panels = list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])
    panels[0].set_xlim(float(tables[0]["time_s"].min()), max(float(tables[0]["time_s"].max()), 1e-3))
    panels[-1].set_xlabel("time (s)")
    for number, one in enumerate(tables, start=1):
        if len(tables) == 1:
            _draw(panels, one, "Valence and arousal", shown, _ABSENT)
        else:
            _draw(panels, one, _person(number, one, sources), shown, _ABSENT_OF_SEVERAL)
    return figure


def _people_subtitle(drawn: int, people: int) -> str:
    left_out = f"; the {drawn} largest are drawn" if drawn < people else ""
    voice = "A voice counts for the person whose mouth moves with it, or for all if that is unclear."
    return f"{people} people{left_out}. {voice}"


def _person(number: int, table: pd.DataFrame, sources: Sources | None) -> str:
    """Heading: when the person was in view, and the means."""
    seen = table["time_s"][table["face_found"].to_numpy(bool)]
    when = ""
    if len(seen):
        when = f", {seen.iloc[0]:.1f} to {seen.iloc[-1]:.1f} s, {100 * len(seen) / len(table):.0f} % of frames"
    means = [
        f"{name} {style.signed(table.loc[there, name].mean(), 2)}"
        for name in DIMENSIONS
        if (there := observed(table, name, sources)).any()
    ]
    return f"Person {number}{when}: {'; '.join(means) or 'nothing was read'}"


def _heights(table: pd.DataFrame, events: pd.DataFrame | None, people: int) -> list[float]:
    """Heights in inches of a person's panels: values, inconsistency, gates, strip of events.

    With intervals, valence and arousal have a panel each: their intervals overlap nearly everywhere.
    """
    strip = 0.2 + 0.24 * (sum(column in table for column, *_ in _ABSENT) + 2 * (events is not None))
    values, gates = (3.1, 1.15) if people == 1 else (1.9, 0.8)
    shown = [0.58 * values] * 2 if _bounded(table) else [values]
    weighed = modality_gates(table)
    gates = gates if len(weighed) < 2 else 0.62 * gates
    return shown + [0.42] * _judges(table) + [gates] * len(weighed) + [strip]


def _draw(
    panels: list[Axes],
    table: pd.DataFrame,
    heading: str,
    events: pd.DataFrame | None,
    absent: tuple[tuple[str, ...], ...],
) -> None:
    """Draw one person into the first of `panels`, and remove those from the list."""
    parts = [[name] for name in DIMENSIONS] if _bounded(table) else [list(DIMENSIONS)]
    for i, names in enumerate(parts):
        _draw_values(panels.pop(0), table, names, heading if i == 0 else "", absent)
    if _judges(table):
        _draw_inconsistency(panels.pop(0), table)
    _draw_gates(panels, table)
    _draw_strip(panels.pop(0), table, events, absent)


def _bounded(table: pd.DataFrame) -> bool:
    """Whether there is an interval anywhere."""
    return any(f"{name}_low" in table and bool(table[f"{name}_low"].notna().any()) for name in DIMENSIONS)


def _draw_values(
    axes: Axes, table: pd.DataFrame, names: list[str], heading: str, absent: tuple[tuple[str, ...], ...]
) -> None:
    style.dress(axes)
    for column, _, colour in absent:  # named in the strip below: words here would lie over the traces
        if column in table:
            for start, end in style.stretches(~table[column].to_numpy(bool), table["time_s"].to_numpy(float)):
                axes.axvspan(start, end, color=colour, alpha=0.28, linewidth=0)
    axes.axhline(0, color=style.MUTED, linewidth=0.9)
    for dimension in names:
        colour = style.DIMENSION_COLOURS[dimension]
        if _bounded(table):
            bounds = (table[f"{dimension}_low"], table[f"{dimension}_high"])
            axes.fill_between(table["time_s"], *bounds, color=colour, alpha=0.2, linewidth=0, label="90 % interval")
        axes.plot(table["time_s"], table[dimension], color=colour, linewidth=2.2, label=dimension)
    axes.set(ylim=(-1.03, 1.03), yticks=[-1, -0.5, 0, 0.5, 1])
    style.panel_title(axes, heading)
    style.legend(axes, loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2)


def _judges(table: pd.DataFrame) -> bool:
    """Whether inconsistency is known anywhere."""
    return "inconsistency" in table and bool(table["inconsistency"].notna().any())


def _draw_inconsistency(axes: Axes, table: pd.DataFrame) -> None:
    """A band from 0 to 1, dark where the disagreement is unusual."""
    style.dress(axes, grid="")
    time_s, apart = table["time_s"], table["inconsistency"]
    unusual = apart > UNUSUAL
    axes.fill_between(time_s, 0, apart, color=style.MUTED, alpha=0.35, linewidth=0)
    axes.fill_between(time_s, 0, apart, where=unusual.to_list(), color=style.INK, alpha=0.75, linewidth=0)
    axes.axhline(UNUSUAL, color=style.PAPER, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set(ylim=(0, 1), yticks=[0, 1])
    share = 100 * unusual.sum() / apart.notna().sum()
    style.panel_title(
        axes, "Voice and face disagree", f"above {UNUSUAL:g} in {share:.0f} % of the time they are both known"
    )


def _draw_gates(panels: list[Axes], table: pd.DataFrame) -> None:
    """A panel of the weights for the prediction, or one for valence and one for arousal."""
    weighed = modality_gates(table)
    for i, (what, weights) in enumerate(weighed.items()):
        axes = panels.pop(0)
        style.gate_bands(axes, table["time_s"], weights["audio"], weights["visual"])
        share = 100 * weights["audio"].mean()
        aim = f" for {what}: voice {share:.0f} %" if len(weighed) > 1 and not np.isnan(share) else ""
        style.panel_title(style.dress(axes, grid=""), f"What the model relied on{aim}")
        if i == 0:
            style.legend(axes, loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2, reverse=True)


def _draw_strip(
    axes: Axes, table: pd.DataFrame, events: pd.DataFrame | None, absent: tuple[tuple[str, ...], ...]
) -> None:
    """Bars for the stretches without face or sound and, if known, for the true events."""
    style.dress(axes, grid="")
    time_s = table["time_s"].to_numpy(np.float64)
    bars: list[tuple[str, float, float, str, str]] = []
    rows = []
    for column, words, colour in absent:
        if column in table:
            rows.append(words)
            found = style.stretches(~table[column].to_numpy(bool), time_s)
            bars += [(words, start, end, colour, "") for start, end in found]
    if events is not None:
        for modality in MODALITIES[::-1]:
            rows.append(f"{style.MODALITY_NAMES[modality]} truth")
            colour = style.MODALITY_COLOURS[modality]
            bars += [(rows[-1], start, end, colour, kind) for start, end, kind in spans(events, modality)]
    style.event_strip(axes, bars, rows)


def _finding(table: pd.DataFrame, sources: Sources | None) -> str:
    """Means over the observed frames, as in the summary, and when both together were furthest from neutral."""
    known = table[list(DIMENSIONS)].notna()
    if not known.any(axis=None):
        return "Neither face nor sound was found, so nothing could be predicted."
    text = ", ".join(_mean(table, name, sources) for name in DIMENSIONS)
    strength = np.hypot(*(table[name].fillna(0).to_numpy(np.float64) for name in DIMENSIONS))
    if strength.max() > 0:
        text += f"; strongest at {table['time_s'].iloc[int(strength.argmax())]:.1f} s"
    shares = [100 * weights["audio"].mean() for weights in modality_gates(table).values()]
    if len(shares) == 1 and not np.isnan(shares[0]):  # of two, each panel says its own
        text += f"; relies on the voice for {shares[0]:.0f} %"
    return f"{text[0].upper()}{text[1:]}."


def _mean(table: pd.DataFrame, name: str, sources: Sources | None) -> str:
    """`mean valence +0.59 (in 44 % of frames)`, or `valence not read`."""
    seen = observed(table, name, sources)
    if not seen.any():
        return f"{name} not read"
    part = f" (in {100 * seen.mean():.0f} % of frames)" if seen.mean() < MOST else ""
    return f"mean {name} {style.signed(table.loc[seen, name].mean(), 2)}{part}"
