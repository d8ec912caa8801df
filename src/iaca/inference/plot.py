"""One picture of a video: what was felt, when, and whether voice or face said so."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iaca.errors import InputError
from iaca.evaluation import style
from iaca.evaluation.events import MODALITIES, has_modality_gates, modality_gate, spans

_ABSENT = (("face_found", "no face", "#b9a3b2"), ("audio_present", "no sound", "#93b3af"))


def prediction_plot(table: pd.DataFrame, title: str, events: pd.DataFrame | None = None) -> Figure:
    """Valence and arousal over time, the weights of voice and face beneath, and where either was missing.

    Args:
        table: predictions of one clip: time_s, valence, arousal and, where there are any, face_found,
            audio_present, gate_modalities_audio, gate_modalities_visual.
        title: name of the video; what was found is added to it.
        events: modality, kind, start_s, end_s of this clip where the truth is known; drawn as labelled bars.

    Raises:
        InputError: if the table is empty.
    """
    if table.empty:
        raise InputError(f"{title}: there are no predictions to draw")
    table = table.sort_values("time_s")
    with_gates, with_events = has_modality_gates(table), events is not None and len(events) > 0
    strip = 0.2 + 0.24 * (sum(column in table for column, *_ in _ABSENT) + 2 * with_events)
    heights = [3.1] + [1.15] * with_gates + [strip]  # the last one tells what was missing, or truly wrong
    figure = style.new_figure(10, 1.3 + sum(heights), title, _finding(table))
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    panels[0].set_xlim(float(table["time_s"].min()), max(float(table["time_s"].max()), 1e-3))
    _draw_values(panels[0], table)
    if with_gates:
        _draw_gates(panels[1], table)
    _draw_strip(panels[-1], table, events if with_events else None)
    panels[-1].set_xlabel("time (s)")
    return figure


def _draw_values(axes: Axes, table: pd.DataFrame) -> None:
    style.dress(axes)
    span = float(np.ptp(table["time_s"]))
    for (column, words, colour), (height, side) in zip(_ABSENT, ((0.985, "top"), (-0.985, "bottom")), strict=True):
        if column in table:
            for start, end in style.stretches(~table[column].to_numpy(bool), table["time_s"].to_numpy(float)):
                axes.axvspan(start, end, color=colour, alpha=0.28, linewidth=0)
                if end - start > 0.08 * span:  # a shorter one is named by the strip beneath
                    axes.text(start, height, f" {words}", size=style.SMALL, color=style.INK, va=side, clip_on=True)
    axes.axhline(0, color=style.MUTED, linewidth=0.9)
    for name, colour in style.DIMENSION_COLOURS.items():
        axes.plot(table["time_s"], table[name], color=colour, linewidth=2.2, label=name)
    axes.set(ylim=(-1.03, 1.03), yticks=[-1, -0.5, 0, 0.5, 1])
    style.panel_title(axes, "Valence and arousal")
    style.legend(axes, loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2)


def _draw_gates(axes: Axes, table: pd.DataFrame) -> None:
    audio, visual = (modality_gate(modality) for modality in MODALITIES)
    style.gate_bands(axes, table["time_s"], table[audio], table[visual])
    style.panel_title(style.dress(axes, grid=""), "What the model relied on")
    style.legend(axes, loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2, reverse=True)


def _draw_strip(axes: Axes, table: pd.DataFrame, events: pd.DataFrame | None) -> None:
    """Bars for the stretches without face or sound and, where it is known, for what was truly wrong."""
    style.dress(axes, grid="")
    time_s = table["time_s"].to_numpy(np.float64)
    bars: list[tuple[str, float, float, str, str]] = []
    rows = []
    for column, words, colour in _ABSENT:
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


def _finding(table: pd.DataFrame) -> str:
    """Means, and the moment in which the feeling was strongest."""
    values = table[["valence", "arousal"]].to_numpy(np.float64)
    if not np.isfinite(values).all(axis=1).any():
        return "Neither face nor sound was found, so nothing could be predicted."
    valence, arousal = np.nanmean(values, axis=0)
    strength = np.nan_to_num(np.hypot(values[:, 0], values[:, 1]), nan=-1.0)
    peak = int(strength.argmax())
    text = f"Mean valence {valence:+.2f}, mean arousal {arousal:+.2f}; strongest at {table['time_s'].iloc[peak]:.1f} s"
    if has_modality_gates(table) and table[modality_gate("audio")].notna().any():
        text += f"; relies on the voice for {100 * table[modality_gate('audio')].mean():.0f} %"
    return text.replace("-", "−") + "."
