"""Read a corpus: its clips, the time of each frame, and all problems."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.ingestion.nodes import describe_corpus, index_corpus, plan_timelines, read_facts


def create_pipeline() -> Pipeline:
    """From a corpus to its index; `params:ingestion` names the importer that reads it.

    corpus -> [index] -> clip_index -> [plan timelines] -> frame_labels -> [describe] -> clips, problems, summary
           -> [read facts] -> corpus_card, events

    Run when a dataset is saved: `frame_labels` decodes each clip that is new or has changed.
    """
    indexed = ["corpus", "clip_index", "index_problems"]
    return Pipeline(
        [
            Node(
                index_corpus, ["corpus", "params:ingestion", "params:media"], ["clip_index", "index_problems"],
                name="index_corpus",
            ),
            Node(
                plan_timelines, [*indexed, "params:ingestion", "params:media"], "frame_labels",
                name="plan_frame_labels-decoded_on_save",
            ),
            Node(
                describe_corpus, [*indexed, "frame_labels", "params:ingestion"],
                ["clips", "ingestion_problems", "corpus_summary"],
                name="describe_corpus",
            ),
            Node(read_facts, "corpus", ["corpus_card", "events"], name="read_facts"),
        ],
        tags="data",
    )  # fmt: skip
