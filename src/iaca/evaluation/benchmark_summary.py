"""What does a benchmark show? Its tables (scores, summary, gates), and findings in sentences made from their numbers.

Two intervals, for two questions. The interval over seeds (Student's t, differences paired by seed) says whether another
training run would agree. All seeds share the scored clips, so it can't say whether other clips would: that is the
interval over resamples of the clips, with the trained models held fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from iaca.errors import InputError, counted
from iaca.evaluation.benchmark_scores import (
    COVERAGE_KEYS,
    GATE_KEYS,
    GATE_VALUES,
    INCONSISTENCY_KEYS,
    ScoreRow,
    read_scores,
    statistics,
)
from iaca.evaluation.config import CLEAN, BenchmarkConfig, clean_level, curve_levels, curve_position
from iaca.evaluation.metrics import (
    DIMENSIONS,
    MIN_CLIPS,
    SCORES,
    Array,
    Counts,
    are_few,
    few_sentence,
    pooled_ccc,
    resamples,
)
from iaca.evaluation.style import TITLES, level_text, listed, with_interval

Scores = Mapping[tuple[str, int], list[ScoreRow]]
"""(model, seed) -> rows of `benchmark_scores.SCHEMA`."""
KEYS = ["model", "seed", "corruption", "level"]
RESULT_COLUMNS = [*KEYS, "ccc_valence", "ccc_arousal"]
OVER_SEEDS = ["seeds", "mean", "sd", "low", "high"]
COVERAGE = 0.95
AREA, RELATIVE_AREA, RELATIVE = "area", "relative_area", "relative"
PLACE = ["corruption", "level", "measure"]
SUMMARY_COLUMNS = [*PLACE[:2], "model", "minus", "measure", *OVER_SEEDS, "clips_low", "clips_high"]
INTERVAL_COLUMNS = ["model", "minus", "corruption", "level", "measure", "clips_low", "clips_high"]
VERDICTS = ("better", "worse", "undecided")
MIN_SEEDS = 2
"""Fewer give no interval over seeds and no ranking; see also `metrics.are_few`."""

# Scores of all runs


def read_runs(paths: Mapping[str, Path], config: BenchmarkConfig) -> Scores:
    """Scores of every run of the benchmark.

    Raises:
        InputError: a run has no scores.
    """
    runs = config.runs()
    if missing := [run for run in runs if run not in paths]:
        raise InputError(
            f"{len(missing)} of {counted(len(runs), 'run')} have no scores, the first is {missing[0]}",
            remedy="run the benchmark again: it resumes where it stopped",
        )
    return {(model.label, seed): read_scores(paths[run]) for run, (model, seed) in runs.items()}


def results_table(scores: Scores) -> pd.DataFrame:
    """`benchmark.csv`: model, seed, corruption, level, ccc_valence, ccc_arousal, including the clean partition."""
    rows = [
        {"model": model, "seed": seed, **{name: row[name] for name in RESULT_COLUMNS[2:]}}
        for (model, seed), of_run in scores.items()
        for row in of_run
    ]
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def gates_of_runs(scores: Scores) -> pd.DataFrame:
    """One row per run, condition, gate and modality: model, seed, corruption, level, the keys and values of a gate.

    Rows of the clean partition are about the corpus's own events, by kind.
    """
    rows = [
        {"model": model, "seed": seed, "corruption": row["corruption"], "level": row["level"], **gate}
        for (model, seed), of_run in scores.items()
        for row in of_run
        for gate in row["gates"]
    ]
    return pd.DataFrame(rows, columns=[*KEYS, *GATE_KEYS, *GATE_VALUES])


# Summary


def summarise(scores: Scores, main: Sequence[str], replicates: int, subjects: int | None = None) -> pd.DataFrame:
    """`benchmark_summary.csv`.

    Args:
        scores: of every run.
        main: models that the others are subtracted from.
        replicates: bootstrap resamples of the clips.
        subjects: of the scored clips; by default every clip is a subject of its own.

    Returns:
        One row per quantity. `minus` is empty for a model by itself; otherwise the row is the difference model - minus,
        paired by seed. `measure` is ccc_valence, ccc_arousal, ccc_mean (their mean, or the one that was learned),
        relative (ccc_mean divided by that of the same run on the clean partition); and per corruption, with an empty
        level, area (under ccc_mean, divided by the range of levels) and relative_area. Then `seeds`, `mean`, `sd`, the
        95 % t interval `low`, `high` over seeds, and for CCC the 95 % interval `clips_low`, `clips_high` over resamples
        of the clips with the trained models held fixed. There is no interval of either kind where clips or subjects are
        too few (`metrics.are_few`): seeds that agree on one clip say nothing about another.
    """
    values = _values_of_runs(results_table(scores))
    absolute = over_seeds(values, ["model", *PLACE]).assign(minus=None)
    compared = values[~values["measure"].isin([RELATIVE, RELATIVE_AREA])]
    differences = [_paired_values(compared, name, ["seed", *PLACE]) for name in main]
    paired = over_seeds(pd.concat(differences, ignore_index=True), ["model", "minus", *PLACE])
    table = pd.concat([absolute, paired], ignore_index=True)
    intervals = clip_intervals(scores, main, replicates)
    table = table.merge(intervals, on=["model", "minus", *PLACE], how="left")[SUMMARY_COLUMNS]
    clips = _clip_count(scores)
    if are_few(clips, clips if subjects is None else subjects):
        table[["low", "high", "clips_low", "clips_high"]] = np.nan
    return table


def _clip_count(scores: Scores) -> int:
    first = next(iter(scores.values()))
    return len(first[0]["clips"]) // len(DIMENSIONS)


def is_ranked(summary: pd.DataFrame) -> bool:
    """Whether clips, subjects and seeds were enough for any interval, and so for a ranking of models."""
    return bool(summary["low"].notna().any())


def too_few(clips: int, seeds: int, subjects: int | None = None) -> str:
    """Why a benchmark has no interval and no ranking; "" if it has. By default every clip is a subject of its own."""
    subjects = clips if subjects is None else subjects
    sentences = [few_sentence(clips, subjects)] if are_few(clips, subjects) else []
    if seeds < MIN_SEEDS:
        sentences.append(f"Too few: {counted(seeds, 'seed')}. Intervals and rankings need at least {MIN_SEEDS}.")
    return " ".join(sentences)


def _values_of_runs(results: pd.DataFrame) -> pd.DataFrame:
    """Every measure of every run: model, seed, corruption, level (NaN for a measure of all levels), measure, value."""
    table = results.assign(ccc_mean=results[["ccc_valence", "ccc_arousal"]].mean(axis=1))  # of what was learned
    clean = table.loc[table["corruption"] == CLEAN.corruption, ["model", "seed", "ccc_mean"]]
    table = table.merge(clean.rename(columns={"ccc_mean": "clean"}), on=["model", "seed"])
    table[RELATIVE] = table["ccc_mean"] / table["clean"].where(table["clean"] > 0)
    areas = _areas(table)
    by_level = table.drop(columns="clean").melt(id_vars=KEYS, var_name="measure")
    return pd.concat([by_level, areas.melt(id_vars=KEYS, var_name="measure")], ignore_index=True)


def _areas(table: pd.DataFrame) -> pd.DataFrame:
    """Area under each run's curve, divided by the range of levels: the mean CCC over the curve, in [-1, 1].

    A curve over decibels is integrated up to the highest finite ratio, a curve over factors on a logarithmic axis.
    """
    rows = []
    curves = table[table["corruption"] != CLEAN.corruption].groupby(["model", "seed", "corruption"], sort=False)
    for (model, seed, corruption), curve in curves:
        clean = float(curve["clean"].iloc[0])
        curve = curve[np.isfinite(curve["level"])].sort_values("level")  # clean sound has an infinite ratio
        level = np.array([curve_position(str(corruption), value) for value in curve["level"]])
        span = level[-1] - level[0] if len(level) else 0.0
        area = float(np.trapezoid(curve["ccc_mean"].to_numpy(), level) / span) if span > 0 else float("nan")
        relative = area / clean if clean > 0 else float("nan")
        rows.append((model, seed, corruption, np.nan, area, relative))
    return pd.DataFrame(rows, columns=[*KEYS, AREA, RELATIVE_AREA])


def over_seeds(values: pd.DataFrame, by: list[str], value: str = "value") -> pd.DataFrame:
    """Mean over the seeds of each group, with its t interval.

    Args:
        values: one row per seed and group; rows without a value are ignored.
        by: columns that define a group; they may hold NaN.
        value: the column that is averaged.

    Returns:
        One row per group, in order of first appearance: `by`, seeds (n), mean, sd (n - 1), and the 95 % interval of the
        mean, low and high, mean +- t(n - 1) sd / sqrt(n). sd and interval are NaN for fewer than two seeds.
    """
    groups = values.dropna(subset=[value]).groupby(by, sort=False, dropna=False)[value]
    table = groups.agg(seeds="count", mean="mean", sd="std").reset_index()
    n = table["seeds"].to_numpy(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = stdtrit(n - 1, 0.5 + COVERAGE / 2) * table["sd"].to_numpy(np.float64) / np.sqrt(n)
    return table.assign(low=table["mean"] - half, high=table["mean"] + half)[[*by, *OVER_SEEDS]]


def _paired_values(values: pd.DataFrame, main: str, on: list[str]) -> pd.DataFrame:
    """`value` of the main model minus that of every other model, matched by the columns `on` (which include seed).

    Args:
        values: model, the columns `on`, value.
        main: the model that the others are subtracted from.
        on: columns in which the two rows of a difference agree.

    Returns:
        model = main, minus = the other model, the columns `on`, value.
    """
    of_main = values.loc[values["model"] == main, [*on, "value"]]
    others = values[values["model"] != main]
    both = others.merge(of_main, on=on, suffixes=("", "_of_main"))
    difference = both["value_of_main"] - both["value"]
    return both.assign(minus=both["model"], model=main, value=difference)[["model", "minus", *on, "value"]]


def clip_intervals(scores: Scores, main: Sequence[str], replicates: int, seed: int = 0) -> pd.DataFrame:
    """Percentile intervals (95 %) over clips of the CCC averaged over seeds, and of the main models' differences.

    Args:
        scores: of every run, all with the same conditions on the same clips.
        main: models that the others are subtracted from.
        replicates: resamples, the same for every model and condition.
        seed: of the resamples.

    Returns:
        `INTERVAL_COLUMNS`, as in `summarise`; no rows for fewer than `MIN_CLIPS` clips.
    """
    first = next(iter(scores.values()))
    clips = _clip_count(scores)
    rows: list[tuple[object, ...]] = []
    if clips >= MIN_CLIPS:
        counts = resamples(clips, replicates, seed)
        for i, condition in enumerate(first):
            resampled = _resampled_ccc(scores, i, counts)
            for model, minus, values in _compared(resampled, main):
                key = (model, minus, condition["corruption"], condition["level"])
                rows += [(*key, score, *_percentiles(column)) for score, column in zip(SCORES, values.T, strict=True)]
    return pd.DataFrame(rows, columns=INTERVAL_COLUMNS)


def _resampled_ccc(scores: Scores, condition: int, counts: Counts) -> dict[str, Array]:
    """Model -> (r, 3) CCC on each resample, averaged over the model's seeds."""
    found: dict[str, list[Array]] = {}
    for (model, _), rows in scores.items():
        values = pooled_ccc(statistics(rows[condition]["clips"]), counts)
        found.setdefault(model, []).append(_with_mean_of_learned(values))
    return {model: np.mean(values, axis=0) for model, values in found.items()}


def _with_mean_of_learned(values: Array) -> Array:
    """(r, 3) valence, arousal, mean. A dimension that is undefined in every resample was not learned and is ignored."""
    learned = [k for k in range(len(DIMENSIONS)) if np.isfinite(values[:, k]).any()]
    return np.column_stack([values[:, :-1], values[:, learned].mean(axis=1)]) if learned else values


def _compared(resampled: dict[str, Array], main: Sequence[str]) -> Iterator[tuple[str, str | None, Array]]:
    """(model, minus, values): every model by itself, then each main model minus every other."""
    yield from ((model, None, values) for model, values in resampled.items())
    for name in main:
        yield from ((name, other, resampled[name] - values) for other, values in resampled.items() if other != name)


def _percentiles(values: Array) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    if not defined.size:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)


def gate_summary(gates: pd.DataFrame) -> pd.DataFrame:
    """`benchmark_gates.csv`: how well each gate separates steps with a corrupted modality from clean ones.

    Args:
        gates: of `gates_of_runs`.

    Returns:
        One row per model, gate, modality, source and kind. `source` is `protocol` (kind and level name the condition)
        or `event` (kind of the corpus's own event, no level). Then the AUROC over seeds as `seeds`, `mean`, `sd`,
        `low`, `high` (95 %, t), and mean weights and numbers of steps in the event and outside. AUROC 1: the weight is
        always lower where its modality is corrupted; 0.5: chance.
    """
    clean = gates["corruption"] == CLEAN.corruption
    table = gates.assign(source=np.where(clean, "event", "protocol"), level=gates["level"].where(~clean))
    keys = ["model", "gate", "modality", "source", "kind", "level"]
    rest = ["weight_event", "weight_clean", "event_frames", "clean_frames"]
    means = table.groupby(keys, sort=False, dropna=False)[rest].mean().reset_index()
    return over_seeds(table, keys, "auroc").merge(means, on=keys)


CERTAINTY_KEYS = ["model", "measure", "dimension", "modality", "kind"]
CERTAINTY_MEASURES = {
    "coverage": ("coverage", "width", "width_error_correlation"),
    "inconsistency": ("auroc", "gate_auroc"),
}
"""Column of the score rows -> the values of it that are summarised; the second's are called `inconsistency_<value>`."""


def certainty_summary(scores: Scores) -> pd.DataFrame:
    """`benchmark_certainty.csv`: intervals and inconsistency on the clean partition, for the models that have them.

    Returns:
        One row per model and quantity. `measure` is coverage, width or width_error_correlation (with `dimension`), or
        inconsistency_auroc or inconsistency_gate_auroc (of the gate's deviation from 1/2 on the same steps; with
        `modality` and `kind` of the corpus's own events); keys that do not apply are empty. Then `seeds`, `mean`, `sd`
        and the 95 % t interval `low`, `high` over seeds. Quantities without a value have no row.
    """
    rows = []
    for (model, seed), of_run in scores.items():
        clean = next(row for row in of_run if row["corruption"] == CLEAN.corruption)
        for column, measures in CERTAINTY_MEASURES.items():
            keys = COVERAGE_KEYS if column == "coverage" else INCONSISTENCY_KEYS
            prefix = "" if column == "coverage" else f"{column}_"
            for found in clean[column] or []:
                place = {"model": model, "seed": seed, **{key: found[key] for key in keys}}
                rows += [place | {"measure": prefix + name, "value": found[name]} for name in measures]
    values = pd.DataFrame(rows, columns=["seed", *CERTAINTY_KEYS, "value"]).astype({"value": np.float64})
    return over_seeds(values, CERTAINTY_KEYS)


# Findings


@dataclass(frozen=True)
class Finding:
    """A main model compared with one other.

    Attributes:
        main, other: the two models.
        clean: the verdict on the clean partition, by the mean CCC of main - other and its interval over seeds.
        numbers: that difference and its interval, as text.
        counts: verdict -> number of corrupted conditions.
        where: verdict -> corruption -> its levels, as text; "every level" if it is all of them.
        confirmed: how many of the better or worse conditions have the same verdict by their interval over clips.
    """

    main: str
    other: str
    clean: str
    numbers: str
    counts: dict[str, int]
    where: dict[str, dict[str, str]]
    confirmed: int

    def sentence(self) -> str:
        """All of it, in two or three sentences of Markdown."""
        parts = [f"{name} in {self.counts[name]}{self._places(name)}" for name in VERDICTS[:2]]
        decided = self.counts["better"] + self.counts["worse"]
        over_clips = f" The interval over clips agrees in {self.confirmed} of {decided}." if decided else ""
        return (
            f"Against **{self.other}**: {self.clean} ({self.numbers}) on the clean partition. "
            f"Of {sum(self.counts.values())} corrupted conditions {'; '.join(parts)}; "
            f"undecided in {self.counts['undecided']}.{over_clips}"
        )

    def _places(self, name: str) -> str:
        places = [f"{TITLES[corruption].lower()}: {levels}" for corruption, levels in self.where[name].items()]
        return f" ({'; '.join(places)})" if places else ""


def findings(summary: pd.DataFrame, main: str) -> list[Finding]:
    """One per other model, in the order of the summary, by the mean CCC of valence and arousal."""
    rows = summary[(summary["model"] == main) & (summary["measure"] == "ccc_mean") & summary["minus"].notna()]
    rows = rows.assign(verdict=[verdict(low, high) for low, high in zip(rows["low"], rows["high"], strict=True)])
    return [_finding(main, str(other), of_other) for other, of_other in rows.groupby("minus", sort=False)]


def in_short(found: Sequence[Finding]) -> str:
    """One main model against all others, in two sentences."""
    clean = {name: [finding.other for finding in found if finding.clean == name] for name in VERDICTS}
    total = {name: sum(finding.counts[name] for finding in found) for name in VERDICTS}
    words = {"better": "better than", "worse": "worse than", "undecided": "undecided against"}
    parts = [f"{words[name]} {listed(others)}" for name, others in clean.items() if others]
    return (
        f"On the clean partition {'; '.join(parts)}. Under corruption, of {sum(total.values())} comparisons better in "
        f"{total['better']}, worse in {total['worse']}, undecided in {total['undecided']}."
    )


def verdict(low: float, high: float) -> str:
    """`better`, `worse`, or `undecided` if the interval contains 0 or is undefined."""
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def corrupted_rows(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """(n,) bool, rows at a level that changes something; rows over all levels of a corruption are not among them."""
    clean = rows["corruption"].map(lambda name: clean_level(str(name)))
    return np.asarray(rows["level"].notna() & (rows["level"] != clean))


def _finding(main: str, other: str, rows: pd.DataFrame) -> Finding:
    clean = rows[rows["corruption"] == CLEAN.corruption].iloc[0]
    corrupted = rows[corrupted_rows(rows)]
    decided = corrupted[corrupted["verdict"] != "undecided"]
    over_clips = [verdict(low, high) for low, high in zip(decided["clips_low"], decided["clips_high"], strict=True)]
    return Finding(
        main=main,
        other=other,
        clean=str(clean["verdict"]),
        numbers=with_interval(clean["mean"], clean["low"], clean["high"]),
        counts={name: int((corrupted["verdict"] == name).sum()) for name in VERDICTS},
        where={name: _levels_with(corrupted, name) for name in VERDICTS},
        confirmed=sum(a == b for a, b in zip(decided["verdict"], over_clips, strict=True)),
    )


def _levels_with(rows: pd.DataFrame, name: str) -> dict[str, str]:
    """Corruption -> its levels with this verdict, as text."""
    found = {}
    for corruption, of_one in rows.groupby("corruption", sort=False):
        levels = curve_levels(str(corruption), of_one.loc[of_one["verdict"] == name, "level"])
        if len(levels):
            texts = [level_text(str(corruption), level) for level in levels]
            found[str(corruption)] = "every level" if len(levels) == len(of_one) > 1 else listed(texts)
    return found
