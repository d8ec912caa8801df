"""A corpus of videos looked through before any long work: all that is wrong is gathered, and nothing stops the search.

Annotation files are read, and of each video what its container declares; nothing is decoded. What a faultless file
said is remembered for as long as it stays as it was: a corpus of ten thousand clips is looked through again in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from iaca.corpora.index import (
    LEFT_OUT,
    NOTED,
    OPEN,
    STOPS,
    AnnotationFacts,
    CorpusIndex,
    Inspect,
    Problem,
    problem,
    with_facts,
)
from iaca.corpora.timeline import length_problem
from iaca.engine.task import FileCache
from iaca.errors import InputError
from iaca.media import MediaInfo, MediaLimits, probe

DECLARED = ("frames", "annotated", "first_s", "last_s", "has_audio")
VERSION = "1"  # of what is remembered: raised when a reader of annotations or of containers learns something else
SHOWN = 10  # faulty rows of one file that are told one by one


def check_corpus(root: Path, index: CorpusIndex, inspect: Inspect, limits: MediaLimits | None = None) -> CorpusIndex:
    """The clips that can be worked on, with what is declared of them, and everything that is wrong.

    A clip whose video can't be opened, or whose annotation has a faulty row, is left out: labels are never guessed.

    Args:
        root: of the corpus.
        index: its clips, and what was wrong with names and folders.
        inspect: reads an annotation file of this corpus's format.
        limits: what a video may hold; None for the usual ones.

    Returns:
        Clips with `frames`, `annotated`, `last_s` and `has_audio` beside the columns of the index; and the problems.
    """
    problems = list(index.problems)

    def facts() -> Iterator[dict[str, object] | None]:
        for cells in index.clips.itertuples(index=False, name=None):
            row = dict(zip(index.clips.columns, map(str, cells), strict=True))
            found, declared = _check_clip(root, row, inspect, limits)
            problems.extend(found)
            yield None if any(p["effect"] == LEFT_OUT for p in found) else declared

    clips = with_facts(index.clips, DECLARED, facts())
    problems += untaught(clips) if len(clips) else []
    if clips.empty:
        problems.append(problem("", ".", "no clip can be used", "mend what the other rows name", effect=STOPS))
    return CorpusIndex(clips, problems)


def _check_clip(
    root: Path, row: dict[str, str], inspect: Inspect, limits: MediaLimits | None
) -> tuple[list[Problem], dict[str, object]]:
    clip, media, annotation = row["clip"], row["media"], row["annotation"]
    try:
        info = _declared(root / media, limits)
    except InputError as error:
        return [fault_problem(clip, media, error)], {}
    problems = _media_problems(clip, media, info)
    facts = _inspected(root / annotation, inspect) if annotation else AnnotationFacts()
    problems += [fault_problem(clip, annotation, error) for error in facts.faults[:SHOWN]]
    if len(facts.faults) > SHOWN:
        what = f"{len(facts.faults) - SHOWN} more faulty rows"
        problems.append(problem(clip, annotation, what, "mend those above first", facts.faults[SHOWN].row))
    if not annotation:
        remedy = "none for a test clip; to learn from it, give it an annotation"
        what = f"no annotation: a {row['partition']} clip that is only predicted"
        problems.append(problem(clip, media, what, remedy, effect=NOTED))
    problems += _length_problems(clip, annotation, info.declared_frames, facts)
    return problems, {
        "frames": info.declared_frames or 0, "annotated": facts.annotated,
        "first_s": 0.0, "last_s": info.duration_s, "has_audio": info.has_audio,
    }  # fmt: skip


def _length_problems(clip: str, annotation: str, declared: int | None, facts: AnnotationFacts) -> list[Problem]:
    """Lengths that seem not to fit, by what the container declares."""
    if not declared or facts.faults or (facts.partial and (facts.frames or 0) <= declared):
        return []
    wrong = length_problem(declared, facts.frames)
    remedy = "check that annotation and video belong together"
    return [problem(clip, annotation, wrong.replace("decoded", "declared"), remedy, effect=OPEN)] if wrong else []


def _declared(path: Path, limits: MediaLimits | None) -> MediaInfo:
    if path.is_file() and not path.stat().st_size:
        raise InputError("the file is empty", path, remedy="copy it again, or remove it")
    limits = limits or MediaLimits()
    cache = FileCache(f"declared by a container, {VERSION}, {limits.model_dump_json()}", path)
    if (cached := cache.get()) is not None:
        return MediaInfo(path, **json.loads(cached))
    info = probe(path, decoding=False, limits=limits)
    cache.set(json.dumps({name: value for name, value in asdict(info).items() if name != "path"}))
    return info


def _inspected(path: Path, inspect: Inspect) -> AnnotationFacts:
    if not path.is_file():  # a pipe would wait for somebody who writes to it
        return AnnotationFacts(faults=(InputError("is no file", path, remedy="put a table there, or remove it"),))
    cache = FileCache(f"annotation by {inspect.__name__}, {VERSION}", path)
    if (cached := cache.get()) is not None:
        return AnnotationFacts(**json.loads(cached))
    try:
        facts = inspect(path)
    except OSError as error:
        return AnnotationFacts(faults=(InputError(f"can't be read ({error.strerror})", path, None, "mend its rights"),))
    if not facts.faults:
        cache.set(json.dumps(asdict(facts)))
    return facts


def untaught(clips: pd.DataFrame) -> list[Problem]:
    """Partitions without which no model is trained, where they hold no annotated clip."""
    taught = set(clips.loc[clips["annotated"] > 0, "partition"])
    remedy = "annotate clips of both partitions; for predictions with a trained model run the pipeline inference"
    what = "no annotated clip in {}: no model can be trained"
    return [problem("", ".", what.format(p), remedy, effect=NOTED) for p in ("train", "validation") if p not in taught]


def _media_problems(clip: str, media: str, info: MediaInfo) -> list[Problem]:
    if not info.has_video:
        remedy = "remove the file; for sound alone see docs/guide/features.md"
        return [problem(clip, media, "there is no video stream", remedy)]
    if not info.has_audio:
        remedy = "none is needed; add the sound where the video should have some"
        return [problem(clip, media, "no sound: it counts as absent throughout", remedy, effect=NOTED)]
    return []


def fault_problem(clip: str, file: str | Path, error: InputError) -> Problem:
    """A row of the problems table from what a reader says of a file; the clip is left out."""
    return problem(clip, file, error.problem, error.remedy or "mend or remove the file", error.row)
