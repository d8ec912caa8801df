"""Fine-tune an encoder on annotated faces or sound."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.encoder_training.nodes import plan_encoder


def create_pipeline() -> Pipeline:
    """From faces or sound, and annotations, to a checkpoint of an encoder.

    clips, faces, audio, timelines, corpus_card -> [plan encoder] -> tuned_encoders

    Run when a dataset is saved: `tuned_encoders` trains the encoder, unless it is up to date.
    """
    inputs = ["clips", "faces", "audio", "timelines", "corpus_card", "params:encoder_training", "params:ingestion"]
    inputs.append("params:encoders")
    return Pipeline([Node(plan_encoder, inputs, "tuned_encoders", name="plan_encoder-trained_on_save")], tags="model")
