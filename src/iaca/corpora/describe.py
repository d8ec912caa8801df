"""Facts about the clips of a corpus, gathered from their timelines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from iaca.corpora.index import NOTED, Problem, problem, with_facts
from iaca.corpora.timeline import length_problem, read_timeline_facts
from iaca.engine import ClipPaths

FACTS = (
    "frames", "annotated", "first_s", "last_s",
    "duration_s", "nominal_fps", "declared_frames", "width", "height", "rotation", "video_codec", "has_audio",
    "audio_codec", "audio_rate", "audio_channels", "video_start_s", "audio_start_s",
)  # fmt: skip
REASON = re.compile(r"(?P<file>.+?)(?:, line (?P<row>\d+))?: (?P<problem>.+?)(?: Remedy: (?P<remedy>.+))?", re.DOTALL)


def clip_table(clip_index: pd.DataFrame, timelines: ClipPaths, root: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Clips that have a timeline, with frames, annotated frames and media facts; and the problems of the others.

    A clip whose video can't be decoded, or whose annotation differs from it by more than the tolerance, is left out
    and reported: labels are never guessed onto frames.
    """
    problems: list[Problem] = []

    def facts() -> Iterator[dict[str, Any] | None]:
        for clip, media, annotation in clip_index[["clip", "media", "annotation"]].itertuples(index=False, name=None):
            if clip not in timelines:
                reason = timelines.failures.get(clip, "its timeline is missing")
                problems.append(failure(clip, reason, root, media))
                yield None
                continue
            found = read_timeline_facts(timelines.whole(clip))
            for what, remedy in found.get("notes", ()):
                problems.append(problem(clip, annotation, what, remedy, effect=NOTED))
            wrong = length_problem(found["frames"], found["annotation_rows"])
            if wrong:
                remedy = "check that annotation and video belong together; the clip is left out until they agree"
                problems.append(problem(clip, annotation, wrong, remedy))
            yield None if wrong else found

    return with_facts(clip_index, FACTS, facts()), problems


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
