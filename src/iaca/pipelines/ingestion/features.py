"""Read a corpus of precomputed features: check them, align them to one clock, use them as the embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from iaca.corpora.check import log_corpus, partition_summary, untrainable
from iaca.corpora.features import (
    FOLDERS,
    VERSION,
    FeaturesConfig,
    align_file,
    build_timeline,
    clip_table,
    feature_widths,
    index_features,
    read_through,
)
from iaca.corpora.index import STOPS, problem_table, require_usable
from iaca.encoders.embedding import Dtype
from iaca.engine import ClipPaths, OnDemand, Task
from iaca.engine.task import FEWER_WORKERS

SHORTER_TABLES = f"{FEWER_WORKERS}, or cut the tables of the clip into parts"


def index_corpus(root: Path, config: FeaturesConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clips of the corpus, and the problems of its files.

    If a problem stops the run, all tables are read now for further problems, because no later step would read them.
    """
    index = index_features(root)
    if not any(problem["effect"] == STOPS for problem in index.problems):
        return index.clips, problem_table(index.problems)
    clips, found = read_through(root, index.clips, config.tolerance_s)
    problems = problem_table(index.problems + found)
    log_corpus("the corpus of features", clips, problems)
    return index.clips, problems


def plan_timelines(
    root: Path, clip_index: pd.DataFrame, index_problems: pd.DataFrame, config: FeaturesConfig
) -> Mapping[str, Task]:
    """One task per clip: read its tables, align them to one clock. Fails here if no clip is usable."""
    require_usable(index_problems, root)
    return _per_clip("build_features_timeline", build_timeline, root, clip_index, config)


def describe_corpus(
    root: Path, clip_index: pd.DataFrame, index_problems: pd.DataFrame, frame_labels: ClipPaths
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The usable clips, all problems, and counts per partition."""
    clips, found = clip_table(clip_index, frame_labels, root)
    problems = pd.concat([index_problems, problem_table(found + untrainable(clips))], ignore_index=True)
    log_corpus("the corpus of features", clips, problems)
    return clips, problems, partition_summary(clips)


def plan_embeddings(root: Path, clips: pd.DataFrame, config: FeaturesConfig, dtype: Dtype) -> Mapping[str, Task]:
    """One task per clip: align its features to its clock."""
    rows = {} if dtype == "float32" else {"dtype": dtype}  # as in fingerprints from before there was a choice
    return _per_clip("align_features", align_file, root, clips[["clip", *FOLDERS]].fillna(""), config, rows)


def _per_clip(
    name: str,
    function: Callable[..., None],
    root: Path,
    clips: pd.DataFrame,
    config: FeaturesConfig,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Mapping[str, Task]:
    """One task per clip that calls `function` on the clip's tables, with `more` parameters."""
    settled = {"widths": feature_widths(root, clips), "tolerance_s": config.tolerance_s, **more}

    def task(_: str, *cells: str) -> Task:
        files = {kind: root / file for kind, file in zip(FOLDERS, cells, strict=True) if file}
        parameters = {"kinds": tuple(files), **settled}
        return Task(name, function, tuple(files.values()), parameters, version=VERSION, low_memory=SHORTER_TABLES)

    return OnDemand(task, clips["clip"], *(clips[kind].array for kind in FOLDERS))
