"""Read a corpus: which clips there are, when each frame is shown, and what is wrong."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.ingestion import features, folder
from iaca.pipelines.ingestion.nodes import describe_corpus, index_corpus, plan_timelines, read_facts


def create_pipeline() -> Pipeline:
    """A corpus in Aff-Wild2's layout to its index.

    corpus -> [index] -> clip_index -> [build timelines] -> frame_labels -> [describe] -> clips, problems, summary
           -> [read facts] -> corpus_card, events
    """
    indexed = ["corpus", "clip_index", "index_problems"]
    return Pipeline(
        [
            Node(index_corpus, ["corpus", "params:media"], ["clip_index", "index_problems"], name="index_corpus"),
            Node(plan_timelines, [*indexed, "params:media"], "frame_labels", name="build_timelines"),
            *_description(),
        ],
        tags="data",
    )


def create_folder_pipeline() -> Pipeline:
    """A folder of videos to its index, on the same way."""
    indexed = ["corpus", "clip_index", "index_problems"]
    return Pipeline(
        [
            Node(
                folder.index_corpus, ["corpus", "params:ingestion", "params:media"], ["clip_index", "index_problems"],
                name="index_corpus",
            ),
            Node(
                folder.plan_timelines, [*indexed, "params:ingestion", "params:media"], "frame_labels",
                name="build_timelines",
            ),
            *_description(),
        ],
        tags="data",
    )  # fmt: skip


def _description() -> list[Node]:
    """What is said of a corpus of videos once its timelines are built."""
    return [
        Node(
            describe_corpus,
            ["corpus", "clip_index", "index_problems", "frame_labels"],
            ["clips", "ingestion_problems", "corpus_summary"],
            name="describe_corpus",
        ),
        Node(read_facts, "corpus", ["corpus_card", "events"], name="read_facts"),
    ]


def create_features_pipeline() -> Pipeline:
    """A corpus of precomputed features to its index, its embeddings and timelines.

    corpus -> [index] -> clip_index -> [align features] -> embeddings -> [lay out timelines] -> timelines
           -> [read facts] -> corpus_card, events          embeddings -> [describe] -> clips, problems, summary
    """
    return Pipeline(
        [
            Node(
                features.index_corpus,
                ["corpus", "params:ingestion"],
                ["clip_index", "index_problems"],
                name="index_corpus",
            ),
            Node(
                features.plan_embeddings,
                ["corpus", "clip_index", "index_problems", "params:ingestion"],
                "embeddings",
                name="align_features",
            ),
            Node(features.plan_timelines, "embeddings", "timelines", name="lay_out_timelines"),
            Node(
                features.describe_corpus,
                ["corpus", "clip_index", "index_problems", "embeddings"],
                ["clips", "ingestion_problems", "corpus_summary"],
                name="describe_corpus",
            ),
            Node(read_facts, "corpus", ["corpus_card", "events"], name="read_facts"),
        ],
        tags="data",
    )
