"""The scores of all runs in one table, and those of their gates in another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from iaca.errors import InputError
from iaca.evaluation.benchmark.config import BenchmarkConfig
from iaca.evaluation.benchmark.store import GATE_KEYS, GATE_VALUES, ScoreRow, read_scores

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
