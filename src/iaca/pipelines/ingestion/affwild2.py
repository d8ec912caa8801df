"""Read a corpus in Aff-Wild2's layout: the challenge's own files, or the demo corpus."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from iaca.corpora.affwild2 import crop_problems, index_affwild2, inspect_annotation
from iaca.corpora.check import check_corpus, clip_table, log_corpus, partition_summary
from iaca.corpora.index import CLIP_COLUMNS, COUNT, OPEN, CorpusIndex, problem_table, require_usable
from iaca.corpora.timeline import VERSION, build_timeline
from iaca.engine import ClipPaths, OnDemand, Task
from iaca.media.container import MediaLimits


def index_corpus(root: Path, limits: MediaLimits) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The usable clips of the corpus, and the problems of all others and of its files."""
    return logged_tables(check_corpus(root, index_affwild2(root), inspect_annotation, limits))


def logged_tables(index: CorpusIndex) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Log a summary of what the corpus's files declare; return the clips and the problems as tables."""
    problems = problem_table(index.problems)
    log_corpus("the corpus, as its files declare it", index.clips, problems)
    return index.clips[[*CLIP_COLUMNS, COUNT]], problems


def plan_timelines(
    root: Path, clip_index: pd.DataFrame, index_problems: pd.DataFrame, limits: MediaLimits
) -> Mapping[str, Task]:
    """One task per clip: decode its video, align its annotation. Fails here if no clip is usable."""
    require_usable(index_problems, root)
    settings = {"limits": limits}

    def build(_: str, *files: str) -> Task:
        return Task(
            "build_timeline",
            build_timeline,
            tuple(root / file for file in files if file),
            settings=settings,
            version=VERSION,
        )

    table = clip_index.fillna("")
    return OnDemand(build, table["clip"], table["media"].array, table["annotation"].array)


def describe_corpus(
    root: Path, clip_index: pd.DataFrame, index_problems: pd.DataFrame, frame_labels: ClipPaths
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The usable clips with facts about their media, all problems, and counts per partition."""
    clips, found = clip_table(clip_index.fillna(""), frame_labels, root)
    found += crop_problems(root, clips)
    settled = index_problems[index_problems["effect"] != OPEN]  # decoding has settled the open ones
    problems = pd.concat([settled, problem_table(found)], ignore_index=True)
    log_corpus("the corpus, as decoded", clips, problems)
    return clips, problems, partition_summary(clips)
