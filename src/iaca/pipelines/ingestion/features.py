"""Nodes for a corpus of precomputed features: they are read once, checked, and are the embeddings."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from iaca.corpora.features.config import FeaturesConfig
from iaca.engine import ClipPaths, Task

log = logging.getLogger(__name__)


def index_corpus(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clips of the corpus, and what is wrong with its files. Subjects in two partitions are an error."""
    from iaca.corpora.features.layout import index_features
    from iaca.corpora.index import problem_table

    index = index_features(root)
    return index.clips, problem_table(index.problems)


def plan_embeddings(root: Path, clip_index: pd.DataFrame, config: FeaturesConfig) -> dict[str, Task]:
    """One task per clip: read its tables, bring them onto one clock."""
    from iaca.corpora.features.clip import VERSION, align_file
    from iaca.corpora.features.layout import FOLDERS, feature_widths

    settled = {"widths": feature_widths(root, clip_index), "tolerance_s": config.tolerance_s}
    tasks = {}
    for row in clip_index.to_dict("records"):
        kinds = tuple(kind for kind in FOLDERS if row[kind])
        files = tuple(root / row[kind] for kind in kinds)
        tasks[row["clip"]] = Task(align_file, files, {"kinds": kinds, **settled}, version=VERSION)
    return tasks


def plan_timelines(embeddings: ClipPaths) -> dict[str, Task]:
    """Timelines that say what was annotated, and where a modality was present."""
    from iaca.corpora.features.clip import write_timeline

    return {clip: Task(write_timeline, (path,)) for clip, path in embeddings.items()}


def describe_corpus(
    root: Path, clip_index: pd.DataFrame, index_problems: pd.DataFrame, embeddings: ClipPaths
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The clips that can be used, everything that is wrong, and counts per partition."""
    from iaca.corpora.describe import partition_summary
    from iaca.corpora.features.describe import clip_table
    from iaca.corpora.index import problem_table

    clips, found = clip_table(clip_index, embeddings, root)
    problems = pd.concat([index_problems, problem_table(found)], ignore_index=True)
    for row in problems.head(5).to_dict("records"):
        line = "" if pd.isna(row["row"]) else f", line {row['row']}"
        log.warning("%s: %s%s: %s", row["clip"], row["file"], line, row["problem"])
    log.log(logging.WARNING if len(problems) else logging.INFO, "%d clips, %d problems", len(clips), len(problems))
    return clips, problems, partition_summary(clips)
