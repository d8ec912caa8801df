"""Scores of the multi-task challenge: valence and arousal, expressions, action units.

    P_MTL = (CCC of valence + CCC of arousal) / 2 + macro-F1 over 8 expressions + mean F1 over 12 action units

Each part is pooled over the frames of a partition that are annotated with it; the F1 of a unit is that of its active
state, over the frames in which that unit is annotated.

    python -m iaca.evaluation.multitask PREDICTIONS... --labels LABELS.parquet --out CHOICES.json

chooses smoothing and thresholds on the validation partition, for one model or the mean of several.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet
from pydantic import Field, ValidationError, field_validator

from iaca.errors import InputError, brief, ended_by_errors, unreadable
from iaca.evaluation.config import FilterStep
from iaca.evaluation.metrics import DIMENSIONS, are_few, clip_statistics, pooled_ccc, resamples
from iaca.evaluation.tables import filter_clips, postprocess
from iaca.files import write_text
from iaca.formats.labels import EXPRESSIONS, TASK_COLUMNS, UNITS
from iaca.formats.predictions import TABLE_COLUMNS, prediction_file, read_parquet, read_schema
from iaca.parameters import Parameters, faults
from iaca.training.loss import unit_thresholds

log = logging.getLogger(__name__)

COLUMNS = ("partition", "measure", "value", "low", "high", "frames", "unpredicted", "clips")
P_MTL, AFFECT, EXPRESSION_F1, UNITS_F1 = "p_mtl", "ccc_mean", "expression_f1", "action_units_f1"
UNIT_THRESHOLDS = "unit_thresholds"
"""Attribute of a table of predictions: unit -> the probability from which on it counts as active."""
PROBABILITY = "_probability"
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
        replicates, seed: of the bootstrap over clips; all parts share the resamples. 0 gives no intervals.
        subjects: clip -> subject; by default every clip is a subject of its own.

    Returns:
        Rows `p_mtl` (if all parts are known), `ccc_mean`, `expression_f1`, `action_units_f1`, `f1_expression_<class>`
        and `f1_au<number>` of each annotated partition: value, bounds of its 95 % interval (NaN for too few clips or
        subjects), frames scored, annotated frames without a prediction, and clips. No row for a model, or a corpus,
        without expressions and action units.
    """
    if not {"expression", "au1"} & set(predictions) or not set(TASK_COLUMNS) & set(labels):
        return pd.DataFrame(columns=list(COLUMNS))
    return _rows(predictions, labels, replicates, seed, subjects or {})


def _rows(
    predictions: pd.DataFrame, labels: pd.DataFrame, replicates: int, seed: int, subjects: Mapping[str, str]
) -> pd.DataFrame:
    named = {name: f"{name}_gold" for name in (*DIMENSIONS, *TASK_COLUMNS)}
    gold = labels.rename(columns=named).reindex(columns=["clip", "frame", "partition", *named.values()])
    table = gold.merge(predictions, on=["clip", "frame"], how="left")
    parts = [part for name in ("train", "validation", "test") if len(part := table[table["partition"] == name])]
    tables = [_partition_rows(part, replicates, seed, subjects) for part in parts]
    return pd.DataFrame([row for rows in tables for row in rows], columns=list(COLUMNS))


def _partition_rows(
    table: pd.DataFrame, replicates: int, seed: int, subjects: Mapping[str, str]
) -> list[dict[str, Any]]:
    annotated = table[[f"{name}_gold" for name in (*DIMENSIONS, *TASK_COLUMNS)]].notna().any(axis=1)
    table = table[annotated]
    clips = tuple(sorted(table["clip"].unique()))
    few = are_few(len(clips), len({subjects.get(clip, clip) for clip in clips}))
    drawn = None if few or not clips or not replicates else resamples(len(clips), replicates, seed)
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
    return np.array(table[names].astype("float64").to_numpy(np.float64, na_value=np.nan))  # a copy: it may be changed


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
    hits, errors, frames = sums
    return TaskCounts(hits, errors, frames, unpredicted, always)


# Several models, smoothing, thresholds: what is chosen on the validation partition alone


class Choices(Parameters):
    """What is done to predictions before they are submitted.

    Attributes:
        valence_arousal, expression, action_units: the filter of each part, if there is one; of expressions and units
            their probabilities are filtered.
        thresholds: of each unit, the probability from which on it counts as active.
    """

    valence_arousal: FilterStep | None = None
    expression: FilterStep | None = None
    action_units: FilterStep | None = None
    thresholds: dict[str, float] = Field(default_factory=dict)

    @field_validator("thresholds")
    @classmethod
    def _of_units(cls, given: dict[str, float]) -> dict[str, float]:
        if wrong := [name for name, value in given.items() if name not in UNITS or not 0 <= value <= 1]:
            raise ValueError(
                f"{brief(wrong[0])} is not an action unit with a probability; units are {', '.join(UNITS)}"
            )
        return given


def read_choices(path: Path) -> Choices:
    """The choices that `python -m iaca.evaluation.multitask` wrote.

    Raises:
        InputError: the file is missing or holds something else.
    """
    if not path.is_file():
        raise InputError("there is no such file", path, remedy="write it with python -m iaca.evaluation.multitask")
    try:
        return Choices.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        what = faults(error) if isinstance(error, ValidationError) else error.reason
        remedy = "write it again with python -m iaca.evaluation.multitask"
        raise InputError(f"these are no choices ({what})", path, remedy=remedy) from error


def averaged(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The mean of the predictions of several models: of values, of probabilities, of the thresholds of units.

    Args:
        tables: clip, frame, time_s, valence, arousal, and the columns of tasks, of the same frames each.

    Raises:
        InputError: a table has other frames, or other tasks, than the first.
    """
    first, *others = (table.sort_values(["clip", "frame"], ignore_index=True) for table in tables)
    columns = [*DIMENSIONS, *_probabilities(first)]
    for number, other in enumerate(others, start=2):
        if not first[["clip", "frame"]].equals(other[["clip", "frame"]]):
            raise InputError(
                f"table {number} of the predictions has other clips or frames than the first",
                remedy="average the predictions of models that were evaluated on the same corpus",
            )
        if missing := set(columns) ^ {*DIMENSIONS, *_probabilities(other)}:
            raise InputError(
                f"only one of tables 1 and {number} of the predictions has {min(missing)}",
                remedy="average models with the same fusion.tasks",
            )
    values = np.mean([_floats(table, columns) for table in (first, *others)], axis=0)
    joint = first.assign(**dict(zip(columns, values.astype(np.float32).T, strict=True)))
    thresholds = [table.attrs.get(UNIT_THRESHOLDS, {}) for table in tables]
    means = {name: float(np.mean([own.get(name, 0.5) for own in thresholds])) for name in UNITS}
    joint.attrs = {**first.attrs, UNIT_THRESHOLDS: means}
    return decided(joint, means)


def applied(predictions: pd.DataFrame, choices: Choices) -> pd.DataFrame:
    """The predictions with each part filtered, and decided again: the likeliest class, the units at their thresholds.

    Raises:
        InputError: a frame has no finite time.
    """
    changed = predictions
    if choices.valence_arousal is not None:
        changed = postprocess(changed, choices.valence_arousal)
    names = _probabilities(changed)
    classes = [name for name in names if name.startswith("expression_")]
    for step, columns in (
        (choices.expression, classes),
        (choices.action_units, [name for name in names if name not in classes]),
    ):
        if step is not None and columns and step.filter != "clip":
            values = _floats(changed, columns)
            filter_clips(values, changed, step)
            changed = changed.assign(**dict(zip(columns, values.T, strict=True)))
    return decided(changed, {**predictions.attrs.get(UNIT_THRESHOLDS, {}), **choices.thresholds})


def _probabilities(predictions: pd.DataFrame) -> list[str]:
    """The columns of probabilities that a table has."""
    names = [f"expression_{name}" for name in EXPRESSIONS] + [f"{name}{PROBABILITY}" for name in UNITS]
    return [name for name in names if name in predictions]


def decided(predictions: pd.DataFrame, thresholds: Mapping[str, float]) -> pd.DataFrame:
    """The predictions with class and units as their probabilities say; a unit without a threshold counts from 0.5."""
    made: dict[str, object] = {}
    classes = [name for name in _probabilities(predictions) if name.startswith("expression_")]
    if classes:
        values = _floats(predictions, classes)
        observed = np.asarray(np.isfinite(values).all(axis=1))
        made["expression"] = _integers(np.nan_to_num(values).argmax(axis=1), observed)
    for name in UNITS:
        if f"{name}{PROBABILITY}" in predictions:
            values = _floats(predictions, [f"{name}{PROBABILITY}"])[:, 0]
            made[name] = _integers(values >= np.float32(thresholds.get(name, 0.5)), np.isfinite(values))
    return predictions.assign(**made)  # type: ignore[arg-type]  # arrays by name


def _integers(values: NDArray[np.generic], observed: NDArray[np.bool_]) -> pd.arrays.IntegerArray:
    return pd.arrays.IntegerArray(values.astype(np.int8), ~observed)


CANDIDATES: tuple[FilterStep | None, ...] = (
    None,
    *(FilterStep(filter="median", width_s=width) for width in (0.5, 1.0)),
    *(FilterStep(filter="mean", width_s=width) for width in (0.5, 1.0, 2.0, 4.0)),
)
"""Filters that `choose` tries; of equally good ones the first is taken."""


def choose(predictions: pd.DataFrame, labels: pd.DataFrame) -> tuple[Choices, pd.DataFrame]:
    """The filter of each part, and the thresholds of units, with the best score on these labels.

    Args:
        predictions: of one model, or `averaged`.
        labels: of the validation partition: what is chosen on other frames can't be scored on them.

    Returns:
        The choices, and the score of every candidate: filter, `ccc_mean`, `expression_f1`, `action_units_f1` (with
        thresholds of its own), NaN for what the model or the labels lack.
    """
    clips = set(labels["clip"].unique())
    inside = predictions[predictions["clip"].isin(clips)]
    inside.attrs = predictions.attrs
    rows, tuned = [], {}
    for step in CANDIDATES:
        changed = applied(inside, Choices(valence_arousal=step, expression=step, action_units=step))
        tuned[step] = _thresholds_on(changed, labels)
        values = _rows(decided(changed, tuned[step]), labels, 0, 0, {}).set_index("measure")["value"]
        parts = {name: values.get(name, np.nan) for name in (AFFECT, EXPRESSION_F1, UNITS_F1)}
        rows.append({"filter": "none" if step is None else step.name, **parts})
    scores = pd.DataFrame(rows)
    best = {name: _best(scores[name]) for name in (AFFECT, EXPRESSION_F1, UNITS_F1)}
    chosen = {
        "valence_arousal": CANDIDATES[best[AFFECT]],
        "expression": CANDIDATES[best[EXPRESSION_F1]],
        "action_units": CANDIDATES[best[UNITS_F1]],
    }
    return Choices(**chosen, thresholds=tuned[chosen["action_units"]]), scores


def _best(scores: pd.Series[float]) -> int:
    """Place of the largest score, the first of equal ones; 0 if all are unknown."""
    return int(np.nan_to_num(scores.to_numpy(np.float64), nan=-np.inf).argmax())


def _thresholds_on(predictions: pd.DataFrame, labels: pd.DataFrame) -> dict[str, float]:
    """`unit_thresholds` of a table; none without units."""
    columns = [f"{name}{PROBABILITY}" for name in UNITS]
    if columns[0] not in predictions or UNITS[0] not in labels:
        return {}
    gold = labels[["clip", "frame", *UNITS]].merge(predictions[["clip", "frame", *columns]], on=["clip", "frame"])
    values, truth = _floats(gold, columns), _floats(gold, list(UNITS))
    truth[~np.isfinite(values)] = np.nan
    return {n: float(t) for n, t in zip(UNITS, unit_thresholds(np.nan_to_num(values), truth), strict=True)}


def read_tables(paths: Sequence[Path]) -> pd.DataFrame:
    """`averaged` tables of predictions (Parquet; of a folder of versions the newest), with the thresholds of the model.

    Raises:
        InputError: a file is missing, is not such a table, or does not fit the others.
    """
    tables = []
    for path in map(prediction_file, paths):
        if path.suffix.lower() in (".csv", ".tsv", ".txt"):
            remedy = "convert it: pandas.read_csv(FILE).to_parquet(OTHER)"
            raise InputError("predictions have to be a Parquet table here", path, remedy=remedy)
        schema = read_schema(path) if path.suffix == ".parquet" else None
        more = [name for name in TASK_TABLE if schema is not None and name in schema.names]
        table = read_parquet(path, [*TABLE_COLUMNS, *more])
        stored = json.loads((schema.metadata or {}).get(b"pandas", b"{}")) if schema is not None else {}
        known = stored.get("attributes", {}).get(UNIT_THRESHOLDS)
        table.attrs = {UNIT_THRESHOLDS: known} if known else {}
        tables.append(table)
    return tables[0] if len(tables) == 1 else averaged(tables)


TASK_TABLE = [
    "time_s", "expression", *(f"expression_{name}" for name in EXPRESSIONS), *UNITS,
    *(f"{name}{PROBABILITY}" for name in UNITS),
]  # fmt: skip
"""Columns that a table of predictions may have besides clip, frame, valence and arousal."""


def main(words: Sequence[str] | None = None) -> None:
    """Choose filters and thresholds on the validation partition, print the scores, write the choices."""
    parser = argparse.ArgumentParser(
        prog="python -m iaca.evaluation.multitask",
        description="Choose smoothing and thresholds on the validation partition, for predictions of one model or the "
        "mean of several. Nothing of another partition is read from LABELS.",
    )
    parser.add_argument("predictions", type=Path, nargs="+", metavar="PREDICTIONS", help="tables of predictions")
    parser.add_argument("--labels", type=Path, required=True, help="labels.parquet of the training pipeline")
    parser.add_argument("--out", type=Path, required=True, help="JSON, for the option --choices of the submission")
    given = parser.parse_args(words)
    with ended_by_errors(parser):
        predictions, labels = read_tables(given.predictions), _validation_labels(given.labels)
        choices, scores = choose(predictions, labels)
        write_text(given.out, choices.model_dump_json(indent=2) + "\n")
    final = _rows(applied(predictions, choices), labels, 2000, 0, {})
    log.info("every filter, on validation:\n%s", scores.to_string(index=False, float_format="%.4f"))
    shown = final[final["measure"].isin([P_MTL, AFFECT, EXPRESSION_F1, UNITS_F1])]
    columns = ["measure", "value", "low", "high", "frames", "clips"]
    log.info("chosen, with 95 %% intervals over clips:\n%s", shown[columns].to_string(index=False, float_format="%.4f"))
    log.info("Chosen on these frames, so too good an estimate for others. Written to %s", given.out)


def _validation_labels(path: Path) -> pd.DataFrame:
    """Rows of the validation partition alone.

    Raises:
        InputError: it is not such a table, or has none.
    """
    if not path.is_file():
        raise InputError("there is no such file", path, remedy="give labels.parquet of the training pipeline")
    try:
        labels = parquet.read_table(path, filters=[("partition", "==", "validation")]).to_pandas()
    except PermissionError as error:
        raise unreadable(error, path) from None
    except (pa.ArrowException, OSError) as error:
        what = f"this is not a table of labels: {brief(str(error).splitlines()[0])}"
        raise InputError(what, path, remedy="give labels.parquet of the training pipeline") from None
    if labels.empty:
        raise InputError("no row of the validation partition", path, remedy="run the training pipeline again")
    return pd.DataFrame(labels)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    main()
