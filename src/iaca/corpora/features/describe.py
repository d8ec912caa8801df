"""Facts about the clips of a corpus of features, and what is wrong with those that could not be read."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iaca.corpora.describe import failure
from iaca.corpora.features.clip import read_clip
from iaca.corpora.features.layout import FOLDERS
from iaca.corpora.features.tables import columns_of
from iaca.corpora.index import NOTED, Problem, problem
from iaca.corpora.timeline import TOLERANCE
from iaca.encoders.embedding import ClipEmbedding, read_embedding
from iaca.engine import ClipPaths
from iaca.errors import InputError
from iaca.modalities import MODALITIES

FACTS = ("frames", "annotated", "first_s", "last_s", "has_audio", "audio_present", "face_found")


def clip_table(clip_index: pd.DataFrame, embeddings: ClipPaths, root: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Clips that could be read, with their counts; and the problems of the others.

    Args:
        clip_index: of `index_features`.
        embeddings: clip -> its embeddings; and the reasons of the failures.
        root: of the corpus; problems name files relative to it.
    """
    rows, problems = [], []
    for row in clip_index.to_dict("records"):
        clip = str(row["clip"])
        if clip in embeddings:
            embedding = read_embedding(embeddings[clip])
            rows.append(row | _facts(embedding))
            problems += _lengths(row, embedding)
        else:
            problems.append(failure(clip, embeddings.failures.get(clip, "its embeddings are missing"), root))
    return pd.DataFrame(rows, columns=[*clip_index.columns, *FACTS]), problems


def read_through(root: Path, clip_index: pd.DataFrame, tolerance_s: float | None) -> tuple[pd.DataFrame, list[Problem]]:
    """As `clip_table`, from the corpus's own tables: to say what is wrong with a corpus that goes no further."""
    rows, problems = [], []
    for row in clip_index.to_dict("records"):
        files = {kind: root / row[kind] for kind in FOLDERS if row[kind]}
        try:
            widths = {str(kind): len(columns_of(files[kind])) if kind in files else 0 for kind in MODALITIES}
            clip = read_clip(files, widths, tolerance_s)
            rows.append(row | _facts(clip))
            problems += _lengths(row, clip)
        except InputError as error:
            problems.append(failure(str(row["clip"]), str(error), root))
    return pd.DataFrame(rows, columns=[*clip_index.columns, *FACTS]), problems


def _lengths(row: Mapping[Hashable, Any], clip: ClipEmbedding) -> list[Problem]:
    """Annotated steps before the first or after the last features, where there are more than a few."""
    seen = np.flatnonzero(clip.audio_present | clip.face_found)
    annotated = np.flatnonzero(np.isfinite(clip.labels).all(axis=1))
    outside = int(((annotated < seen[0]) | (annotated > seen[-1])).sum())
    if outside <= TOLERANCE:
        return []
    span = " to ".join(f"{clip.time_s[i]:g}" for i in (seen[0], seen[-1]))
    what = f"{outside} annotated steps lie outside of the features, which run from {span} s"
    remedy = "check that labels and features belong together; those steps have neither voice nor face"
    return [problem(str(row["clip"]), str(row["labels"]), what, remedy, effect=NOTED)]


def _facts(clip: ClipEmbedding) -> dict[Hashable, object]:
    return {
        "frames": len(clip),
        "annotated": int(np.isfinite(clip.labels).all(axis=1).sum()),
        "first_s": float(clip.time_s[0]),
        "last_s": float(clip.time_s[-1]),
        "has_audio": bool(clip.audio_present.any()),
        "audio_present": float(clip.audio_present.mean()),
        "face_found": float(clip.face_found.mean()),
    }
