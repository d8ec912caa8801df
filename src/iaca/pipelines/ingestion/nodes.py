"""Index a corpus, decode each video once for its clock, and report what does not fit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from iaca.corpora.affwild2 import index_affwild2
from iaca.corpora.card import read_card
from iaca.corpora.crops import crop_problems
from iaca.corpora.describe import clip_table, partition_summary
from iaca.corpora.events import read_event_table
from iaca.corpora.index import check_subjects, problem_table
from iaca.corpora.timeline import VERSION, build_timeline
from iaca.engine import ClipPaths, Task


def index_corpus(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clips of the corpus, and what is wrong with its files. Subjects in two partitions are an error."""
    index = index_affwild2(root)
    check_subjects(index.clips, root)
    return index.clips, problem_table(index.problems)


def plan_timelines(root: Path, clip_index: pd.DataFrame) -> dict[str, Task]:
    """One task per clip: decode its video, lay its annotation beside the frames."""
    return {
        row["clip"]: Task(
            build_timeline,
            (root / row["media"], *([root / row["annotation"]] if row["annotation"] else [])),
            version=VERSION,
        )
        for row in clip_index.fillna("").to_dict("records")
    }


def describe_corpus(
    root: Path, clip_index: pd.DataFrame, index_problems: pd.DataFrame, frame_labels: ClipPaths
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The clips that can be used with the facts of their media, everything that is wrong, and counts per partition."""
    clips, found = clip_table(clip_index.fillna(""), frame_labels)
    found += crop_problems(root, clips)
    problems = pd.concat([index_problems, problem_table(found)], ignore_index=True)
    return clips, problems, partition_summary(clips)


def read_facts(root: Path) -> tuple[dict[str, str], pd.DataFrame]:
    """The corpus's card, and the ground truth of what happens to sound and face where it knows that."""
    return read_card(root).model_dump(), read_event_table(root / "events.csv")
