"""The history of a run: a table with a row per epoch, and how a model file carries it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from iaca.training.config import TARGETS
from iaca.training.model_file import TrainedModel

KEY = "history"  # in the metadata of a model file
FIRST = ("epoch", "train_loss", "learning_rate", "score")  # columns; the others follow
MEANS = ("train_loss", "score")  # of a pair, beside those of each dimension


def history_table(rows: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """The rows that a run recorded, as a table."""
    return _ordered(pd.DataFrame(rows).astype({"epoch": "int64"}))


def merged_histories(histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The histories of a valence and an arousal run by epoch; NaN where only one of them continued.

    Columns that both have get a suffix. The means of `train_loss` and of `score` are added: training figures show them.
    """
    valence, arousal = (histories[target] for target in TARGETS)
    both = valence.merge(arousal, on="epoch", how="outer", suffixes=("_valence", "_arousal"))
    means = {name: both[[f"{name}_{target}" for target in TARGETS]].mean(axis=1, skipna=False) for name in MEANS}
    return _ordered(both.assign(**means))


def with_history(model: TrainedModel, history: pd.DataFrame) -> TrainedModel:
    """The model with its history in its metadata; every digit is kept."""
    return replace(model, metadata={**model.metadata, KEY: json.dumps(history.to_dict("list"))})


def history_of(model: TrainedModel) -> pd.DataFrame:
    """The history a model carries: one row per epoch."""
    return pd.DataFrame(json.loads(model.metadata[KEY]))


def _ordered(history: pd.DataFrame) -> pd.DataFrame:
    first = [name for name in FIRST if name in history]
    return history[[*first, *(name for name in history.columns if name not in first)]]
