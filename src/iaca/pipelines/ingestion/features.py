"""Nodes for a corpus of precomputed features: they are read once, checked, and are the embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from iaca.corpora.features.config import FeaturesConfig
from iaca.engine import ClipPaths, OnDemand, Task


def index_corpus(root: Path, config: FeaturesConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clips of the corpus, and what is wrong with its files.

    Where something stops the run, tables are read at once for what else is wrong: nothing else would read them.
    """
    from iaca.corpora.features.describe import read_through
    from iaca.corpora.features.layout import index_features
    from iaca.corpora.index import STOPS, problem_table
    from iaca.corpora.summary import tell

    index = index_features(root)
    if not any(problem["effect"] == STOPS for problem in index.problems):
        return index.clips, problem_table(index.problems)
    clips, found = read_through(root, index.clips, config.tolerance_s)
    problems = problem_table(index.problems + found)
    tell("the corpus of features", clips, problems)
    return index.clips, problems


def plan_embeddings(
    root: Path, clip_index: pd.DataFrame, index_problems: pd.DataFrame, config: FeaturesConfig
) -> Mapping[str, Task]:
    """One task per clip: read its tables, bring them onto one clock. Here a hopeless corpus stops."""
    from iaca.corpora.features.clip import VERSION, align_file
    from iaca.corpora.features.layout import FOLDERS, feature_widths
    from iaca.corpora.index import require_usable

    require_usable(index_problems, root)
    settled = {"widths": feature_widths(root, clip_index), "tolerance_s": config.tolerance_s}

    def align(_: str, *cells: str) -> Task:
        files = {kind: root / file for kind, file in zip(FOLDERS, cells, strict=True) if file}
        return Task(
            "align_features", align_file, tuple(files.values()), {"kinds": tuple(files), **settled}, version=VERSION
        )

    return OnDemand(align, clip_index["clip"], *(clip_index[kind].array for kind in FOLDERS))


def plan_timelines(embeddings: ClipPaths) -> Mapping[str, Task]:
    """Timelines that say what was annotated, and where a modality was present."""
    from iaca.corpora.features.clip import write_timeline

    return OnDemand(lambda clip: Task("write_features_timeline", write_timeline, (embeddings[clip],)), embeddings)


def describe_corpus(
    root: Path, clip_index: pd.DataFrame, index_problems: pd.DataFrame, embeddings: ClipPaths
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The clips that can be used, everything that is wrong, and counts per partition."""
    from iaca.corpora.check import untaught
    from iaca.corpora.features.describe import clip_table
    from iaca.corpora.index import problem_table
    from iaca.corpora.summary import partition_summary, tell

    clips, found = clip_table(clip_index, embeddings, root)
    problems = pd.concat([index_problems, problem_table(found + untaught(clips))], ignore_index=True)
    tell("the corpus of features", clips, problems)
    return clips, problems, partition_summary(clips)
