"""Which runs are refused before any work: those without the labels, weights, models or results that they need."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset, CatalogProtocol, DataCatalog
from kedro.pipeline import Pipeline

from iaca.corpora.check import require_annotated, require_subjects
from iaca.corpora.index import COUNT
from iaca.datasets.files import ClipFiles, CorpusFolder, NotMadeError
from iaca.encoders.config import NOTHING, describe, get_missing, require_zero_shot
from iaca.errors import InputError
from iaca.hooks import dataset_path

if TYPE_CHECKING:
    from iaca.fusion.config import ModelChoice  # its package brings torch, which ingestion does without

TRAINED = ("training_runs", "benchmark_runs", "tuned_encoders")
"""Results that need annotated clips to train on and to validate on."""
LABELLED = ("clip_index", "clips", "training_index")
"""Tables that know how many annotated rows a clip has: as its files have them, then as they were decoded."""


class RunsThatCanSucceed:
    """Refuses a run that lacks labels, weights, a model or other results before anything is decoded or trained.

    Args:
        release: called when a run is refused before its first node: Kedro tells no hook of that.
    """

    def __init__(self, release: Callable[[], None] = lambda: None) -> None:
        self._release, self._needed = release, dict[str, str]()
        self._subjects, self._env, self._given = False, "", False

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the environment, and whether the command names a corpus."""
        self._env = context.env or ""
        given = (context.config_loader.runtime_params or {}).get("ingestion")
        self._given = isinstance(given, Mapping) and bool(given.get("root"))

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Find out which partitions have to be annotated, and load what the run reads but does not make.

        Folders of per-clip files are loaded, which takes a moment and finds unfinished ones, as is everything missing:
        its own error says how to get it.

        Raises:
            InputError, DatasetError: something is missing or unfinished. For a result of another pipeline, the message
                has the command that makes it.
        """
        try:
            self._look_ahead(pipeline, catalog)
        except Exception:
            self._release()
            raise

    def _look_ahead(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        self._needed, self._subjects = labels_needed(pipeline, catalog), "adapted_model" in pipeline.all_outputs()
        if self._subjects and not catalog["params:ingestion"].load().has_media:
            raise InputError(
                "the zero-shot model needs faces and sound, but this environment reads features alone",
                remedy="adapt it to videos, as in --env folder; a model of features is trained: leave adaptation out",
            )
        if self._subjects and "params:embedding" in pipeline.inputs():
            require_zero_shot(catalog["params:embedding"].load())
        if "inference_results" in pipeline.all_outputs():
            catalog["params:inference"].load().named_input()
        if "params:training" in pipeline.inputs():
            for model in models_to_train(pipeline, catalog):
                catalog["params:training"].load().require_trainable(model.build(1, 1).tasks)
        for name in sorted(pipeline.inputs()):
            dataset = catalog[name] if not name.startswith(("params:", "parameters")) else None
            if dataset is not None and (isinstance(dataset, ClipFiles) or not dataset.exists()):
                try:
                    dataset.load()
                except NotMadeError as error:
                    lacking = {other for other in pipeline.inputs() if not _is_there(other, catalog)}
                    command = " ".join(["kedro run", *(["--env", self._env] if self._env else []), "--pipelines"])
                    remedy = f"{command} {','.join(pipelines_for(lacking, catalog))} {_own_corpus(catalog)}".rstrip()
                    raise InputError("has not been made yet", dataset_path(dataset), remedy=remedy) from error
        if self._given and "clips" in pipeline.inputs():
            require_same_corpus(catalog, self._env)
        require_weights(pipeline, catalog)

    @hook_impl
    def before_node_run(self, inputs: dict[str, Any]) -> None:
        """Check the labels as soon as a table of clips is there.

        Raises:
            InputError: a partition that has to be annotated is not.
        """
        for clips in (inputs[name] for name in LABELLED if name in inputs):
            require_annotated(clips, self._needed)
            if self._subjects:
                require_subjects(clips.loc[clips[COUNT].astype(int) > 0, "subject"].unique())


def pipelines_for(missing: Collection[str], catalog: CatalogProtocol[str, AbstractDataset[Any, Any]]) -> list[str]:
    """The pipelines that make these datasets, and those that make what they need and is not there, in order."""
    from iaca.pipeline_registry import CHAIN  # which imports Kedro's project, as this file is imported by its settings

    names = (*CHAIN, *sorted(path.parent.name for path in Path(__file__).parent.glob("pipelines/*/pipeline.py")))
    pipelines = {name: importlib.import_module(f"iaca.pipelines.{name}").create_pipeline() for name in names}
    wanted, found = set(missing), set[str]()
    while wanted:
        dataset = wanted.pop()
        maker = next((name for name, made in pipelines.items() if dataset in made.all_outputs()), None)
        if maker is not None and maker not in found:
            found.add(maker)
            wanted |= {other for other in pipelines[maker].inputs() if not _is_there(other, catalog)}
    return [name for name in pipelines if name in found]


def _is_there(name: str, catalog: CatalogProtocol[str, AbstractDataset[Any, Any]]) -> bool:
    if name.startswith("param") or name not in catalog or (name == CORPUS and _own_corpus(catalog)):
        return True
    return bool(catalog[name].exists())


CORPUS = "corpus"


def _own_corpus(catalog: CatalogProtocol[str, AbstractDataset[Any, Any]]) -> str:
    """What names a user's own corpus in a command; empty for the demo corpus, which a pipeline makes."""
    corpus = catalog.get(CORPUS)
    return corpus.option if isinstance(corpus, CorpusFolder) else ""


def labels_needed(pipeline: Pipeline, catalog: DataCatalog) -> dict[str, str]:
    """Partition -> what needs annotated clips of it, for a run of this pipeline."""
    made, needed = pipeline.all_outputs(), dict[str, str]()
    if "comparison" in made:
        shown = catalog["params:evaluation"].load().shown
        needed[shown] = f"evaluation.shown={shown}"
    if "benchmark_scores" in made:
        scored = catalog["params:benchmark"].load().partition
        needed[scored] = f"benchmark.partition={scored}"
    if made & set(TRAINED):
        needed |= {"train": "training", "validation": "training"}
    return needed


def models_to_train(pipeline: Pipeline, catalog: DataCatalog) -> list[ModelChoice]:
    """Every model that a run of this pipeline trains, but for the baselines: those are presets as they are."""
    given = pipeline.inputs()
    main = [catalog["params:fusion"].load()] if "params:fusion" in given else []
    return main + (list(catalog["params:benchmark"].load().models) if "params:benchmark" in given else [])


def require_same_corpus(catalog: DataCatalog, env: str) -> None:
    """Refuse results of another corpus than the one that the command names: later pipelines do not open it.

    Raises:
        InputError: none of the files of the clips is there.
    """
    corpus, table = catalog[CORPUS], catalog["clips"].load()
    kinds = [name for name in ("media", "audio", "visual") if name in table]
    files = [str(cell) for cell in table[kinds].to_numpy().ravel() if isinstance(cell, str) and cell]
    root = corpus.load()
    if not files or any(os.path.lexists(root / file) for file in files):
        return
    command = f"kedro run --env {env} --pipelines ingestion,preprocessing,embedding {_own_corpus(catalog)}"
    raise InputError(
        f"these clips are not of the corpus that is given: {root} has none of their files",
        dataset_path(catalog["clips"]),
        remedy=f"read that corpus first ({command}), or leave ingestion.root out",
    )


def require_weights(pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Look for the weights of every encoder and of the face detector of a run, or download them if that is allowed.

    Raises:
        InputError: the encoder's or detector's own, which its node would raise after hours of decoding.
    """
    made, given = pipeline.all_outputs(), pipeline.inputs()
    if not ("params:ingestion" in given and catalog["params:ingestion"].load().has_media):
        return
    if "faces" in made:
        faces = catalog["params:faces"].load()
        if faces.source != "crops":
            faces.weights_file()
    encoders = [catalog["params:embedding"].load()] if "embeddings" in made else []
    if "tuned_encoders" in made and (training := catalog["params:encoder_training"].load()).start == "weights":
        encoders.append(training.embedding)
    get_missing(encoders, catalog["params:encoders"].load() if encoders else NOTHING)
    for config in encoders:
        describe(config)
