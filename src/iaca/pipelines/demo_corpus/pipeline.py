"""Render the demo corpus in Aff-Wild2's own layout."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.demo_corpus.nodes import plan_videos, write_corpus


def create_pipeline() -> Pipeline:
    """Parameters to a corpus on disk.

    parameters -> [render videos] -> demo_videos -> [annotate] -> corpus
    """
    return Pipeline(
        [
            Node(plan_videos, "params:demo_corpus", "demo_videos", name="render_demo_videos"),
            Node(write_corpus, ["params:demo_corpus", "demo_videos"], "corpus", name="annotate_demo_corpus"),
        ],
        tags="data",
    )
