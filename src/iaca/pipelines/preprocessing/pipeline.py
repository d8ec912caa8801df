"""Detect, track and align faces; align the sound to the video's clock."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.preprocessing.nodes import plan_audio, plan_faces, plan_timelines


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
