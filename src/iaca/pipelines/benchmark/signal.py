"""Embeddings of the scored clips after their sound or their faces were corrupted: one task per clip and condition."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd

from iaca.corpora.importers import IngestionConfig
from iaca.encoders.config import EmbeddingConfig, describe
from iaca.engine import ClipPaths, Task
from iaca.evaluation.benchmark.config import BenchmarkConfig
from iaca.evaluation.robustness.config import SNR, Condition
from iaca.evaluation.robustness.partition import drawn_order
from iaca.evaluation.robustness.signal import VERSION, spoil_faces_file, spoil_sound_file
from iaca.pipelines.benchmark.nodes import scored_clips

log = logging.getLogger(__name__)
VOICES = 6
"""Of other clips that make a babble, or as many as there are."""


def plan_spoilt(
    embeddings: ClipPaths,
    faces: ClipPaths,
    audio: ClipPaths,
    clips: pd.DataFrame,
    training_index: pd.DataFrame,
    embedding: EmbeddingConfig,
    benchmark: BenchmarkConfig,
    ingestion: IngestionConfig,
) -> dict[str, Task]:
    """The scored partition under every condition of the signal. Only what is changed is embedded again: noise leaves
    the visual rows as they are, blur and blocks those of the sound."""
    conditions = benchmark.corruption.signal_conditions()
    if not ingestion.has_media and conditions:
        left_out = dict.fromkeys(condition.corruption for condition in conditions)
        log.warning("not scored, since this corpus has features alone, no sound and no faces: %s", ", ".join(left_out))
    if not ingestion.has_media or not conditions:
        return {}

    scored = scored_clips(training_index, benchmark)
    common = {"corruption": benchmark.corruption.of_signal(), "config": embedding, "encoders": describe(embedding)}
    media = dict(zip(clips["clip"], clips["media"], strict=True))
    tasks = {}
    for condition in conditions:
        for clip in scored:
            parameters: Mapping[str, Any] = {"clip": clip, "condition": condition, **common}
            if condition.corruption in SNR:
                talking = _voices(condition, clip, scored, media, benchmark)
                files = (embeddings[clip], audio[clip], *(audio[other] for other in talking))
                task = Task("corrupt_sound", spoil_sound_file, files, parameters, version=VERSION)
            else:
                task = Task(
                    "corrupt_faces", spoil_faces_file, (embeddings[clip], faces[clip]), parameters, version=VERSION
                )
            tasks[condition.item(clip)] = task
    return tasks


def _voices(
    condition: Condition, clip: str, scored: list[str], media: Mapping[str, str], benchmark: BenchmarkConfig
) -> list[str]:
    """Clips of other videos of the partition, drawn for this one: two people of one video have the same sound."""
    if condition.corruption != "audio_babble":
        return []
    videos = {media[other]: other for other in scored if media[other] != media[clip]}
    order = drawn_order(benchmark.corruption.seed, f"voices of {clip}", dict.fromkeys(videos.values(), 0))
    return order[:VOICES]
