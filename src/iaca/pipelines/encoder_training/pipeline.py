"""Fine-tune an encoder on annotated faces or sound."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.encoder_training.nodes import plan_encoder


def create_pipeline() -> Pipeline:
    """Faces or sound, and annotations, to a checkpoint of an encoder.

    clips, faces, audio, timelines, corpus_card -> [tune encoder] -> tuned_encoders
    """
    inputs = ["clips", "faces", "audio", "timelines", "corpus_card", "params:encoder_training"]
    return Pipeline([Node(plan_encoder, inputs, "tuned_encoders", name="tune_encoder")], tags="model")
