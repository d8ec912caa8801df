"""Scores of the multi-task challenge: valence and arousal, expressions, action units.

    P_MTL = (CCC of valence + CCC of arousal) / 2 + macro-F1 over 8 expressions + mean F1 over 12 action units

Each part is pooled over the frames of a partition that are annotated with it; the F1 of a unit is that of its active
state, over the frames in which that unit is annotated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.evaluation.config import FilterStep
from iaca.evaluation.metrics import DIMENSIONS, are_few, clip_statistics, pooled_ccc, resamples
from iaca.evaluation.tables import filtered
from iaca.formats.affwild2 import EXPRESSIONS, TASK_COLUMNS, UNITS

COLUMNS = ("partition", "measure", "value", "low", "high", "frames", "unpredicted", "clips")
P_MTL, AFFECT, EXPRESSION_F1, UNITS_F1 = "p_mtl", "ccc_mean", "expression_f1", "action_units_f1"
CLASSES = {f"f1_expression_{name}": i for i, name in enumerate(EXPRESSIONS)}
Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class TaskCounts:
    """What the F1 of k classes or units is computed from, of each of c clips.

    Attributes:
        hits, errors: (c, k) true positives, and false positives and negatives together.
        known: (c, k) frames that are annotated and predicted.
        unpredicted: annotated frames without a prediction.
        always: whether a class that is never annotated counts, as 0: so it is for expressions.
    """

    hits: Array
    errors: Array
    known: Array
    unpredicted: int
    always: bool

    def f1(self, counts: Counts) -> Array:
        """(r, k) of each resample (r, c): F1 = 2 TP / (2 TP + FP + FN), 0 for 0 / 0; NaN without a frame to score."""
        hits, errors, known = (counts @ part for part in (self.hits, self.errors, self.known))
        values = 2 * hits / np.maximum(2 * hits + errors, 1)
        return np.where(known.sum(axis=1, keepdims=True) > 0 if self.always else known > 0, values, np.nan)


def multitask_table(
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    replicates: int = 2000,
    seed: int = 0,
    subjects: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """The parts of P_MTL that a model predicts, and the F1 of each class and unit.

    Args:
        predictions: clip, frame, valence, arousal, and `expression` or `au1` to `au26`, as a model with these tasks
            writes them.
        labels: clip, frame, partition, valence, arousal, and `TASK_COLUMNS` (NaN = not annotated).
        replicates, seed: of the bootstrap over clips; all parts share the resamples.
        subjects: clip -> subject; by default every clip is a subject of its own.

    Returns:
        Rows `p_mtl` (if all parts are known), `ccc_mean`, `expression_f1`, `action_units_f1`, `f1_expression_<class>`
        and `f1_au<number>` of each annotated partition: value, bounds of its 95 % interval (NaN for too few clips or
        subjects), frames scored, annotated frames without a prediction, and clips. No row for a model, or a corpus,
        without expressions and action units.
    """
    if not {"expression", "au1"} & set(predictions) or not set(TASK_COLUMNS) & set(labels):
        return pd.DataFrame(columns=list(COLUMNS))
    named = {name: f"{name}_gold" for name in (*DIMENSIONS, *TASK_COLUMNS)}
    gold = labels.rename(columns=named).reindex(columns=["clip", "frame", "partition", *named.values()])
    table = gold.merge(predictions, on=["clip", "frame"], how="left")
    parts = [part for name in ("train", "validation", "test") if len(part := table[table["partition"] == name])]
    tables = [_partition_rows(part, replicates, seed, subjects or {}) for part in parts]
    return pd.DataFrame([row for rows in tables for row in rows], columns=list(COLUMNS))


def _partition_rows(
    table: pd.DataFrame, replicates: int, seed: int, subjects: Mapping[str, str]
) -> list[dict[str, Any]]:
    annotated = table[[f"{name}_gold" for name in (*DIMENSIONS, *TASK_COLUMNS)]].notna().any(axis=1)
    table = table[annotated]
    clips = tuple(sorted(table["clip"].unique()))
    few = are_few(len(clips), len({subjects.get(clip, clip) for clip in clips}))
    drawn = None if few or not clips else resamples(len(clips), replicates, seed)
    once = np.ones((1, len(clips)), np.int64)
    rows, parts = [], {}
    for measure, (score, frames, unpredicted) in _measures(table, clips).items():
        if not frames:
            continue
        value, values = float(score(once)[0]), None if drawn is None else score(drawn)
        parts[measure] = (value, values)
        rows.append(_row(table, measure, value, values) | {"frames": frames, "unpredicted": unpredicted})
    if parts.keys() >= {AFFECT, EXPRESSION_F1, UNITS_F1}:
        three = [parts[name] for name in (AFFECT, EXPRESSION_F1, UNITS_F1)]
        together = None if drawn is None else sum(values for _, values in three if values is not None)
        whole = _row(table, P_MTL, sum(value for value, _ in three), together)  # type: ignore[arg-type]  # not 0
        rows.insert(0, whole | {"frames": len(table), "unpredicted": max(row["unpredicted"] for row in rows)})
    return rows


def _row(table: pd.DataFrame, measure: str, value: float, values: Array | None) -> dict[str, Any]:
    known = np.empty(0) if values is None else values[np.isfinite(values)]
    low, high = np.quantile(known, [0.025, 0.975]) if known.size else (np.nan, np.nan)
    partition = table["partition"].iloc[0]
    bounds = {"low": float(low), "high": float(high)}
    return {"partition": partition, "measure": measure, "value": value, **bounds, "clips": table["clip"].nunique()}


Measure = tuple[Callable[[Counts], Array], int, int]  # resamples (r, c) -> (r,); frames; unpredicted frames


def _measures(table: pd.DataFrame, clips: tuple[str, ...]) -> dict[str, Measure]:
    """The measures of a partition, those of P_MTL first."""
    affect = clip_statistics(table, clips)
    missing = table["valence_gold"].notna() & table["valence"].isna()
    measures: dict[str, Measure] = {
        AFFECT: (lambda counts: pooled_ccc(affect, counts)[:, 2], int(affect.sums[:, 0, 0].sum()), int(missing.sum()))
    }
    single: dict[str, Measure] = {}
    if "expression" in table:
        expressions = expression_counts(table, clips)
        scored = int(expressions.known[:, 0].sum())
        measures[EXPRESSION_F1] = (lambda c: expressions.f1(c).mean(axis=1), scored, expressions.unpredicted)
        single |= {name: (_column(expressions, i), scored, expressions.unpredicted) for name, i in CLASSES.items()}
    if UNITS[0] in table:
        units = unit_counts(table, clips)
        frames = units.known.sum(axis=0).astype(int)
        measures[UNITS_F1] = (lambda c: _mean_of_known(units.f1(c)), int(frames.max()), units.unpredicted)
        single |= {f"f1_{n}": (_column(units, i), int(frames[i]), units.unpredicted) for i, n in enumerate(UNITS)}
    return measures | single


def _column(counts: TaskCounts, index: int) -> Callable[[Counts], Array]:
    return lambda drawn: counts.f1(drawn)[:, index]


def _mean_of_known(f1: Array) -> Array:
    """(r, k) -> (r,) the mean over the units that are annotated at all; NaN without any."""
    known = np.isfinite(f1)
    total = np.where(known, f1, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def expression_counts(table: pd.DataFrame, clips: tuple[str, ...]) -> TaskCounts:
    """From `expression` and `expression_gold` of the clips."""
    gold, found = _floats(table, ["expression_gold"]), _floats(table, ["expression"])
    known, classes = np.isfinite(gold) & np.isfinite(found), np.arange(len(EXPRESSIONS))
    unpredicted = int((np.isfinite(gold) & ~np.isfinite(found)).sum())
    return _counts(table, clips, gold == classes, found == classes, known, unpredicted, always=True)


def unit_counts(table: pd.DataFrame, clips: tuple[str, ...]) -> TaskCounts:
    """From `au1` and `au1_gold` and so on of the clips."""
    gold, found = _floats(table, [f"{name}_gold" for name in UNITS]), _floats(table, list(UNITS))
    unpredicted = int((np.isfinite(gold) & ~np.isfinite(found)).any(axis=1).sum())
    known = np.isfinite(gold) & np.isfinite(found)
    return _counts(table, clips, gold == 1, found == 1, known, unpredicted, always=False)


def _floats(table: pd.DataFrame, names: list[str]) -> Array:
    return np.asarray(table[names].astype("float64").to_numpy(np.float64, na_value=np.nan))


def _counts(
    table: pd.DataFrame,
    clips: tuple[str, ...],
    gold: NDArray[np.bool_],
    found: NDArray[np.bool_],
    known: NDArray[np.bool_],
    unpredicted: int,
    always: bool,
) -> TaskCounts:
    known = np.broadcast_to(known, gold.shape)
    place = pd.Categorical(table["clip"], categories=list(clips)).codes
    parts = [gold & found & known, (gold != found) & known, known]
    sums = [np.zeros((len(clips), gold.shape[1])) for _ in parts]
    for total, part in zip(sums, parts, strict=True):
        np.add.at(total, place, part)
    return TaskCounts(*sums, unpredicted, always)


# Smoothing


def smoothed_tasks(predictions: pd.DataFrame, step: FilterStep, thresholds: Mapping[str, float]) -> pd.DataFrame:
    """Filter the probabilities of every clip, and decide again: the likeliest class, the units at their thresholds.

    Args:
        predictions: clip, time_s, and the columns of a model with these tasks; not modified.
        step: `mean`, `gaussian` or `median`; `clip` changes nothing.
        thresholds: of each unit; one that is not listed counts from 0.5 on.
    """
    expressions = [f"expression_{name}" for name in EXPRESSIONS if f"expression_{name}" in predictions]
    units = [name for name in UNITS if f"{name}_probability" in predictions]
    columns = expressions + [f"{name}_probability" for name in units]
    if not columns or step.filter == "clip":
        return predictions
    values, time_s = _floats(predictions, columns), predictions["time_s"].to_numpy(np.float64)
    for found in predictions.groupby("clip").indices.values():
        rows = np.asarray(found)[np.argsort(time_s[found], kind="stable")]
        values[rows] = filtered(time_s[rows], values[rows], step)
    changed = predictions.assign(**dict(zip(columns, values.astype(np.float32).T, strict=True)))
    observed = np.isfinite(values).all(axis=1)
    if expressions:
        changed["expression"] = _integers(values[:, : len(expressions)], observed)
    for name in units:
        active = changed[f"{name}_probability"].to_numpy(np.float64) >= thresholds.get(name, 0.5)
        changed[name] = pd.arrays.IntegerArray(active.astype(np.int8), ~observed)
    return changed


def _integers(probabilities: Array, observed: NDArray[np.bool_]) -> pd.arrays.IntegerArray:
    return pd.arrays.IntegerArray(np.nan_to_num(probabilities).argmax(axis=1).astype(np.int8), ~observed)
