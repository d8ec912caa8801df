"""How the gates and the models respond to corruption events with known ground truth.

`gate_auroc` scores the gate weights against the events, `event_response` averages the weights around the start of an
event, and `event_scores` compares every model within the frames of each kind of event. `detection_scores` scores any
output against frames that people have labelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from iaca.errors import InputError
from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.errors import plane_rmse
from iaca.evaluation.metrics import (
    DIMENSIONS,
    ClipStatistics,
    are_few,
    clip_statistics,
    difference_of,
    join_labels,
    pooled_metrics,
    rows_by_clip,
)
from iaca.formats.labels import EVENT_COLUMNS
from iaca.fusion.config import weighing_gates
from iaca.parameters import MODALITIES

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]
ANY = "any"  # kind of the AUROC row that takes all kinds of a modality together

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

RESPONSE_COLUMNS = ("modality", "kind", "lag_s", "events", "weight", "sd", "q25", "q75", "duration_s")

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


def modality_gate(modality: str, gate: str = "modalities") -> str:
    """Name of the predictions' column with the weight of `modality` in a gate across modalities."""
    return f"gate_{gate}_{modality}"


def modality_gates(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Weights of voice and face by what is predicted with them: columns `audio`, `visual`, on the predictions' index.

    These are the gates that act (`iaca.fusion.config.WEIGHING`): one for valence and one for arousal, or one for the
    whole `prediction`. Empty for models that do not weigh voice against face, such as concatenation.
    """
    end = modality_gate(MODALITIES[0], "")[len("gate_") :]
    gates = [str(name).removeprefix("gate_").removesuffix(end) for name in predictions if str(name).endswith(end)]
    known = [gate for gate in gates if all(modality_gate(m, gate) in predictions for m in MODALITIES)]
    return {
        what: predictions[[modality_gate(m, gate) for m in MODALITIES]].set_axis(list(MODALITIES), axis=1)
        for what, gate in weighing_gates(known).items()
    }


def has_modality_gates(predictions: pd.DataFrame) -> bool:
    """Whether the model weighs audio against face; unimodal models and concatenation do not."""
    return bool(modality_gates(predictions))


def believed(predictions: pd.DataFrame) -> pd.DataFrame:
    """How far voice and face are believed: `modality_gates`, averaged over what is predicted; NaN without any."""
    gates = list(modality_gates(predictions).values())
    if not gates:
        return pd.DataFrame(np.nan, index=predictions.index, columns=list(MODALITIES))
    return sum(gates[1:], gates[0]) / len(gates)


def gate_auroc(predictions: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Score whether the weight of the corrupted modality is lower during the event than in clean frames.

    AUROC of (1 - weight of the corrupted modality): 1 = always lower, .5 = chance, 0 = always higher. The negative
    class is the frames outside *all* events, so an event of the other modality does not count as clean.

    Args:
        predictions: clip, time_s, and the gates of `modality_gates`; frames without a weight (neither modality
            present) are left out.
        events: clip, modality, kind, start_s, end_s.

    Returns:
        One row per modality and kind, plus one of kind "any" for a modality with several kinds: auroc, mean weight of
        the modality in event and in clean frames, and the numbers of frames and clips used. Kinds without an event
        frame or without a clean frame are left out, so the table has no NaN.
    """
    if not has_modality_gates(predictions):
        return pd.DataFrame(columns=list(AUROC_COLUMNS))
    weights = believed(predictions).dropna()
    weighed = predictions.loc[weights.index, ["clip", "time_s"]]
    clean = ~event_mask(weighed, events)
    rows = [
        {"modality": modality, "kind": kind}
        | gate_values(weights[modality].to_numpy(np.float64), mask, clean)
        | {"event_clips": int(weighed.loc[mask, "clip"].nunique())}
        for modality, kind, mask in _classes(weighed, events)
        if mask.any() and clean.any()
    ]
    return pd.DataFrame(rows, columns=list(AUROC_COLUMNS))


def _classes(predictions: pd.DataFrame, events: pd.DataFrame) -> Iterator[tuple[str, str, Mask]]:
    masks = truth_masks(predictions, events)
    for modality in MODALITIES:
        kinds = [kind for other, kind in masks if other == modality]
        for kind in kinds:
            yield modality, kind, masks[modality, kind]
        if len(kinds) > 1:
            yield modality, ANY, np.logical_or.reduce([masks[modality, kind] for kind in kinds])


def gate_values(weight: npt.NDArray[np.floating[Any]], event: Mask, clean: Mask) -> dict[str, float]:
    """AUROC of (1 - weight) in an event against clean steps, the mean weights, and the numbers of steps.

    Args:
        weight: (n,) of the corrupted modality.
        event, clean: (n,) the two classes, neither of them empty.
    """
    from sklearn.metrics import roc_auc_score  # takes 1 s to import, and inference, whose plot has gates, lacks it

    either = event | clean
    return {
        "auroc": float(roc_auc_score(event[either], -weight[either])),
        "weight_event": float(weight[event].mean(dtype=np.float64)),
        "weight_clean": float(weight[clean].mean(dtype=np.float64)),
        "event_frames": int(event.sum()),
        "clean_frames": int(clean.sum()),
    }


def event_response(predictions: pd.DataFrame, events: pd.DataFrame, config: AnalysisConfig) -> pd.DataFrame:
    """Weight of the corrupted modality from `before_s` before to `after_s` after the start of its events.

    Frames within another event of the clip are left out, so the response belongs to one event. The weight is averaged
    within each event and time step first, then over events, so a long clip counts no more than a short one.

    Args:
        predictions: clip, time_s, and the gates of `modality_gates`.
        events: clip, modality, kind, start_s, end_s.
        config: range and resolution (s).

    Returns:
        One row per modality, kind and step: `lag_s` (middle of the step, s after the start), number of `events`, mean
        `weight`, its standard deviation `sd` (NaN for one event) and quartiles `q25`, `q75` over events, and
        `duration_s`, the mean duration of the kind's events. Empty without events or gates.
    """
    if not has_modality_gates(predictions):
        return pd.DataFrame(columns=list(RESPONSE_COLUMNS))
    predictions = predictions[predictions["clip"].isin(events["clip"].unique())]
    weighed = predictions[["clip", "time_s"]].join(believed(predictions)).dropna(subset=list(MODALITIES))
    clips = {str(clip): rows for clip, rows in weighed.groupby("clip")}
    known = events[events["clip"].isin(list(clips))].reset_index(drop=True)
    by_clip = known.groupby("clip")
    steps = [_response(clips[str(clip)], own, index, config) for clip, own in by_clip for index in own.index]
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
    duration = (known["end_s"] - known["start_s"]).groupby([known["modality"], known["kind"]]).mean()
    table = table.merge(duration.rename("duration_s").reset_index(), on=["modality", "kind"])
    return table[list(RESPONSE_COLUMNS)]


def _response(rows: pd.DataFrame, events: pd.DataFrame, index: int, config: AnalysisConfig) -> pd.DataFrame:
    """Mean weight in each time step around the start of the event `index` of a clip's `events`."""
    event = events.loc[index].to_dict()
    lag = rows["time_s"].to_numpy(np.float64) - float(event["start_s"])
    others = events[events.index != index]
    kept = (lag >= -config.before_s) & (lag < config.after_s) & ~event_mask(rows, others)
    step = np.floor(
        lag[kept] / config.lag_step_s
    )  # a step begins at the event's start, so no step mixes before and after
    table = pd.DataFrame(
        {
            "lag_s": np.round((step + 0.5) * config.lag_step_s, 6),
            "weight": rows.loc[kept, str(event["modality"])].to_numpy(np.float64),
        }
    )
    means: pd.DataFrame = table.groupby("lag_s")["weight"].mean().reset_index()
    return means.assign(modality=event["modality"], kind=event["kind"])


def event_scores(
    predictions_by_model: Mapping[str, pd.DataFrame],
    labels: pd.DataFrame,
    events: pd.DataFrame,
    replicates: int = 2000,
    seed: int = 0,
    subjects: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Pooled CCC and RMSE of every model within the frames of each kind of event.

    Args:
        predictions_by_model: name -> predictions (clip, frame, time_s, valence, arousal); the first is the main model.
        labels: clip, frame, valence, arousal of the clips to score.
        events: clip, modality, kind, start_s, end_s.
        replicates, seed: of the bootstrap over the clips with such an event.
        subjects: clip -> subject; by default every clip is a subject of its own.

    Returns:
        One row per modality, kind and model: `clips`, annotated `frames`, `ccc_mean`, `rmse` over both dimensions, and
        `difference_ccc_mean` to the main model with its paired 95 % interval (NaN where `metrics.are_few`). Kinds
        without an annotated frame are left out.
    """
    main = next(iter(predictions_by_model))
    timed = join_labels(predictions_by_model[main][["clip", "frame", "time_s"]], labels)
    masks = truth_masks(timed[["clip", "time_s"]], events)
    # one after the other: a mapping may read each when it is asked for
    scored = {name: _within_each(predictions_by_model[name], labels, masks) for name in predictions_by_model}
    rows = []
    for (modality, kind), reference in scored[main].items():
        clips = reference.clips
        if not reference.scores["frames"]:
            continue
        few = are_few(len(clips), len({(subjects or {}).get(clip, clip) for clip in clips}))
        for name, found in scored.items():
            own = found[modality, kind]
            difference = difference_of(own.statistics, reference.statistics, replicates, seed)["ccc_mean"]
            if few:
                difference = replace(difference, low=np.nan, high=np.nan)
            rows.append(
                {"modality": modality, "kind": kind, "model": name, "main": name == main}
                | {"clips": len(clips), **own.scores}
                | dict(zip(EVENT_SCORE_COLUMNS[-3:], astuple(difference), strict=True))
            )
    return pd.DataFrame(rows, columns=list(EVENT_SCORE_COLUMNS))


class _Within(NamedTuple):
    """A model in the frames of a kind of event: its clips, their sums, and `frames`, `ccc_mean`, `rmse`."""

    clips: tuple[str, ...]
    statistics: ClipStatistics
    scores: dict[str, float]


def _within_each(
    predictions: pd.DataFrame, labels: pd.DataFrame, masks: Mapping[tuple[str, str], Mask]
) -> dict[tuple[str, str], _Within]:
    """`masks` mark rows of the labels, which are those of the joined table, whatever the model."""
    joined = join_labels(predictions[["clip", "frame", *DIMENSIONS]], labels)
    return {event: _within(joined[mask]) for event, mask in masks.items()}


def _within(table: pd.DataFrame) -> _Within:
    pooled = pooled_metrics(table)
    scores = {"frames": pooled["frames_valence"], "ccc_mean": pooled["ccc_mean"], "rmse": plane_rmse(table)}
    return _Within(tuple(table["clip"].unique()), clip_statistics(table), scores)


def detection_scores(scores: pd.DataFrame, truth: pd.DataFrame, threshold: float = 0.5) -> dict[str, float]:
    """How well a score per frame detects what people labelled, at the level of frames and of clips.

    The score of a clip is the highest of its frames; a clip is positive if one of its frames is. Frames without a score
    (NaN, or not predicted) are left out.

    Args:
        scores: clip, frame, score; higher where the label 1 is expected.
        truth: clip, frame, ambivalent (0 or 1).
        threshold: from which score on a frame or a clip counts as 1.

    Returns:
        `frame_macro_f1`, `frame_ap`, `clip_macro_f1`, `clip_ap` (`macro_f1`, `average_precision` of label 1), and the
        numbers of `frames` and `clips` scored and of `unscored` frames.

    Raises:
        InputError: a table has a frame of a clip twice.
    """
    for name, table in (("scores", scores), ("truth", truth)):
        if table.duplicated(["clip", "frame"]).any():
            raise InputError(f"the {name} contain a frame of a clip more than once")
    joined = truth.merge(scores, on=["clip", "frame"], how="left", validate="one_to_one")
    scored = joined.dropna(subset=["score"])
    clips = scored.groupby("clip")[["score", "ambivalent"]].max()
    found: dict[str, float] = {}
    for level, table in (("frame", scored), ("clip", clips)):
        label = table["ambivalent"].to_numpy(np.float64) > 0
        score = table["score"].to_numpy(np.float64)
        found[f"{level}_macro_f1"] = macro_f1(label, score >= threshold)
        found[f"{level}_ap"] = average_precision(label, score)
    return found | {"frames": len(scored), "clips": len(clips), "unscored": len(joined) - len(scored)}


def macro_f1(label: Mask, said: Mask) -> float:
    """Mean over both classes of F1 = 2 TP / (2 TP + FP + FN), from (n,) labels and decisions; NaN for n = 0.

    A class that neither occurs nor is said counts as 0, as in scikit-learn with `labels=[False, True]`.
    """
    if not len(label):
        return float("nan")
    values = []
    for one, other in ((label, said), (~label, ~said)):
        size = int(one.sum() + other.sum())
        values.append(2 * int((one & other).sum()) / size if size else 0.0)
    return float(np.mean(values))


def average_precision(label: Mask, score: npt.NDArray[np.float64]) -> float:
    """Sum over thresholds of precision times the gain in recall, from (n,) labels and scores; NaN without a positive.

    Equal scores are one threshold. Nothing is interpolated: the area under the trapezoids, which some code reports as
    AP, is another number.
    """
    if not label.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)  # of those with an equal score
    hits = np.cumsum(label[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    return float((precision * np.diff(hits, prepend=0)).sum() / label.sum())


def truth_masks(predictions: pd.DataFrame, events: pd.DataFrame) -> dict[tuple[str, str], Mask]:
    """`event_mask` of every (modality, kind) among the events of the predicted clips, sorted."""
    known = events[events["clip"].isin(predictions["clip"].unique())]
    pairs = sorted(set(zip(known["modality"], known["kind"], strict=True)))
    return {(modality, kind): event_mask(predictions, known, modality, kind) for modality, kind in pairs}


def event_mask(
    predictions: pd.DataFrame, events: pd.DataFrame, modality: str | None = None, kind: str | None = None
) -> Mask:
    """Mark the rows of the predictions inside an event.

    Args:
        predictions: clip, time_s, one row per frame.
        events: clip, modality, kind, start_s, end_s; an event covers start_s <= time_s < end_s.
        modality: only events of this modality; None means both.
        kind: only events of this kind; None means every kind.

    Returns:
        (n,) bool, in row order.

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
    rows_of_clip = rows_by_clip(predictions["clip"]) if len(chosen) else {}  # each event is in its own clip only
    for event in chosen[chosen["clip"].isin(list(rows_of_clip))].itertuples(index=False):
        rows = rows_of_clip[str(event.clip)]
        inside[rows] |= (time_s[rows] >= event.start_s) & (time_s[rows] < event.end_s)
    return inside


def _check_events(events: pd.DataFrame) -> None:
    missing = [name for name in EVENT_COLUMNS if name not in events]
    if missing:
        raise InputError(
            f"the events table lacks {', '.join(missing)}", remedy=f"write the columns {', '.join(EVENT_COLUMNS)}"
        )
    backwards = events[events["end_s"] < events["start_s"]]
    if len(backwards):
        first = backwards.iloc[0]
        raise InputError(f"an event of clip {first['clip']} ends at {first['end_s']} s, before {first['start_s']} s")


def spans(events: pd.DataFrame, modality: str) -> list[tuple[float, float, str]]:
    """(start_s, end_s, kind) of the events of one modality, in table order."""
    chosen = events[events["modality"] == modality]
    return [
        (float(start), float(end), str(kind))
        for start, end, kind in zip(chosen["start_s"], chosen["end_s"], chosen["kind"], strict=True)
    ]
