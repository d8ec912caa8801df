"""Checking a corpus of videos: which clips can be used, what is wrong with the others, and a summary for the log.

`check_corpus` runs before any long work: it reads annotation files and what containers declare, and decodes nothing. It
collects all problems instead of stopping at the first. Facts about files without faults are cached while the files stay
unchanged, so that checking ten thousand clips again takes seconds. `clip_table` follows once the timelines are decoded.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from iaca.corpora.index import (
    COUNT,
    DOUBTFUL,
    EFFECTS,
    LEFT_OUT,
    NOTED,
    OPEN,
    PARTITIONS,
    STOPS,
    CorpusIndex,
    Problem,
    problem,
    with_facts,
)
from iaca.corpora.timeline import CUT_REMEDY, cut_off, length_problem, read_label_ranges, read_timeline_facts
from iaca.engine import ClipPaths
from iaca.engine.task import FileCache
from iaca.errors import InputError, counted, printable, unreadable
from iaca.formats.labels import LABELS, AnnotationFacts, Inspect
from iaca.media import MediaInfo, MediaLimits, probe

log = logging.getLogger(__name__)

VERSION = "2"  # of the cached facts: increase it when a reader of annotations or containers returns other facts
ONE_SIDED = 0.5  # labels that are all positive and reach this may have been rated from 0 to 1
SHOWN_ROWS = 10  # faulty rows listed per file
SHOWN_PROBLEMS = 40  # problems logged one by one; the table has all
DECLARED = ("frames", "annotated", "first_s", "last_s", "has_audio")
FACTS = (
    "frames", "annotated", "first_s", "last_s",
    "duration_s", "nominal_fps", "declared_frames", "width", "height", "rotation", "video_codec", "has_audio",
    "audio_codec", "audio_rate", "audio_channels", "video_start_s", "audio_start_s",
)  # fmt: skip
REASON = re.compile(r"(?P<file>.+?)(?:, line (?P<row>\d+))?: (?P<problem>.+?)(?: Remedy: (?P<remedy>.+))?", re.DOTALL)


# Before decoding


def check_corpus(root: Path, index: CorpusIndex, inspect: Inspect, limits: MediaLimits | None = None) -> CorpusIndex:
    """The usable clips, with what their files declare, and all problems.

    A clip whose video can't be opened, or whose annotation has a faulty row, is left out: labels are never guessed.

    Args:
        root: of the corpus.
        index: its clips, and the problems with names and folders.
        inspect: reads an annotation file in the format of this corpus.
        limits: on a video; None for the defaults.

    Returns:
        Clips with the columns of the index and `frames`, `annotated`, `first_s`, `last_s`, `has_audio`; the problems.
    """
    problems = list(index.problems)

    def facts() -> Iterator[dict[str, object] | None]:
        for cells in index.clips.itertuples(index=False, name=None):
            row = dict(zip(index.clips.columns, map(str, cells), strict=True))
            found, declared = _check_clip(root, row, inspect, limits, index.facts.get(row["clip"]))
            for file in index.further.get(row["clip"], ()):
                found += _annotation_problems(row["clip"], file, declared, _inspected(root / file, inspect))
            problems.extend(found)
            yield None if any(p["effect"] == LEFT_OUT for p in found) else declared

    clips = with_facts(index.clips, DECLARED, facts())
    problems += untrainable(clips) if len(clips) else []
    if clips.empty:
        remedy = "fix the other problems; index_problems.csv has all"
        problems.append(problem("", ".", "no clip can be used", remedy, effect=STOPS))
    return CorpusIndex(clips, problems)


def _check_clip(
    root: Path, row: dict[str, str], inspect: Inspect, limits: MediaLimits | None, known: AnnotationFacts | None
) -> tuple[list[Problem], dict[str, object]]:
    clip, media, annotation = row["clip"], row["media"], row["annotation"]
    try:
        info = _declared(root / media, limits)
    except InputError as error:
        return [fault_problem(clip, media, error)], {}
    problems = _media_problems(clip, media, info)
    facts = known or (_inspected(root / annotation, inspect) if annotation else AnnotationFacts())
    declared: dict[str, object] = {
        "frames": info.declared_frames or 0, "annotated": facts.annotated,
        "first_s": 0.0, "last_s": info.duration_s, "has_audio": info.has_audio,
    }  # fmt: skip
    if not annotation:
        remedy = "none for a test clip; add an annotation to train on the clip"
        what = f"no annotation: a {row['partition']} clip that is only predicted"
        problems.append(problem(clip, media, what, remedy, effect=NOTED))
    return problems + _annotation_problems(clip, annotation, declared, facts), declared


def _annotation_problems(
    clip: str, annotation: str, declared: Mapping[str, object], facts: AnnotationFacts
) -> list[Problem]:
    """Faulty rows of an annotation file, and a length that seems wrong."""
    problems = [fault_problem(clip, annotation, error) for error in facts.faults[:SHOWN_ROWS]]
    if len(facts.faults) > SHOWN_ROWS:
        what = f"{len(facts.faults) - SHOWN_ROWS} more faulty rows"
        problems.append(problem(clip, annotation, what, "fix the rows above first", facts.faults[SHOWN_ROWS].row))
    frames = declared.get("frames", 0)
    return problems + _length_problems(clip, annotation, frames if isinstance(frames, int) else 0, facts)


def _length_problems(clip: str, annotation: str, declared: int | None, facts: AnnotationFacts) -> list[Problem]:
    """Lengths of annotation and video that seem to differ; a container may declare a wrong number of frames."""
    if not declared or facts.faults or (facts.partial and (facts.frames or 0) <= declared):
        return []
    wrong = length_problem(declared, facts.frames)
    remedy = "check that annotation and video belong together"
    return [problem(clip, annotation, wrong.replace("decoded", "declared"), remedy, effect=OPEN)] if wrong else []


def _declared(path: Path, limits: MediaLimits | None) -> MediaInfo:
    limits = limits or MediaLimits()
    cache = FileCache(f"declared by a container, {VERSION}, {limits.model_dump_json()}", path)
    if (cached := cache.get()) is not None:
        return MediaInfo(path, **json.loads(cached))
    info = probe(path, decoding=False, limits=limits)
    cache.set(json.dumps({name: value for name, value in asdict(info).items() if name != "path"}))
    return info


def _inspected(path: Path, inspect: Inspect) -> AnnotationFacts:
    if not path.is_file():  # reading a pipe would block until something is written to it
        return AnnotationFacts(faults=(InputError("this is not a file", path, None, "replace it by a table"),))
    cache = FileCache(f"annotation by {inspect.__name__}, {VERSION}", path)
    if (cached := cache.get()) is not None:
        return AnnotationFacts(**json.loads(cached))
    try:
        facts = inspect(path)
    except OSError as error:
        return AnnotationFacts(faults=(unreadable(error, path),))
    if not facts.faults:
        cache.set(json.dumps(asdict(facts)))
    return facts


def untrainable(clips: pd.DataFrame) -> list[Problem]:
    """One problem for each of the partitions train and validation without an annotated clip."""
    annotated = set(clips.loc[clips["annotated"] > 0, "partition"])
    remedy = "annotate clips of both partitions; to predict with a trained model run the pipeline inference"
    what = "no annotated clip in {}: no model can be trained"
    return [
        problem("", ".", what.format(p), remedy, effect=NOTED) for p in ("train", "validation") if p not in annotated
    ]


def require_annotated(clips: pd.DataFrame, needed: Mapping[str, str]) -> None:
    """Refuse work that needs annotated clips in partitions that have none.

    Args:
        clips: one row per clip: `partition`, `annotated` (rows or frames).
        needed: partition -> what needs it: a word, or the parameter that chose it, as in "benchmark.partition=test".

    Raises:
        InputError: the first partition without any; the annotated ones are named.
    """
    annotated = set(clips.loc[clips["annotated"].astype(int) > 0, "partition"])
    for partition, purpose in needed.items():
        if partition not in annotated:
            there = int((clips["partition"] == partition).sum())
            count, how = counted(there, "clip"), "annotate clips of that partition"
            if not there:
                how = "assign annotated clips of other subjects to that partition"
            have = [name for name in PARTITIONS if name in annotated] or ["none"]
            parameter, given, _ = purpose.partition("=")
            scored = next((name for name in have if name != "train"), "train")
            other = f", or choose another one, as in {parameter}={scored}" if given and annotated else ""
            raise InputError(
                f"no clip of the {partition} partition is annotated ({count}), but {purpose} needs one",
                remedy=f"{how}{other}; annotated are: {', '.join(have)}",
            )


def require_subjects(annotated: Collection[str]) -> None:
    """Refuse to adapt a model to fewer than two annotated subjects.

    Raises:
        InputError: with their number.
    """
    if len(annotated) < 2:
        raise InputError(
            f"{counted(len(annotated), 'annotated subject')}: an adapted model could not be scored on subjects it was "
            "not fitted to",
            remedy="annotate videos of at least two subjects; ten or more give a reliable estimate",
        )


def _media_problems(clip: str, media: str, info: MediaInfo) -> list[Problem]:
    if not info.has_video:
        remedy = "remove the file; for sound alone see docs/guide/features.md"
        return [problem(clip, media, "there is no video stream", remedy)]
    if not info.has_audio:
        remedy = "none is needed; add the sound if the video should have some"
        return [problem(clip, media, "no sound: audio counts as absent throughout", remedy, effect=NOTED)]
    return []


def fault_problem(clip: str, file: str | Path, error: InputError) -> Problem:
    """A row of the problems table from the error of a reader; the clip is left out."""
    return problem(clip, file, error.problem, error.remedy or "fix or remove the file", error.row)


# After decoding


def clip_table(clip_index: pd.DataFrame, timelines: ClipPaths, root: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Clips that have a timeline, with the columns `FACTS`; and the problems of the others.

    A clip whose video can't be decoded, or whose annotation differs from it by more than the tolerance, is left out:
    labels are never guessed.
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
            if cut := cut_off(found["last_s"], found["duration_s"]):
                problems.append(problem(clip, media, cut, CUT_REMEDY, effect=DOUBTFUL))
            if warning := found.get("picture_warning"):
                remedy = "none is needed; if the colours look wrong, re-encode the video"
                problems.append(problem(clip, media, warning, remedy, effect=NOTED))
            wrong = length_problem(found["frames"], found["annotation_rows"])
            if wrong:
                remedy = "check that annotation and video belong together; the clip is left out until they agree"
                problems.append(problem(clip, annotation, wrong, remedy))
            yield None if wrong else found

    return with_facts(clip_index.drop(columns=COUNT, errors="ignore"), FACTS, facts()), problems


def failure(clip: str, reason: str, root: Path, file: str = "") -> Problem:
    """A row of the problems table, from the message of an `InputError` that the engine recorded.

    Args:
        clip: whose task failed.
        reason: the message.
        root: of the corpus; the problem names its file relative to it.
        file: named if the message names none.
    """
    parts = REASON.fullmatch(reason)
    if parts is None or not parts["file"].startswith(str(root)):
        return problem(clip, file, reason, "fix or remove the files of the clip, then run ingestion again")
    named = Path(parts["file"]).relative_to(root)
    return problem(clip, named, parts["problem"], parts["remedy"] or "", int(parts["row"]) if parts["row"] else None)


def scale_problems(timelines: ClipPaths, clips: pd.DataFrame) -> list[Problem]:
    """Doubts about the scale of a whole corpus, by dimension: no label is below 0, or all are the same."""
    ranges = [read_label_ranges(timelines.whole(clip)) for clip in clips.loc[clips["annotated"] > 0, "clip"]]
    problems = []
    for dimension in LABELS:
        known = [found[dimension] for found in ranges if dimension in found]
        if not known:
            continue
        low, high = min(low for low, _ in known) + 0.0, max(high for _, high in known)
        if low == high:
            what = f"every label of {dimension} is {low:g}"
            remedy = "check the annotation: nothing can be learned from it"
        elif low >= 0 and high > ONE_SIDED:
            what = f"no label of {dimension} is below 0: they run from {low:.3g} to {high:.3g}"
            remedy = "if they were rated from 0 to 1, write 2 * LABEL - 1: the scale is [-1, 1]"
        else:
            continue
        problems.append(problem("", ".", what, remedy, effect=DOUBTFUL))
    return problems


# Summary


def partition_summary(clips: pd.DataFrame) -> pd.DataFrame:
    """Per partition: clips, subjects, minutes, frames, annotated frames, clips without labels and without sound."""
    measured = clips.assign(
        minutes=(clips["last_s"].astype(float) - clips["first_s"].astype(float)) / 60,
        without_labels=clips["annotated"].astype(int) == 0,
        without_sound=~clips["has_audio"].astype(bool),
    )
    summary = measured.groupby("partition", sort=False).agg(
        clips=("clip", "size"), subjects=("subject", "nunique"), minutes=("minutes", "sum"), frames=("frames", "sum"),
        annotated=("annotated", "sum"), without_labels=("without_labels", "sum"),
        without_sound=("without_sound", "sum"),
    )  # fmt: skip
    return summary.loc[[name for name in PARTITIONS if name in summary.index]].reset_index()


def log_corpus(title: str, clips: pd.DataFrame, problems: pd.DataFrame) -> None:
    """Log the summary and the problems: a count of clips, then at most one line for each clip that is not used, and one
    for each kind of note. Clips with the same problem share a line.

    Args:
        title: of the summary.
        clips: the usable clips, with the columns that `partition_summary` reads.
        problems: from `problem_table`.
    """
    table = partition_summary(clips).to_string(index=False, formatters={"minutes": "{:.1f}".format})
    log.info("%s:\n%s", title, printable(table) if len(clips) else "no clip can be used")
    shown = _shown(problems)
    serious = bool((shown["effect"] != NOTED).any())
    log.log(logging.WARNING if serious else logging.INFO, "problems: %s", _counts(shown) or "none")
    lines = [_line(group) for _, group in shown.groupby(["effect", "alike"], sort=False)]
    for level, line in lines[:SHOWN_PROBLEMS]:
        log.log(level, printable(line))
    if len(lines) > SHOWN_PROBLEMS:
        log.warning("and %d more, in the table of problems", len(lines) - SHOWN_PROBLEMS)


def _shown(problems: pd.DataFrame) -> pd.DataFrame:
    """The problems by effect, the first one alone of a clip that is not used, with the number of its `others`; `alike`
    is the same for problems that differ only in the name of the clip and in numbers."""
    table = problems.assign(clip=problems["clip"].fillna("").astype(str))
    table = table.sort_values("effect", key=lambda effects: effects.map(EFFECTS.index), kind="stable")
    named = table["clip"] != ""
    first = ~table.duplicated("clip") | ~named
    unused = table["clip"].map(table[first & named].set_index("clip")["effect"].isin((STOPS, LEFT_OUT, OPEN))).eq(True)
    table["others"] = table.groupby("clip")["clip"].transform("size").where(named & unused, 1) - 1
    cells = table[["clip", "problem", "remedy"]].astype(str).itertuples(index=False)
    table["alike"] = [_alike(clip, f"{what} {how}") for clip, what, how in cells]
    return table[first | ~unused]


def _alike(clip: str, text: str) -> str:
    """The text without the name of the clip and without numbers."""
    named = re.sub(rf"(?<!\w){re.escape(clip)}(?!\w)", "", text) if clip else text
    return re.sub(r"\d+(\.\d+)?", "0", named)


def _counts(shown: pd.DataFrame) -> str:
    """`46 clips left out, 3 clips noted`."""
    counts = []
    for effect in EFFECTS:
        names = shown.loc[shown["effect"] == effect, "clip"]
        clips, others = names[names != ""].nunique(), int((names == "").sum())
        if effect == STOPS and len(names):
            counts.append(f"{counted(len(names), 'problem')} for which the run stops")
            continue
        counts += [f"{counted(clips, 'clip')} {effect}"] if clips else []
        counts += [f"{counted(others, 'other problem')} {effect}"] if others else []
    return ", ".join(counts)


def _line(group: pd.DataFrame) -> tuple[int, str]:
    """The line of clips with the same problem, and its level; the first few with file and row, unless it is a note."""
    rows = group.drop_duplicates("clip") if (group["clip"] != "").all() else group
    first, count = rows.iloc[0], len(rows)
    named = [_place(row, count == 1 or first["effect"] != NOTED) for row in rows.head(5).to_dict("records")]
    where = ", ".join(filter(None, named)) + (f" and {count - 5} more" if count > 5 else "")
    others = int(group["others"].sum())
    alike = "" if len(set(group["problem"])) == 1 else " (the first; the others are alike)"
    more = f" (and {counted(others, 'other problem')})" if others else ""
    effect = first["effect"]
    if effect == LEFT_OUT and first["clip"]:
        effect = "the clip is left out" if count == 1 else "these clips are left out"
    level = {STOPS: logging.ERROR, NOTED: logging.INFO}.get(first["effect"], logging.WARNING)
    lead = f"{where}: " if where else ""
    return level, f"{lead}{first['problem']}{alike}{more}; {effect}. Remedy: {first['remedy']}"


def _place(row: Mapping[Hashable, Any], full: bool) -> str:
    """`clip (file, line 3)`, the clip alone, or the file alone of a problem without a clip."""
    line = "" if pd.isna(row["row"]) else f", line {row['row']}"
    file = f"{row['file']}{line}" if row["file"] not in ("", ".") else ""
    return f"{row['clip']} ({file})" if full and file and row["clip"] else row["clip"] or file
