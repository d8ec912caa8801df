"""Find, follow and align the faces; bring the sound onto the video's clock."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.preprocessing.nodes import plan_audio, plan_faces, plan_timelines


def create_pipeline() -> Pipeline:
    """Clips to faces, sound and complete timelines, one file each per clip.

    clips -> [extract faces, or take the corpus's own] -> faces --\\
          -> [extract audio] -> audio ----> [complete timelines] -> timelines
    """
    return Pipeline(
        [
            Node(
                plan_faces, ["corpus", "clips", "frame_labels", "params:faces", "params:media"], "faces",
                name="extract_faces",
            ),
            Node(plan_audio, ["corpus", "clips", "params:audio", "params:media"], "audio", name="extract_audio"),
            Node(plan_timelines, ["frame_labels", "faces", "audio"], "timelines", name="complete_timelines"),
        ],
        tags="data",
    )  # fmt: skip
