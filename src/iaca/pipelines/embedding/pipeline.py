"""Embed faces and sound, one step per decoded frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from kedro.pipeline import Node, Pipeline

from iaca.corpora.features import FeaturesConfig
from iaca.encoders.config import EMBEDDING_VERSION, NOTHING, EmbeddingConfig, Fetching, describe, get_missing
from iaca.encoders.embed import embed_file
from iaca.engine import ClipPaths, OnDemand, Task
from iaca.engine.task import FEWER_WORKERS
from iaca.pipelines.ingestion.nodes import IngestionConfig, plan_feature_embeddings

BATCHES = f"{FEWER_WORKERS} and smaller batches (embedding.batch=4), or cut the video into parts"
"""What a user can do if there is not enough memory to embed."""


def plan_embeddings(
    faces: ClipPaths,
    audio: ClipPaths,
    timelines: ClipPaths,
    config: EmbeddingConfig,
    ingestion: IngestionConfig,
    root: Path,
    clips: pd.DataFrame,
    fetching: Fetching = NOTHING,
) -> Mapping[str, Task]:
    """One task per clip with a complete timeline, annotated or not. A corpus of features brings its embeddings.

    Names, versions and weights of the encoders are part of each task's fingerprint, so another checkpoint rebuilds the
    embeddings.
    """
    if isinstance(ingestion.root, FeaturesConfig):
        return plan_feature_embeddings(root, clips, ingestion.root, config.dtype)
    get_missing([config], fetching)
    parameters = {"config": config, "encoders": describe(config)}

    def embed(clip: str) -> Task:
        files = (faces[clip], audio[clip])
        return Task("embed", embed_file, files, parameters, version=EMBEDDING_VERSION, low_memory=BATCHES)

    return OnDemand(embed, timelines)


def create_pipeline() -> Pipeline:
    """From faces, sound and timelines to one safetensors file per clip. A corpus of features supplies its own tables.

    faces, audio, timelines, or corpus, clips -> [plan embeddings] -> embeddings

    Run when a dataset is saved: `embeddings` embeds each clip that is new or has changed.
    """
    inputs = ["faces", "audio", "timelines", "params:embedding", "params:ingestion", "corpus", "clips"]
    inputs.append("params:encoders")
    return Pipeline([Node(plan_embeddings, inputs, "embeddings", name="plan_embeddings-embedded_on_save")], tags="data")
