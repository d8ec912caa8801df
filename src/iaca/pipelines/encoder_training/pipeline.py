"""Fine-tune an encoder on annotated faces or sound."""

from __future__ import annotations

import pandas as pd
from kedro.pipeline import Node, Pipeline

from iaca.encoders.config import NOTHING, Fetching, describe, get_missing
from iaca.engine import ClipPaths, Task
from iaca.errors import InputError
from iaca.pipelines.ingestion.nodes import IngestionConfig
from iaca.training.config import LOW_MEMORY_OF_ENCODERS, EncoderTrainingConfig
from iaca.training.encoders import VERSION, fine_tune_file


def plan_encoder(
    clips: pd.DataFrame,
    faces: ClipPaths,
    audio: ClipPaths,
    timelines: ClipPaths,
    corpus_card: dict[str, str],
    config: EncoderTrainingConfig,
    ingestion: IngestionConfig,
    fetching: Fetching = NOTHING,
) -> dict[str, Task]:
    """Fine-tune on the train partition and score on the validation partition, on the encoder's modality.

    Raises:
        InputError: the corpus has no faces and no sound.
    """
    if not ingestion.has_media:
        raise InputError(
            "this corpus has only features, no faces and no sound to train an encoder on",
            remedy="choose an environment whose corpus has videos: --env folder or --env affwild2",
        )
    complete = clips[clips["clip"].isin(list(timelines))]
    parts = {p: sorted(complete.loc[complete["partition"] == p, "clip"]) for p in ("train", "validation")}
    names = parts["train"] + parts["validation"]
    before = "random"
    if config.start == "weights":
        get_missing([config.embedding], fetching)
        before = describe(config.embedding)[f"{config.modality}_version"]
    shown = faces if config.modality == "visual" else audio
    return {
        config.encoder.name: Task(
            "train_encoder",
            fine_tune_file,
            tuple(shown[clip] for clip in names) + tuple(timelines[clip] for clip in names),
            {
                "config": config,
                "corpus": corpus_card,
                "started_from": before,
                **{f"{part}_clips": those for part, those in parts.items()},
            },
            version=VERSION,
            low_memory=LOW_MEMORY_OF_ENCODERS,
        )
    }


def create_pipeline() -> Pipeline:
    """From faces or sound, and annotations, to a checkpoint of an encoder.

    clips, faces, audio, timelines, corpus_card -> [plan encoder] -> tuned_encoders

    Run when a dataset is saved: `tuned_encoders` trains the encoder, unless it is up to date.
    """
    inputs = ["clips", "faces", "audio", "timelines", "corpus_card", "params:encoder_training", "params:ingestion"]
    inputs.append("params:encoders")
    return Pipeline([Node(plan_encoder, inputs, "tuned_encoders", name="plan_encoder-trained_on_save")], tags="model")
