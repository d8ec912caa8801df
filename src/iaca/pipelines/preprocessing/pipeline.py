"""Detect, track and align faces; align the sound to the video's clock."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from kedro.pipeline import Node, Pipeline

from iaca.audio import AudioConfig
from iaca.corpora.affwild2 import PATTERN, find_crops
from iaca.corpora.timeline import complete_timeline
from iaca.engine import ClipPaths, OnDemand, Task
from iaca.faces.detect import FaceConfig
from iaca.faces.extract import CROPS_VERSION, collect_crops, extract_faces_file
from iaca.media import extract_audio
from iaca.media.audio import AUDIO_VERSION
from iaca.media.container import MediaLimits
from iaca.pipelines.ingestion.nodes import IngestionConfig

log = logging.getLogger(__name__)


def plan_faces(
    root: Path,
    clips: pd.DataFrame,
    frame_labels: ClipPaths,
    config: FaceConfig,
    limits: MediaLimits,
    ingestion: IngestionConfig,
) -> Mapping[str, Task]:
    """Faces of the clip's person in every decoded frame: the corpus's own crops, or found in the video."""
    if not ingestion.has_media:
        log.info("no faces and no sound to extract: this corpus has only features")
        return {}
    crops = {} if config.source == "detect" else find_crops(root)
    detecting = {"config": config.model_copy(update={"source": "detect"})}
    collecting = {"size": config.size, "jpeg_quality": config.jpeg_quality}

    def task(clip: str, media: str, side: str) -> Task:
        if clip in crops or config.source == "crops":  # a clip without a folder fails, naming that folder
            folder = crops.get(clip, root / PATTERN / clip)
            return Task("collect_crops", collect_crops, (frame_labels[clip], folder), collecting, version=CROPS_VERSION)
        return Task(
            "extract_faces", extract_faces_file, (root / media,), detecting | {"side": side or None}, {"limits": limits}
        )

    return OnDemand(task, clips["clip"], clips["media"].array, clips["side"].fillna("").array)


def plan_audio(
    root: Path, clips: pd.DataFrame, config: AudioConfig, limits: MediaLimits, ingestion: IngestionConfig
) -> Mapping[str, Task]:
    """Mono sound; sample 0 is the start of the container."""
    if not ingestion.has_media:
        return {}
    parameters, settings = {"rate": config.rate}, {"limits": limits}
    return OnDemand(
        lambda _, media: Task("extract_audio", extract_audio, (root / media,), parameters, settings, AUDIO_VERSION),
        clips["clip"],
        clips["media"].array,
    )


def plan_timelines(frame_labels: ClipPaths, faces: ClipPaths, audio: ClipPaths) -> Mapping[str, Task]:
    """Timelines with `face_found` and `audio_present`."""
    return OnDemand(
        lambda clip: Task("complete_timeline", complete_timeline, (frame_labels[clip], faces[clip], audio[clip])),
        (clip for clip in frame_labels if clip in faces and clip in audio),
    )


def create_pipeline() -> Pipeline:
    """From clips to faces, sound and complete timelines, one file each per clip.

    clips -> [plan faces] -> faces --\\
          -> [plan audio] -> audio ----> [plan timelines] -> timelines

    Run when a dataset is saved, for each clip that is new or has changed: `faces` detects and aligns them, or takes the
    corpus's own crops; `audio` decodes the sound; `timelines` adds where a face was found and sound was present.
    """
    settings = ["params:media", "params:ingestion"]
    return Pipeline(
        [
            Node(
                plan_faces, ["corpus", "clips", "frame_labels", "params:faces", *settings], "faces",
                name="plan_faces-extracted_on_save",
            ),
            Node(
                plan_audio, ["corpus", "clips", "params:audio", *settings], "audio",
                name="plan_audio-extracted_on_save",
            ),
            Node(
                plan_timelines, ["frame_labels", "faces", "audio"], "timelines",
                name="plan_timelines-completed_on_save",
            ),
        ],
        tags="data",
    )  # fmt: skip
