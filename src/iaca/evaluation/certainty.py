"""Do intervals hold what they promise, and does inconsistency find the time in which voice and face disagree?

`coverage` counts how often the annotation is inside the interval and compares with an interval of constant width.
`inconsistency_auroc` scores inconsistency against events with known ground truth. Frames of a clip resemble each other,
so all intervals of the scores come from a bootstrap over clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from iaca.evaluation.events import ANY, Mask, believed, event_mask, truth_masks
from iaca.evaluation.metrics import (
    DIMENSIONS,
    MIN_CLIPS,
    MIN_SUBJECTS,
    Array,
    Counts,
    Interval,
    join_labels,
    resamples,
)
from iaca.evaluation.tables import annotated_partitions
from iaca.parameters import MODALITIES
from iaca.training.calibration import LEVEL, conformal_quantile

INCONSISTENCY = "inconsistency"
BOUNDS = {name: (f"{name}_low", f"{name}_high") for name in DIMENSIONS}
CERTAINTY_COLUMNS = (*(bound for pair in BOUNDS.values() for bound in pair), INCONSISTENCY)
"""Columns of predictions that are scored here."""
ALL, CLEAN = "all", "clean"
"""Kinds of a row of `coverage` about every frame, and about those outside of all events."""
EITHER = "either"
"""Modality of a row about events of voice and face together."""
CALIBRATES = {"validation": "test", "test": "validation"}
"""Partition -> the one whose errors give the constant width: the model was fitted to neither."""

COVERAGE_COLUMNS = (
    "partition", "modality", "kind", "dimension", "clips", "frames", "without_interval", "coverage", "coverage_low",
    "coverage_high", "video_coverage", "width", "width_error_correlation", "constant_coverage", "constant_width",
)  # fmt: skip

INCONSISTENCY_COLUMNS = (
    "modality", "kind", "auroc", "auroc_low", "auroc_high", "gate_auroc", "gate_auroc_low", "gate_auroc_high",
    "inconsistency_event", "inconsistency_clean", "event_clips", "event_frames", "clean_frames", "unknown_event",
    "unknown_clean",
)  # fmt: skip

# Intervals


def has_intervals(predictions: pd.DataFrame) -> bool:
    """Whether any frame has an interval."""
    return any(_known(predictions, name).any() for name in DIMENSIONS)


def coverage(
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    events: pd.DataFrame | None = None,
    shown: str | None = None,
    subjects: Mapping[str, str] | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How often the annotation is inside the interval, how wide intervals are, and whether width follows the error.

    Args:
        predictions: clip, frame, time_s, valence, arousal, {valence,arousal}_{low,high} (NaN without an interval).
        labels: clip, frame, valence, arousal (NaN = not annotated), partition.
        events: clip, modality, kind, start_s, end_s of known events.
        shown: the partition whose events are scored.
        subjects: clip -> subject; by default every clip is a subject of its own.
        replicates, seed: of the bootstrap over clips.

    Returns:
        One row per partition and dimension of modality and kind `all`; for the shown partition also `clean` (outside
        all events) and one per modality and kind of event. Columns:

        * clips, annotated `frames` with an interval, and `without_interval`, the annotated and predicted frames that
          have none and are not scored;
        * `coverage`, the share of frames inside, with its 95 % interval, NaN for fewer than `MIN_CLIPS` clips or
          `MIN_SUBJECTS` subjects; `video_coverage`, the mean of the clips' shares, which is what the calibration
          promises;
        * mean `width`; `width_error_correlation`, the rank correlation of width and |error|, NaN if either is constant;
        * `constant_coverage`, `constant_width`: of an interval of constant width, calibrated by the same rule on the
          errors of the partition in `CALIBRATES`; NaN if that one has too few clips or there is none. With K clips the
          rule takes the quantile .9 (K + 1) / K of their errors, so a dozen clips give a wider interval than needed.

        Parts without an annotated frame with an interval are left out: a model without intervals has no row.
    """
    rows = []
    parts = annotated_partitions(labels) if labels[list(DIMENSIONS)].notna().any(axis=None) else []
    used = [name for name in predictions if name in ("clip", "frame", "time_s", *DIMENSIONS, *CERTAINTY_COLUMNS)]
    joined = {name: join_labels(predictions[used], labels[labels["partition"] == name]) for name in parts}
    for partition, table in joined.items():
        calibrating = joined.get(CALIBRATES.get(partition, ""))
        masks = {(ALL, ALL): np.ones(len(table), bool)}
        if events is not None and len(events) and partition == shown:
            masks |= {(ALL, CLEAN): ~event_mask(table, events), **truth_masks(table, events)}
        for dimension in DIMENSIONS:
            half = _constant_half(calibrating, dimension)
            for (modality, kind), mask in masks.items():
                counted = table.loc[mask & _scored(table, dimension), _columns_of(dimension, table)]
                if _known(counted, dimension).any():
                    place = {"partition": partition, "modality": modality, "kind": kind, "dimension": dimension}
                    rows.append(place | _coverage_of(counted, dimension, half, subjects, replicates, seed))
    return pd.DataFrame(rows, columns=list(COVERAGE_COLUMNS))


def _columns_of(dimension: str, table: pd.DataFrame) -> list[str]:
    """What a joined table has of what scores the intervals of a dimension."""
    return [name for name in ("clip", dimension, f"{dimension}_gold", *BOUNDS[dimension]) if name in table]


def _scored(table: pd.DataFrame, dimension: str) -> Mask:
    values = table[[dimension, f"{dimension}_gold"]].to_numpy(np.float64)
    return np.asarray(np.isfinite(values).all(axis=1))


def _known(table: pd.DataFrame, dimension: str) -> Mask:
    """(n,) bool, rows with an interval."""
    bounds = BOUNDS[dimension]
    if not set(bounds) <= set(table.columns):
        return np.zeros(len(table), bool)
    return np.asarray(np.isfinite(table[list(bounds)].to_numpy(np.float64)).all(axis=1))


def _coverage_of(
    table: pd.DataFrame,
    dimension: str,
    half: float,
    subjects: Mapping[str, str] | None,
    replicates: int,
    seed: int,
) -> dict[str, float]:
    """The numbers of a row, of annotated and predicted frames."""
    known = _known(table, dimension)
    table, without = table[known], int((~known).sum())
    prediction, gold = (table[name].to_numpy(np.float64) for name in (dimension, f"{dimension}_gold"))
    low, high = (table[name].to_numpy(np.float64) for name in BOUNDS[dimension])
    row_clip, clips = pd.factorize(table["clip"], sort=True)
    inside = np.bincount(row_clip, (low <= gold) & (gold <= high))
    frames = np.bincount(row_clip)
    few = len({(subjects or {}).get(clip, clip) for clip in clips}) < MIN_SUBJECTS
    share = bootstrap(lambda counts: counts @ inside / (counts @ frames), len(clips), 0 if few else replicates, seed)
    constant = np.stack([prediction - half, prediction + half]).clip(-1, 1)
    return {
        "clips": len(clips),
        "frames": len(table),
        "without_interval": without,
        **_named("coverage", share),
        "video_coverage": float((inside / frames).mean()),
        "width": float((high - low).mean()),
        "width_error_correlation": rank_correlation(high - low, np.abs(gold - prediction)),
        "constant_coverage": float(((constant[0] <= gold) & (gold <= constant[1])).mean()) if half == half else np.nan,
        "constant_width": float((constant[1] - constant[0]).mean()),
    }


def _constant_half(table: pd.DataFrame | None, dimension: str) -> float:
    """Half of the constant width that the errors of a partition give; NaN if they give none."""
    if table is None:
        return np.nan
    table = table[_scored(table, dimension)]
    errors = (table[f"{dimension}_gold"] - table[dimension]).abs()
    parts = [part.to_numpy(np.float64) for _, part in errors.groupby(table["clip"])]
    half = conformal_quantile(parts, LEVEL) if parts else np.inf
    return half if np.isfinite(half) else np.nan


def rank_correlation(x: Array, y: Array) -> float:
    """Spearman's correlation of two (n,) sequences; NaN if either is constant."""
    if len(x) < 2 or x.min() == x.max() or y.min() == y.max():
        return float("nan")
    return float(np.corrcoef(pd.Series(x).rank(), pd.Series(y).rank())[0, 1])


def coverage_metrics(table: pd.DataFrame) -> dict[str, float]:
    """`<partition>_coverage_<dimension>` over all frames, for the headline; empty without intervals."""
    rows = table[table["kind"] == ALL].to_dict("records")
    return {f"{row['partition']}_coverage_{row['dimension']}": float(row["coverage"]) for row in rows}


# Inconsistency


def inconsistency_auroc(
    predictions: pd.DataFrame, events: pd.DataFrame, replicates: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Whether inconsistency is higher during events of each kind than outside of all events.

    AUROC: 1 = always higher, .5 = chance. Beside it that of the gate's deviation, |weight of the voice - 1/2|, on the
    same steps: a model that trusts one modality more may have noticed that they disagree.

    Args:
        predictions: clip, time_s, inconsistency (NaN = unknown), and the gates of `events.modality_gates` if any.
        events: clip, modality, kind, start_s, end_s.
        replicates, seed: of the bootstrap over clips.

    Returns:
        One row per modality and kind; `either` joins both modalities; the kind `any` joins several kinds. Columns:

        * `auroc` and `gate_auroc`, with 95 % intervals (NaN for fewer than `MIN_CLIPS` clips with such an event); NaN
          if no step of the event, or none outside, has a value;
        * mean inconsistency in the event and outside of all events;
        * clips with a known step in the event, steps with a value in the event and outside (`event_frames`,
          `clean_frames`), and steps left out because inconsistency is unknown (`unknown_event`, `unknown_clean`).

        No rows without inconsistency or without events.
    """
    empty = pd.DataFrame(columns=list(INCONSISTENCY_COLUMNS))
    if INCONSISTENCY not in predictions or not np.isfinite(predictions[INCONSISTENCY].to_numpy(np.float64)).any():
        return empty
    value, gate = predictions[INCONSISTENCY].to_numpy(np.float64), _gate_deviation(predictions)
    known, clean = np.isfinite(value), ~event_mask(predictions, events)
    row_clip = pd.factorize(predictions["clip"], sort=True)[0]
    rows = []
    for modality, kind, event in _classes(predictions, events):
        inside, outside = event & known, clean & known
        clips = len(np.unique(row_clip[inside]))
        draws = replicates if clips >= MIN_CLIPS else 0
        weighed = np.isfinite(gate)
        rows.append(
            {"modality": modality, "kind": kind}
            | _named("auroc", auroc(value, inside, outside, row_clip, draws, seed))
            | _named("gate_auroc", auroc(gate, inside & weighed, outside & weighed, row_clip, draws, seed))
            | {"inconsistency_event": _mean(value[inside]), "inconsistency_clean": _mean(value[outside])}
            | {"event_clips": clips, "event_frames": int(inside.sum()), "clean_frames": int(outside.sum())}
            | {"unknown_event": int((event & ~known).sum()), "unknown_clean": int((clean & ~known).sum())}
        )
    return pd.DataFrame(rows, columns=list(INCONSISTENCY_COLUMNS))


def _classes(predictions: pd.DataFrame, events: pd.DataFrame) -> Iterator[tuple[str, str, Mask]]:
    """(modality, kind, mask) of every row; `either` and `any` only where they join several others."""
    masks = {key: mask for key, mask in truth_masks(predictions, events).items() if mask.any()}
    kinds = {modality: [kind for other, kind in masks if other == modality] for modality in MODALITIES}
    for modality, own in kinds.items():
        yield from ((modality, kind, masks[modality, kind]) for kind in own)
        if len(own) > 1:
            yield modality, ANY, np.logical_or.reduce([masks[modality, kind] for kind in own])
    if all(kinds.values()):
        audio, visual = kinds.values()
        yield from ((EITHER, k, masks[MODALITIES[0], k] | masks[MODALITIES[1], k]) for k in audio if k in visual)
        if {*audio} != {*visual} or len(audio) > 1:
            yield EITHER, ANY, np.logical_or.reduce(list(masks.values()))


def _gate_deviation(predictions: pd.DataFrame) -> Array:
    return np.abs(believed(predictions)[MODALITIES[0]].to_numpy(np.float64) - 0.5)


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else float("nan")


def _named(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}


# Scores over clips


def auroc(
    value: Array, event: Mask, clean: Mask, row_clip: npt.NDArray[np.intp], replicates: int = 0, seed: int = 0
) -> Interval:
    """AUROC of a value (n,), event against clean rows, with its interval over clips.

    The comparisons of every clip's event rows with every clip's clean rows are counted once; a resample of the clips
    only weighs these counts.

    Args:
        value: (n,), finite in both classes.
        event, clean: (n,) bool.
        row_clip: (n,) number of each row's clip, from 0.
        replicates, seed: of the bootstrap; 0 gives no interval.
    """
    clips = int(row_clip.max()) + 1 if len(row_clip) else 0
    wins, events, cleans = np.zeros((clips, clips)), np.zeros(clips), np.zeros(clips)
    for clip in range(clips):
        events[clip] = (event & (row_clip == clip)).sum()
        outside = np.sort(value[clean & (row_clip == clip)])
        cleans[clip] = len(outside)
        below, up_to = (np.searchsorted(outside, value[event], side) for side in ("left", "right"))
        wins[:, clip] = np.bincount(row_clip[event], (below + up_to) / 2, minlength=clips)

    def score(counts: Counts) -> Array:
        pairs = (counts @ events) * (counts @ cleans)
        return np.asarray(np.einsum("rc,cd,rd->r", counts, wins, counts, optimize=True) / pairs)

    return bootstrap(score, clips, replicates, seed)


def bootstrap(
    score: Callable[[Counts], Array], clips: int, replicates: int, seed: int, level: float = 0.95
) -> Interval:
    """A score of clips with its percentile interval; the bounds are NaN for fewer than `MIN_CLIPS` clips.

    Args:
        score: (r, c) how often each clip is included -> (r,).
        clips: c.
        replicates, seed: of the resamples.
        level: coverage of the interval, in (0, 1).
    """
    if not clips:
        return Interval(np.nan, np.nan, np.nan)
    with np.errstate(invalid="ignore"):
        estimate = float(score(np.ones((1, clips), np.int64))[0])
        values = score(resamples(clips, replicates, seed)) if clips >= MIN_CLIPS and replicates else np.empty(0)
    defined = values[np.isfinite(values)]
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]) if defined.size else (np.nan, np.nan)
    return Interval(estimate, float(low), float(high))
