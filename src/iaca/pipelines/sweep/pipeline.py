"""Search for settings of the main model that score better on the validation partition."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.sweep.nodes import run_sweep
from iaca.pipelines.training.pipeline import from_corpus


def create_pipeline() -> Pipeline:
    """From the corpus to the best settings. Nothing of the test partition is read.

    corpus -> ... -> embeddings, timelines, training_index -> [sweep] -> sweep_trials, sweep_best

    `sweep_store` keeps every trial from the moment it ends: the same command continues a sweep that was interrupted.
    """
    node = Node(
        run_sweep,
        [
            "embeddings",
            "timelines",
            "training_index",
            "checkpoints",
            "sweep_store",
            "params:fusion",
            "params:training",
            "params:sweep",
        ],
        ["sweep_trials", "sweep_best"],
        name="run_sweep",
    )
    return from_corpus(Pipeline([node], tags="sweep"))
