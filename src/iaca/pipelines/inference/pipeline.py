"""Predict on any video with a trained model."""

from kedro.pipeline import Node, Pipeline

from iaca.inference.write import plan_inference, summarise_inference


def create_pipeline() -> Pipeline:
    """From videos and a model to tables, plots and overlay videos.

    inference_model, parameters -> [plan inference] -> inference_results -> [summarise] -> inference_summary

    Run when a dataset is saved: `inference_results` analyses each video that is new or has changed, and writes its
    table, plot and overlay video.
    """
    return Pipeline(
        [
            Node(
                plan_inference,
                ["params:inference", "params:faces", "inference_model", "params:media", "params:encoders"],
                "inference_results",
                name="plan_inference-predicted_on_save",
            ),
            Node(summarise_inference, "inference_results", "inference_summary", name="summarise_videos"),
        ],
        tags="model",
    )
