"""Facts about the clips of a corpus of features, and what is wrong with those that could not be read."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from iaca.corpora.describe import failure
from iaca.corpora.features.clip import facts_of, read_clip
from iaca.corpora.features.layout import FOLDERS
from iaca.corpora.features.tables import columns_of
from iaca.corpora.index import NOTED, Problem, problem
from iaca.corpora.timeline import counts, read_timeline_facts
from iaca.engine import ClipPaths
from iaca.errors import InputError
from iaca.modalities import MODALITIES

FACTS = ("frames", "annotated", "first_s", "last_s", "has_audio", "audio_present", "face_found")


def clip_table(clip_index: pd.DataFrame, timelines: ClipPaths, root: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Clips that could be read, with their counts; and the problems of the others.

    Args:
        clip_index: of `index_features`.
        timelines: clip -> its timeline; and the reasons of the failures.
        root: of the corpus; problems name files relative to it.
    """
    rows, problems = [], []
    for row in clip_index.to_dict("records"):
        clip = str(row["clip"])
        if clip in timelines:
            facts = read_timeline_facts(timelines.whole(clip))
            rows.append(row | {name: facts[name] for name in FACTS})
            problems += _noted(row, facts)
        else:
            problems.append(failure(clip, timelines.failures.get(clip, "its timeline is missing"), root))
    return pd.DataFrame(rows, columns=[*clip_index.columns, *FACTS]), problems


def read_through(root: Path, clip_index: pd.DataFrame, tolerance_s: float | None) -> tuple[pd.DataFrame, list[Problem]]:
    """As `clip_table`, from the corpus's own tables: to say what is wrong with a corpus that goes no further."""
    rows, problems = [], []
    for row in clip_index.to_dict("records"):
        files = {kind: root / row[kind] for kind in FOLDERS if row[kind]}
        try:
            widths = {str(kind): len(columns_of(files[kind])) if kind in files else 0 for kind in MODALITIES}
            clip = read_clip(files, widths, tolerance_s)
            facts = counts(clip.embedding.time_s, clip.labels) | facts_of(clip)
            rows.append(row | {name: facts[name] for name in FACTS})
            problems += _noted(row, facts)
        except InputError as error:
            problems.append(failure(str(row["clip"]), str(error), root))
    return pd.DataFrame(rows, columns=[*clip_index.columns, *FACTS]), problems


def _noted(row: Mapping[Hashable, Any], facts: Mapping[str, Any]) -> list[Problem]:
    return [
        problem(str(row["clip"]), str(row["labels"]), what, remedy, effect=NOTED) for what, remedy in facts["notes"]
    ]
