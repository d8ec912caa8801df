"""Facts about the clips of a corpus of features, and what is wrong with those that could not be read."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path

import numpy as np
import pandas as pd

from iaca.corpora.index import problem
from iaca.encoders.embedding import read_embedding
from iaca.engine import ClipPaths

FACTS = ("frames", "annotated", "first_s", "last_s", "has_audio", "audio_present", "face_found")
REASON = re.compile(r"(?P<file>.+?)(?:, line (?P<row>\d+))?: (?P<problem>.+?)(?: Remedy: (?P<remedy>.+))?", re.DOTALL)


def clip_table(
    clip_index: pd.DataFrame, embeddings: ClipPaths, root: Path
) -> tuple[pd.DataFrame, list[dict[str, object]]]:
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
            rows.append(row | _facts(embeddings[clip]))
        else:
            problems.append(failure(clip, embeddings.failures.get(clip, "its embeddings are missing"), root))
    return pd.DataFrame(rows, columns=[*clip_index.columns, *FACTS]), problems


def failure(clip: str, reason: str, root: Path) -> dict[str, object]:
    """A row of the problems table, from the text in which the engine carries an `InputError`."""
    parts = REASON.fullmatch(reason)
    if parts is None or not parts["file"].startswith(str(root)):
        return problem(clip, "", reason, "mend the clip's files, then run ingestion again")
    file = Path(parts["file"]).relative_to(root)
    return problem(clip, file, parts["problem"], parts["remedy"] or "", int(parts["row"]) if parts["row"] else None)


def _facts(path: Path) -> dict[Hashable, object]:
    clip = read_embedding(path)
    return {
        "frames": len(clip),
        "annotated": int(np.isfinite(clip.labels).all(axis=1).sum()),
        "first_s": float(clip.time_s[0]),
        "last_s": float(clip.time_s[-1]),
        "has_audio": bool(clip.audio_present.any()),
        "audio_present": float(clip.audio_present.mean()),
        "face_found": float(clip.face_found.mean()),
    }
