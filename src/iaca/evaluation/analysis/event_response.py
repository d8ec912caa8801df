"""How the gates move when something happens: event-triggered averages of their weights."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.events import event_mask, has_modality_gates, modality_gate
from iaca.modalities import MODALITIES

RESPONSE_COLUMNS = ("modality", "kind", "lag_s", "events", "weight", "sd", "q25", "q75", "duration_s")


def event_response(predictions: pd.DataFrame, events: pd.DataFrame, config: AnalysisConfig) -> pd.DataFrame:
    """Weight of the corrupted modality from `before_s` before to `after_s` after the start of its events.

    Frames within another event of the clip are left out, so that what is seen is the answer to this one. The weight is
    averaged within each event and step of time first, then over events: a long clip counts no more than a short one.

    Args:
        predictions: clip, time_s, gate_modalities_audio, gate_modalities_visual.
        events: clip, modality, kind, start_s, end_s.
        config: reach and resolution (s).

    Returns:
        One row per modality, kind and step: `lag_s` (middle of the step, s after the start), `events` behind it, mean
        `weight`, its standard deviation `sd` (NaN of one event) and quartiles `q25`, `q75` over events, and
        `duration_s`, the mean length of the kind's events. Empty without events or gates.
    """
    if not has_modality_gates(predictions):
        return pd.DataFrame(columns=list(RESPONSE_COLUMNS))
    weighed = predictions.dropna(subset=[modality_gate(modality) for modality in MODALITIES])
    clips = {str(clip): rows for clip, rows in weighed.groupby("clip")}
    known = events[events["clip"].isin(list(clips))].reset_index(drop=True)
    by_clip = known.groupby("clip")
    steps = [_one(clips[str(clip)], own, place, config) for clip, own in by_clip for place in own.index]
    if not steps:
        return pd.DataFrame(columns=list(RESPONSE_COLUMNS))
    keys = ["modality", "kind", "lag_s"]
    found = pd.concat(steps, ignore_index=True).groupby(keys, sort=True)
    weight = found["weight"]
    table = pd.DataFrame(
        {
            "events": weight.size(),
            "weight": weight.mean(),
            "sd": weight.std(),
            "q25": weight.quantile(0.25),
            "q75": weight.quantile(0.75),
        }
    ).reset_index()
    length = (known["end_s"] - known["start_s"]).groupby([known["modality"], known["kind"]]).mean()
    table = table.merge(length.rename("duration_s").reset_index(), on=["modality", "kind"])
    return table[list(RESPONSE_COLUMNS)]


def _one(rows: pd.DataFrame, events: pd.DataFrame, place: int, config: AnalysisConfig) -> pd.DataFrame:
    """Mean weight of one of a clip's events, by its place in their index, in each step of time around its start."""
    event = events.loc[place].to_dict()
    lag = rows["time_s"].to_numpy(np.float64) - float(event["start_s"])
    others = events[events.index != place]
    kept = (lag >= -config.before_s) & (lag < config.after_s) & ~event_mask(rows, others)
    step = np.floor(lag[kept] / config.lag_step_s)  # steps begin at the start of the event: none holds both sides
    table = pd.DataFrame(
        {
            "lag_s": np.round((step + 0.5) * config.lag_step_s, 6),
            "weight": rows.loc[kept, modality_gate(str(event["modality"]))].to_numpy(np.float64),
        }
    )
    means: pd.DataFrame = table.groupby("lag_s")["weight"].mean().reset_index()
    return means.assign(modality=event["modality"], kind=event["kind"])
