"""Facts about the clips of a corpus, gathered from their timelines."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path

import numpy as np
import pandas as pd

from iaca.corpora.index import NOTED, Problem, problem
from iaca.corpora.timeline import length_problem
from iaca.engine import ClipPaths

FACTS = (
    "duration_s", "nominal_fps", "declared_frames", "width", "height", "rotation", "video_codec", "has_audio",
    "audio_codec", "audio_rate", "audio_channels", "video_start_s", "audio_start_s",
)  # fmt: skip
REASON = re.compile(r"(?P<file>.+?)(?:, line (?P<row>\d+))?: (?P<problem>.+?)(?: Remedy: (?P<remedy>.+))?", re.DOTALL)


def clip_table(clip_index: pd.DataFrame, timelines: ClipPaths, root: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Clips that have a timeline, with frames, annotated frames and media facts; and the problems of the others.

    A clip whose video can't be decoded, or whose annotation differs from it by more than the tolerance, is left out
    and reported: labels are never guessed onto frames.
    """
    rows, problems = [], []
    for row in clip_index.to_dict("records"):
        clip = row["clip"]
        if clip not in timelines:
            reason = timelines.failures.get(clip, "its timeline is missing")
            problems.append(failure(clip, reason, root, row["media"]))
            continue
        timeline = pd.read_parquet(timelines[clip])
        for what, remedy in timeline.attrs.get("notes", ()):
            problems.append(problem(clip, row["annotation"], what, remedy, effect=NOTED))
        wrong = length_problem(len(timeline), timeline.attrs["annotation_rows"])
        if wrong:
            remedy = "check that annotation and video belong together; the clip is left out until they agree"
            problems.append(problem(clip, row["annotation"], wrong, remedy))
            continue
        rows.append(row | _counts(timeline) | {name: timeline.attrs[name] for name in FACTS})
    columns = [*clip_index.columns, "frames", "annotated", "first_s", "last_s", *FACTS]
    return pd.DataFrame(rows, columns=columns), problems


def failure(clip: str, reason: str, root: Path, file: str = "") -> Problem:
    """A row of the problems table, from the text in which the engine carries an `InputError`.

    Args:
        clip: whose task failed.
        reason: the text.
        root: of the corpus; the problem names its file relative to it.
        file: named where the reason names none.
    """
    parts = REASON.fullmatch(reason)
    if parts is None or not parts["file"].startswith(str(root)):
        return problem(clip, file, reason, "mend or remove the clip's files, then run ingestion again")
    named = Path(parts["file"]).relative_to(root)
    return problem(clip, named, parts["problem"], parts["remedy"] or "", int(parts["row"]) if parts["row"] else None)


def _counts(timeline: pd.DataFrame) -> dict[Hashable, object]:
    annotated = timeline[["valence", "arousal"]].notna().all(axis=1)
    times = timeline["time_s"].to_numpy(np.float64)
    return {"frames": len(timeline), "annotated": int(annotated.sum()), "first_s": times[0], "last_s": times[-1]}
