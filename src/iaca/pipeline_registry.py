"""Every pipeline under its own name; `__default__` runs from the demo corpus to the report."""

from __future__ import annotations

from kedro.pipeline import Pipeline
from pydantic import Field

from iaca.config import Parameters
from iaca.errors import InputError
from iaca.pipelines import (
    adaptation,
    benchmark,
    demo_corpus,
    embedding,
    encoder_training,
    evaluation,
    inference,
    ingestion,
    preprocessing,
    training,
)

IMPORTER = "demo"  # of an environment that names none: the embedded corpus, in Aff-Wild2's layout


class ImporterConfig(Parameters):
    """What an environment says of its corpus, where no importer asks for more.

    Attributes:
        importer: what reads the corpus.
        root: its folder, as given on the command line; the catalog's `corpus` reads it.
    """

    importer: str = Field(default=IMPORTER, min_length=1)
    root: str | None = Field(default=None, min_length=1)


def register_pipelines(importer: str = IMPORTER) -> dict[str, Pipeline]:
    """Pipelines by name, in the order in which they chain.

    Args:
        importer: what reads the corpus. Kedro leaves it out; `iaca.context` gives the one of the environment.

    Raises:
        InputError: there is no such importer.
    """
    if importer == IMPORTER:
        return _media_pipelines()
    if importer == "affwild2":
        return _own_videos(ingestion.create_pipeline())
    if importer == "folder":
        return _own_videos(ingestion.create_folder_pipeline())
    if importer == "features":
        return _features_pipelines(_media_pipelines())
    raise InputError(
        f"there is no importer {importer!r}",
        remedy=f"set ingestion.importer to {IMPORTER}, affwild2, folder or features",
    )


def _media_pipelines() -> dict[str, Pipeline]:
    chain = {
        "demo_corpus": demo_corpus.create_pipeline(),
        "ingestion": ingestion.create_pipeline(),
        "preprocessing": preprocessing.create_pipeline(),
        "embedding": embedding.create_pipeline(),
        "training": training.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
    }
    apart = {
        "encoder_training": encoder_training.create_pipeline(),
        "benchmark": benchmark.create_pipeline(),
        "adaptation": adaptation.create_pipeline(),
        "inference": inference.create_pipeline(),
    }
    return {**chain, **apart, "__default__": sum(chain.values(), Pipeline([]))}


def _own_videos(reading: Pipeline) -> dict[str, Pipeline]:
    """The same for a corpus that is somebody's own, read by `reading`: nothing is ever rendered into it.

    `adaptation` begins at the videos: what is up to date is not made again.
    """
    media = _media_pipelines()
    whole = media["__default__"] - media.pop("demo_corpus") - media["ingestion"] + reading
    adapting = _with_origin(media["adaptation"], whole)
    return {**media, "ingestion": reading, "adaptation": adapting, "__default__": whole}


def _features_pipelines(media: dict[str, Pipeline]) -> dict[str, Pipeline]:
    """Without media there is nothing to render, to preprocess or to embed, and no video to predict on.

    `benchmark` begins at the corpus: what is up to date is not made again. Its corruptions of sound and pictures fall
    away.
    """
    chain = {
        "ingestion": ingestion.create_features_pipeline(),
        "training": media["training"],
        "evaluation": media["evaluation"],
    }
    whole = sum(chain.values(), Pipeline([]))
    scoring = benchmark.create_pipeline(signal=False)
    return {**chain, "benchmark": _with_origin(scoring, whole), "__default__": whole}


def _with_origin(pipeline: Pipeline, upstream: Pipeline) -> Pipeline:
    """A pipeline together with everything that its inputs are made from."""
    made = pipeline.inputs() & upstream.all_outputs()
    return upstream.to_outputs(*sorted(made)) + pipeline
