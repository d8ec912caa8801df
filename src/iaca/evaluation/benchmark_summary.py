"""The scores of all runs in one table, and those of their gates in another.

Means over seeds with Student's t intervals, and differences of two models paired by seed.

How much the clips decide: intervals over resamples of the partition's clips, the trained models held fixed.

Seeds share the test clips. An interval over seeds says whether another training run would agree; whether other clips
would is another question, and this module's.

The summary of a benchmark: one tidy table of means over seeds and of paired differences, each with its interval.

What a benchmark found, in plain sentences made from its numbers and from nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from iaca.errors import InputError
from iaca.evaluation.benchmark_scores import GATE_KEYS, GATE_VALUES, ScoreRow, read_scores, statistics
from iaca.evaluation.config import CLEAN, BenchmarkConfig, clean_level, in_order, place
from iaca.evaluation.metrics import DIMENSIONS, SCORES, Array, Counts, pooled_ccc, resamples
from iaca.evaluation.style import TITLES, interval, level_text, listed, signed

Scores = Mapping[tuple[str, int], list[ScoreRow]]
KEYS = ["model", "seed", "corruption", "level"]
RESULT_COLUMNS = [*KEYS, "ccc_valence", "ccc_arousal"]


def read_runs(paths: Mapping[str, Path], config: BenchmarkConfig) -> Scores:
    """(model, seed) -> the rows of its run, for every run of the benchmark.

    Raises:
        InputError: a run has no scores.
    """
    runs = config.runs()
    if missing := [run for run in runs if run not in paths]:
        raise InputError(
            f"{len(missing)} of {len(runs)} runs have no scores, the first is {missing[0]}",
            remedy="run the benchmark again: it goes on where it stopped",
        )
    return {(model.label, seed): read_scores(paths[run]) for run, (model, seed) in runs.items()}


def results_table(scores: Scores) -> pd.DataFrame:
    """`benchmark.csv`: model, seed, corruption, level, ccc_valence, ccc_arousal, the clean partition included."""
    rows = [
        {"model": model, "seed": seed, **{name: row[name] for name in RESULT_COLUMNS[2:]}}
        for (model, seed), of_run in scores.items()
        for row in of_run
    ]
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def gates_of_runs(scores: Scores) -> pd.DataFrame:
    """One row per run, condition, gate and modality: model, seed, corruption, level, the keys and values of a gate.

    Rows of the clean partition are those of the corpus's own events, by their kind.
    """
    rows = [
        {"model": model, "seed": seed, "corruption": row["corruption"], "level": row["level"], **gate}
        for (model, seed), of_run in scores.items()
        for row in of_run
        for gate in row["gates"]
    ]
    return pd.DataFrame(rows, columns=[*KEYS, *GATE_KEYS, *GATE_VALUES])


OVER_SEEDS = ["seeds", "mean", "sd", "low", "high"]
COVERAGE = 0.95


def over_seeds(values: pd.DataFrame, by: list[str], value: str = "value") -> pd.DataFrame:
    """What the seeds of each group agree on.

    Args:
        values: one row per seed and group; rows without a value are left out.
        by: columns that make a group; they may hold NaN.
        value: the column that is averaged.

    Returns:
        One row per group, in order of first appearance: `by`, seeds (n), mean, sd (n - 1), and the 95 % interval of the
        mean, low and high, mean +- t(n - 1) sd / sqrt(n). NaN where fewer than two seeds leave it undefined.
    """
    groups = values.dropna(subset=[value]).groupby(by, sort=False, dropna=False)[value]
    table = groups.agg(seeds="count", mean="mean", sd="std").reset_index()
    n = table["seeds"].to_numpy(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = student.ppf(0.5 + COVERAGE / 2, n - 1) * table["sd"].to_numpy(np.float64) / np.sqrt(n)
    return table.assign(low=table["mean"] - half, high=table["mean"] + half)[[*by, *OVER_SEEDS]]


def paired_values(values: pd.DataFrame, main: str, on: list[str]) -> pd.DataFrame:
    """`value` of the main model minus that of every other model, at the same place `on` (seed among it).

    Args:
        values: model, the columns `on`, value.
        main: which model the others are subtracted from.
        on: columns that say what is compared with what.

    Returns:
        model = main, minus = the other model, the columns `on`, value.
    """
    of_main = values.loc[values["model"] == main, [*on, "value"]]
    others = values[values["model"] != main]
    both = others.merge(of_main, on=on, suffixes=("", "_of_main"))
    difference = both["value_of_main"] - both["value"]
    return both.assign(minus=both["model"], model=main, value=difference)[["model", "minus", *on, "value"]]


def verdict(low: float, high: float) -> str:
    """`better`, `worse`, or `undecided` where the interval holds 0 or there is none."""
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


INTERVAL_COLUMNS = ["model", "minus", "corruption", "level", "measure", "clips_low", "clips_high"]


def clip_intervals(scores: Scores, main: Sequence[str], replicates: int, seed: int = 0) -> pd.DataFrame:
    """Percentile intervals (95 %) of the CCC averaged over seeds, and of the differences of the main models.

    Args:
        scores: of every run; all have the same conditions on the same clips.
        main: models that the others are subtracted from.
        replicates: resamples, the same for every model and condition.
        seed: of the resamples.

    Returns:
        `INTERVAL_COLUMNS`, as in `summarise`; no rows for a single clip, since there is nothing to resample.
    """
    first = next(iter(scores.values()))
    clips = len(first[0]["clips"]) // len(DIMENSIONS)
    rows: list[tuple[object, ...]] = []
    if clips > 1:
        counts = resamples(clips, replicates, seed)
        for i, condition in enumerate(first):
            resampled = _over_seeds(scores, i, counts)
            for model, minus, values in _compared(resampled, main):
                place = (model, minus, condition["corruption"], condition["level"])
                rows += [(*place, score, *_percentiles(column)) for score, column in zip(SCORES, values.T, strict=True)]
    return pd.DataFrame(rows, columns=INTERVAL_COLUMNS)


def _over_seeds(scores: Scores, condition: int, counts: Counts) -> dict[str, Array]:
    """Model -> (r, 3) CCC on each resample, averaged over the model's seeds."""
    found: dict[str, list[Array]] = {}
    for (model, _), rows in scores.items():
        values = pooled_ccc(statistics(rows[condition]["clips"]), counts)
        found.setdefault(model, []).append(_with_mean_of_the_learned(values))
    return {model: np.mean(values, axis=0) for model, values in found.items()}


def _with_mean_of_the_learned(values: Array) -> Array:
    """(r, 3) valence, arousal, mean: a dimension that is undefined throughout was not learned, and has no say."""
    learned = [k for k in range(len(DIMENSIONS)) if np.isfinite(values[:, k]).any()]
    return np.column_stack([values[:, :-1], values[:, learned].mean(axis=1)]) if learned else values


def _compared(resampled: dict[str, Array], main: Sequence[str]) -> Iterator[tuple[str, str | None, Array]]:
    """(model, minus, values): every model by itself, then each main one minus every other."""
    yield from ((model, None, values) for model, values in resampled.items())
    for name in main:
        yield from ((name, other, resampled[name] - values) for other, values in resampled.items() if other != name)


def _percentiles(values: Array) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    if not defined.size:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)


AREA, RELATIVE_AREA, RELATIVE = "area", "relative_area", "relative"
PLACE = ["corruption", "level", "measure"]
SUMMARY_COLUMNS = [*PLACE[:2], "model", "minus", "measure", *OVER_SEEDS, "clips_low", "clips_high"]


def summarise(scores: Scores, main: Sequence[str], replicates: int) -> pd.DataFrame:
    """`benchmark_summary.csv`.

    Args:
        scores: of every run.
        main: models that the others are subtracted from.
        replicates: bootstrap resamples of the clips.

    Returns:
        One row per quantity. `minus` empty: a model by itself; else the difference model - minus, paired by seed.
        `measure`: ccc_valence, ccc_arousal, ccc_mean (their mean, or the one that was learned), relative (ccc_mean over
        that of the clean partition, same run); and per corruption, with an empty level, area (under ccc_mean, over the
        range of its levels) and relative_area. Then `seeds`, `mean`, `sd`, the 95 % t interval `low`, `high` over
        seeds, and for CCC the 95 % interval `clips_low`, `clips_high` over resamples of the clips, with the trained
        models as they are.
    """
    values = values_of_runs(results_table(scores))
    absolute = over_seeds(values, ["model", *PLACE]).assign(minus=None)
    compared = values[~values["measure"].isin([RELATIVE, RELATIVE_AREA])]
    differences = [paired_values(compared, name, ["seed", *PLACE]) for name in main]
    paired = over_seeds(pd.concat(differences, ignore_index=True), ["model", "minus", *PLACE])
    table = pd.concat([absolute, paired], ignore_index=True)
    intervals = clip_intervals(scores, main, replicates)
    return table.merge(intervals, on=["model", "minus", *PLACE], how="left")[SUMMARY_COLUMNS]


def values_of_runs(results: pd.DataFrame) -> pd.DataFrame:
    """Every measure of every run: model, seed, corruption, level (NaN where it is over all levels), measure, value."""
    table = results.assign(ccc_mean=results[["ccc_valence", "ccc_arousal"]].mean(axis=1))  # of what was learned
    clean = table.loc[table["corruption"] == CLEAN.corruption, ["model", "seed", "ccc_mean"]]
    table = table.merge(clean.rename(columns={"ccc_mean": "clean"}), on=["model", "seed"])
    table[RELATIVE] = table["ccc_mean"] / table["clean"].where(table["clean"] > 0)
    areas = _areas(table)
    by_level = table.drop(columns="clean").melt(id_vars=KEYS, var_name="measure")
    return pd.concat([by_level, areas.melt(id_vars=KEYS, var_name="measure")], ignore_index=True)


def _areas(table: pd.DataFrame) -> pd.DataFrame:
    """Area under each run's curve, divided by the range of levels: the mean CCC over them, in [-1, 1].

    Over decibels it begins at the highest finite ratio; a factor counts by its logarithm.
    """
    rows = []
    curves = table[table["corruption"] != CLEAN.corruption].groupby(["model", "seed", "corruption"], sort=False)
    for (model, seed, corruption), curve in curves:
        clean = float(curve["clean"].iloc[0])
        curve = curve[np.isfinite(curve["level"])].sort_values("level")  # clean sound is infinitely far from any ratio
        level = np.array([place(str(corruption), value) for value in curve["level"]])
        span = level[-1] - level[0] if len(level) else 0.0
        area = float(np.trapezoid(curve["ccc_mean"].to_numpy(), level) / span) if span > 0 else float("nan")
        relative = area / clean if clean > 0 else float("nan")
        rows.append((model, seed, corruption, np.nan, area, relative))
    return pd.DataFrame(rows, columns=[*KEYS, AREA, RELATIVE_AREA])


def gate_summary(gates: pd.DataFrame) -> pd.DataFrame:
    """`benchmark_gates.csv`: how well each gate tells a corrupted modality from clean steps.

    Args:
        gates: of `collect.gates_of_runs`.

    Returns:
        One row per model, gate, modality, source and kind: `source` is `protocol` (kind and level say which) or `event`
        (kind of the corpus's own event, no level). Then of the AUROC over seeds `seeds`, `mean`, `sd`, `low`, `high`
        (95 %, t), and mean weights and numbers of steps in the event and outside. 1 = the weight is always lower when
        its modality is corrupted, 0.5 = chance.
    """
    clean = gates["corruption"] == CLEAN.corruption
    table = gates.assign(source=np.where(clean, "event", "protocol"), level=gates["level"].where(~clean))
    keys = ["model", "gate", "modality", "source", "kind", "level"]
    rest = ["weight_event", "weight_clean", "event_frames", "clean_frames"]
    means = table.groupby(keys, sort=False, dropna=False)[rest].mean().reset_index()
    return over_seeds(table, keys, "auroc").merge(means, on=keys)


VERDICTS = ("better", "worse", "undecided")


@dataclass(frozen=True)
class Finding:
    """A main model against one other.

    Attributes:
        main, other: the two models.
        clean: the verdict on the clean partition, by the mean CCC of main - other with its interval over seeds.
        numbers: those, as text.
        counts: verdict -> number of corrupted conditions.
        where: verdict -> corruption -> its levels, as text; "every level" where it is all of them.
        confirmed: of the conditions that are better or worse, those whose interval over clips says the same.
    """

    main: str
    other: str
    clean: str
    numbers: str
    counts: dict[str, int]
    where: dict[str, dict[str, str]]
    confirmed: int

    def sentence(self) -> str:
        """Everything of it in three sentences."""
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
    """One per other model, in the order of the table; all on the mean CCC of valence and arousal."""
    rows = summary[(summary["model"] == main) & (summary["measure"] == "ccc_mean") & summary["minus"].notna()]
    rows = rows.assign(verdict=[verdict(low, high) for low, high in zip(rows["low"], rows["high"], strict=True)])
    return [_finding(main, str(other), of_other) for other, of_other in rows.groupby("minus", sort=False)]


def corrupted_rows(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """(n,) bool, rows at a level at which something is done; those over all levels of a corruption are none."""
    clean = rows["corruption"].map(lambda name: clean_level(str(name)))
    return np.asarray(rows["level"].notna() & (rows["level"] != clean))


def in_short(found: Sequence[Finding]) -> str:
    """One main model against all others, in two sentences."""
    clean = {name: [finding.other for finding in found if finding.clean == name] for name in VERDICTS}
    total = {name: sum(finding.counts[name] for finding in found) for name in VERDICTS}
    return (
        f"On the clean partition better than {listed(clean['better'])}; worse than {listed(clean['worse'])}; undecided "
        f"against {listed(clean['undecided'])}. Under corruption, of {sum(total.values())} comparisons better in "
        f"{total['better']}, worse in {total['worse']}, undecided in {total['undecided']}."
    )


def _finding(main: str, other: str, rows: pd.DataFrame) -> Finding:
    clean = rows[rows["corruption"] == CLEAN.corruption].iloc[0]
    corrupted = rows[corrupted_rows(rows)]
    decided = corrupted[corrupted["verdict"] != "undecided"]
    over_clips = [verdict(low, high) for low, high in zip(decided["clips_low"], decided["clips_high"], strict=True)]
    return Finding(
        main=main,
        other=other,
        clean=str(clean["verdict"]),
        numbers=f"{signed(clean['mean'])} {interval(clean['low'], clean['high'])}",
        counts={name: int((corrupted["verdict"] == name).sum()) for name in VERDICTS},
        where={name: _where(corrupted, name) for name in VERDICTS},
        confirmed=sum(a == b for a, b in zip(decided["verdict"], over_clips, strict=True)),
    )


def _where(rows: pd.DataFrame, name: str) -> dict[str, str]:
    places = {}
    for corruption, of_one in rows.groupby("corruption", sort=False):
        levels = in_order(str(corruption), of_one.loc[of_one["verdict"] == name, "level"])
        if len(levels):
            texts = [level_text(str(corruption), level) for level in levels]
            places[str(corruption)] = "every level" if len(levels) == len(of_one) > 1 else listed(texts)
    return places
