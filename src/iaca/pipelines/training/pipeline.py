"""Train the fusion model, and the baselines it is compared with."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines import embedding, ingestion, preprocessing
from iaca.pipelines.training.nodes import collect_labels, index_steps, plan_runs, publish_model


def create_pipeline() -> Pipeline:
    """From embeddings to models.

    clips, embeddings, timelines -> [index steps] -> training_index
    embeddings, timelines, training_index, corpus_card -> [plan runs] -> training_runs
    timelines, training_index -> [collect labels] -> labels
    training_runs -> [publish] -> model, baseline_models, history

    Run when a dataset is saved: `training_runs` trains the main model and each baseline, unless it is up to date.
    """
    return Pipeline(
        [
            Node(index_steps, ["clips", "embeddings", "timelines"], "training_index", name="index_steps"),
            Node(collect_labels, ["training_index", "timelines"], "labels", name="collect_labels"),
            Node(
                plan_runs,
                [
                    "embeddings",
                    "timelines",
                    "training_index",
                    "corpus_card",
                    "checkpoints",
                    "params:fusion",
                    "params:baselines",
                    "params:training",
                ],
                "training_runs",
                name="plan_runs-trained_on_save",
            ),
            Node(publish_model, "training_runs", ["model", "baseline_models", "history"], name="publish_model"),
        ],
        tags="model",
    )


def from_corpus(pipeline: Pipeline) -> Pipeline:
    """Prepend the nodes from the corpus to the models that make inputs of `pipeline`. Up-to-date results are kept."""
    before = (ingestion.create_pipeline, preprocessing.create_pipeline, embedding.create_pipeline, create_pipeline)
    upstream = sum((create() for create in before), Pipeline([]))
    return upstream.to_outputs(*sorted(pipeline.inputs() & upstream.all_outputs())) + pipeline
