"""Render the demo corpus in Aff-Wild2's own layout."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.demo_corpus.nodes import plan_videos, write_corpus


def create_pipeline() -> Pipeline:
    """From parameters to a corpus on disk. An environment that reads another corpus renders and writes nothing.

    parameters -> [plan videos] -> demo_videos -> [annotate] -> corpus

    Run when a dataset is saved: `demo_videos` renders each video that is new or has changed.
    """
    demo, ingestion = "params:demo_corpus", "params:ingestion"
    return Pipeline(
        [
            Node(plan_videos, [demo, ingestion], "demo_videos", name="plan_demo_videos-rendered_on_save"),
            Node(write_corpus, [demo, "demo_videos", ingestion], "corpus", name="annotate_demo_corpus"),
        ],
        tags="data",
    )
