"""Whether the gates knew what was wrong: their weights scored against corruption events with a known truth.

How the gates move when something happens: event-triggered averages of their weights.

Every model during every kind of event: does weighing help where one modality is corrupted?
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_auc_score

from iaca.errors import InputError
from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.errors import plane_rmse
from iaca.evaluation.metrics import join_labels, paired_difference, pooled_metrics
from iaca.parameters import MODALITIES

Mask = npt.NDArray[np.bool_]
ANY = "any"
EVENT_COLUMNS = ("clip", "modality", "kind", "start_s", "end_s")
AUROC_COLUMNS = (
    "modality",
    "kind",
    "auroc",
    "weight_event",
    "weight_clean",
    "event_frames",
    "clean_frames",
    "event_clips",
)


def modality_gate(modality: str) -> str:
    """Column of the predictions that holds the weight of `modality` in the gate across modalities."""
    return f"gate_modalities_{modality}"


def has_modality_gates(predictions: pd.DataFrame) -> bool:
    """Whether the model behind the predictions weighs audio against face (unimodal models and concatenation do not)."""
    return all(modality_gate(modality) in predictions for modality in MODALITIES)


def event_mask(
    predictions: pd.DataFrame, events: pd.DataFrame, modality: str | None = None, kind: str | None = None
) -> Mask:
    """Which rows of the predictions lie inside an event.

    Args:
        predictions: clip, time_s, one row per frame.
        events: clip, modality, kind, start_s, end_s; an event holds start_s <= time_s < end_s.
        modality: only events of this modality; None takes both.
        kind: only events of this kind; None takes every kind.

    Returns:
        (n,) bool, in the order of the rows.

    Raises:
        InputError: if the events lack a column or one of them ends before it starts.
    """
    _check_events(events)
    chosen = events
    if modality is not None:
        chosen = chosen[chosen["modality"] == modality]
    if kind is not None:
        chosen = chosen[chosen["kind"] == kind]
    time_s, inside = predictions["time_s"].to_numpy(np.float64), np.zeros(len(predictions), bool)
    places = predictions.groupby("clip").indices if len(chosen) else {}  # every event looks at its own clip alone
    for event in chosen[chosen["clip"].isin(list(places))].itertuples(index=False):
        rows = places[event.clip]
        inside[rows] |= (time_s[rows] >= event.start_s) & (time_s[rows] < event.end_s)
    return inside


def truth_masks(predictions: pd.DataFrame, events: pd.DataFrame) -> dict[tuple[str, str], Mask]:
    """`event_mask` of every (modality, kind) that occurs in the events of the predicted clips, sorted by name."""
    known = events[events["clip"].isin(predictions["clip"].unique())]
    pairs = sorted(set(zip(known["modality"], known["kind"], strict=True)))
    return {(modality, kind): event_mask(predictions, known, modality, kind) for modality, kind in pairs}


def gate_auroc(predictions: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Is the weight of the corrupted modality lower during the event than in clean frames?

    AUROC of (1 - weight of the corrupted modality): 1 = always lower, .5 = chance, 0 = always higher. The other class
    are the frames in which *nothing* is wrong, so that an event of the other modality does not count as clean.

    Args:
        predictions: clip, time_s, gate_modalities_audio, gate_modalities_visual; frames without a weight (neither
            modality was there) are left out.
        events: clip, modality, kind, start_s, end_s.

    Returns:
        One row per modality and kind, and per modality one of kind "any" where it has several: auroc, mean weight of
        the modality in event and in clean frames, and the numbers of frames and clips behind it. Kinds with no event
        frame, or with no clean frame to compare with, are left out: the table holds no NaN.
    """
    if not has_modality_gates(predictions):
        return pd.DataFrame(columns=list(AUROC_COLUMNS))
    weighed = predictions[predictions[[modality_gate(m) for m in MODALITIES]].notna().all(axis=1)]
    clean = ~event_mask(weighed, events)
    rows = [
        _score(weighed, modality, kind, mask, clean)
        for modality, kind, mask in _classes(weighed, events)
        if mask.any() and clean.any()
    ]
    return pd.DataFrame(rows, columns=list(AUROC_COLUMNS))


def spans(events: pd.DataFrame, modality: str) -> list[tuple[float, float, str]]:
    """(start_s, end_s, kind) of the events of one modality, in the order of the table."""
    chosen = events[events["modality"] == modality]
    return [
        (float(start), float(end), str(kind))
        for start, end, kind in zip(chosen["start_s"], chosen["end_s"], chosen["kind"], strict=True)
    ]


def _classes(predictions: pd.DataFrame, events: pd.DataFrame) -> Iterator[tuple[str, str, Mask]]:
    masks = truth_masks(predictions, events)
    for modality in MODALITIES:
        kinds = [kind for other, kind in masks if other == modality]
        for kind in kinds:
            yield modality, kind, masks[modality, kind]
        if len(kinds) > 1:
            yield modality, ANY, np.logical_or.reduce([masks[modality, kind] for kind in kinds])


def _score(
    predictions: pd.DataFrame, modality: str, kind: str, event: Mask, clean: Mask
) -> dict[str, str | float | int]:
    weight = predictions[modality_gate(modality)].to_numpy(np.float64)
    either = event | clean
    return {
        "modality": modality,
        "kind": kind,
        "auroc": float(roc_auc_score(event[either], -weight[either])),
        "weight_event": float(weight[event].mean()),
        "weight_clean": float(weight[clean].mean()),
        "event_frames": int(event.sum()),
        "clean_frames": int(clean.sum()),
        "event_clips": int(predictions.loc[event, "clip"].nunique()),
    }


def _check_events(events: pd.DataFrame) -> None:
    missing = [name for name in EVENT_COLUMNS if name not in events]
    if missing:
        raise InputError(f"the events table lacks {', '.join(missing)}", remedy=f"its columns are {EVENT_COLUMNS}")
    backwards = events[events["end_s"] < events["start_s"]]
    if len(backwards):
        first = backwards.iloc[0]
        raise InputError(f"an event of clip {first['clip']} ends at {first['end_s']} s, before {first['start_s']} s")


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


EVENT_SCORE_COLUMNS = (
    "modality",
    "kind",
    "model",
    "main",
    "clips",
    "frames",
    "ccc_mean",
    "rmse",
    "difference_ccc_mean",
    "difference_ccc_mean_low",
    "difference_ccc_mean_high",
)


def event_scores(
    predictions_by_model: Mapping[str, pd.DataFrame],
    labels: pd.DataFrame,
    events: pd.DataFrame,
    replicates: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Pooled CCC and RMSE of every model within the frames of each kind of event.

    Args:
        predictions_by_model: name -> predictions (clip, frame, time_s, valence, arousal); the first is the main model.
        labels: clip, frame, valence, arousal of the clips to score.
        events: clip, modality, kind, start_s, end_s.
        replicates, seed: of the bootstrap over the clips that hold such an event.

    Returns:
        One row per modality, kind and model, kinds without an annotated frame left out: `clips`, annotated `frames`,
        `ccc_mean`, `rmse` over both dimensions, and `difference_ccc_mean` to the main model with its paired 95 %
        interval (NaN where one clip leaves it undefined).
    """
    joined = {name: join_labels(table, labels) for name, table in predictions_by_model.items()}
    main = next(iter(joined))
    rows = []
    for (modality, kind), mask in truth_masks(joined[main], events).items():
        chosen = joined[main].loc[mask, ["clip", "frame"]]
        inside = {name: chosen.merge(table, on=["clip", "frame"]) for name, table in joined.items()}
        scores = {name: pooled_metrics(table) for name, table in inside.items()}
        if not scores[main]["frames_valence"]:
            continue
        for name, table in inside.items():
            difference = paired_difference(table, inside[main], replicates, seed)["ccc_mean"]
            spread = (difference.estimate, difference.low, difference.high)
            rows.append(
                {"modality": modality, "kind": kind, "model": name, "main": name == main}
                | {"clips": table["clip"].nunique(), "frames": scores[name]["frames_valence"]}
                | {"ccc_mean": scores[name]["ccc_mean"], "rmse": plane_rmse(table)}
                | dict(zip(EVENT_SCORE_COLUMNS[-3:], spread, strict=True))
            )
    return pd.DataFrame(rows, columns=list(EVENT_SCORE_COLUMNS))
