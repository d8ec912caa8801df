"""Train a fusion model on the embeddings of clips: stops when it gets no better, goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from iaca.fusion.config import FusionConfig
from iaca.training import checkpoints as store
from iaca.training.config import TrainingConfig
from iaca.training.model_file import TrainedModel
from iaca.training.pair import train_pair
from iaca.training.settings import with_training_settings
from iaca.training.single import train_single
from iaca.training.windows import Clips


def train(
    fusion: FusionConfig,
    config: TrainingConfig,
    train_clips: Clips,
    validation_clips: Clips,
    checkpoints: Path,
    progress: bool = False,
) -> tuple[TrainedModel, pd.DataFrame]:
    """Train one model.

    The state kept is that of the epoch with the best score: the mean of clean and corrupted validation CCC, pooled over
    the partition. On a CPU the result is the same bit for bit for a seed, interrupted or not. With several devices the
    processes are started from within, and the caller goes on alone afterwards.

    Args:
        fusion: the model.
        config: the run.
        train_clips, validation_clips: embeddings and annotation by clip name.
        checkpoints: a folder of this run's own. A run that was stopped goes on from there, if it is the same run on the
            same data; a finished one leaves nothing in it.
        progress: show one bar of epochs.

    Returns:
        The model, and its history: one row per epoch with epoch, train_loss (without any supervision of gates),
        learning_rate (of the last step), score, {clean,corrupted}_{valence,arousal} (validation CCC) and
        validation_ccc_{valence,arousal} (the mean of the two, what the score is made of); `supervision`, unweighted,
        where there is any. With `config.per_dimension` the columns of both runs, see `history.merged_histories`.

    Raises:
        InputError: no clips, none annotated, embeddings that do not fit the model, cues it reads and a clip lacks, or a
            strategy that can't be started from within.
    """
    if not config.per_dimension:
        model, history = train_single(fusion, config, train_clips, validation_clips, checkpoints, progress)
        return with_training_settings(model, config), history

    def run(alone: TrainingConfig, folder: Path) -> tuple[TrainedModel, pd.DataFrame]:
        return train_single(fusion, alone, train_clips, validation_clips, folder, progress)

    data = (store.data_fingerprint(clips) for clips in (train_clips, validation_clips))
    model, history = train_pair(run, config, checkpoints, store.run_fingerprint(fusion, config, *data))
    return with_training_settings(model, config), history
