"""What all corpora are read into: the clip index, the problems table, and the tables and card next to the clips.

ROOT/partition.csv    clip,partition[,subject]
ROOT/subjects.csv     clip,subject
ROOT/events.csv       clip,modality,kind,start_s,end_s: when sound or face were silent, noisy, contradictory, ...
ROOT/corpus.json      the corpus card: name, and a caveat that belongs to every result
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from iaca.errors import InputError, brief, plain_name, printable, unreadable
from iaca.files import require_access, require_file
from iaca.formats.labels import AnnotationFacts
from iaca.parameters import Parameters, faults
from iaca.text import clip_of, csv_table, look_of

PARTITIONS = ("train", "validation", "test")
PARTITION_FILE, SUBJECT_FILE, EVENT_FILE, CARD_FILE = "partition.csv", "subjects.csv", "events.csv", "corpus.json"
CLIP_COLUMNS = ("clip", "subject", "partition", "media", "annotation", "side")
RATERS = "raters"  # folder of the traces of single raters, which are no labels (iaca.corpora.raters)
COUNT = "annotated"  # in a clip index: annotated rows of the clip, as its files have them
PROBLEM_COLUMNS = ("clip", "file", "row", "problem", "effect", "remedy")

STOPS = "the run stops"
LEFT_OUT = "left out"  # the clip, until it is fixed; the run continues with the others
OPEN = "decided by decoding"  # a suspicion from what the container declares
DOUBTFUL = "doubtful"  # it is used as it is, though its owner may have meant something else
NOTED = "noted"
EFFECTS = (STOPS, LEFT_OUT, OPEN, DOUBTFUL, NOTED)

REMEDY = "write one row per clip below the line clip,partition,subject"
Problem = dict[str, object]


@dataclass
class CorpusIndex:
    """The clips of a corpus, and its problems.

    Attributes:
        clips: one row per clip: `clip`, `subject`, `partition`, `media` and `annotation` (paths relative to the root;
            no annotation: empty), `side` (left, right or empty: which person of the video).
        problems: made by `problem`.
        further: clip -> its other annotation files, relative to the root: of other tasks than the first.
        facts: clip -> what its annotation contains, where that is known already.
    """

    clips: pd.DataFrame
    problems: list[Problem] = field(default_factory=list)
    further: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: Mapping[str, AnnotationFacts] = field(default_factory=dict)


def problem(
    clip: str, file: str | Path, what: str, remedy: str, row: int | None = None, effect: str = LEFT_OUT
) -> Problem:
    """One row of the problems table. `file` is relative to the corpus's root; `effect` is one of `EFFECTS`."""
    names = {"clip": plain_name(clip), "file": plain_name(str(file))}
    return {**names, "row": row, "problem": printable(what), "effect": effect, "remedy": printable(remedy)}


def problem_table(problems: list[Problem]) -> pd.DataFrame:
    """The problems as a table: those that stop the run first, then by clip, file and row."""
    table = pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS))
    table["row"] = table["row"].astype("Int64")
    table = table.sort_values(["clip", "file", "row", "problem"], kind="stable")
    return table.sort_values("effect", key=lambda e: e != STOPS, kind="stable", ignore_index=True)


def with_facts(clips: pd.DataFrame, names: Sequence[str], facts: Iterable[Mapping[str, Any] | None]) -> pd.DataFrame:
    """The clips with a column for each name, from the facts of each row; rows whose facts are None are dropped.

    Facts are stored by column as they arrive: thousands of dicts would take ten times as much memory.
    """
    kept, columns = list[int](), {name: list[Any]() for name in names}
    for place, known in enumerate(facts):
        if known is None:
            continue
        kept.append(place)
        for name, column in columns.items():
            column.append(sys.intern(known[name]) if isinstance(known[name], str) else known[name])
    return clips.iloc[kept].reset_index(drop=True).assign(**columns)


def subject_problems(clips: pd.DataFrame, file: str | Path) -> list[Problem]:
    """Subjects that are in more than one partition, one problem each.

    Args:
        clips: columns `clip`, `subject`, `partition`, and optionally `line`, of the file.
        file: that assigns subjects and partitions.
    """
    problems = []
    for subject, group in clips.groupby("subject", sort=True):
        partitions = sorted(set(group["partition"]))
        if len(partitions) < 2:
            continue
        where = "; ".join(f"{p}: {_few(group.loc[group['partition'] == p, 'clip'])}" for p in partitions)
        strays = group[group["partition"] != group["partition"].iloc[0]]
        row = int(strays["line"].iloc[0]) if "line" in strays and strays["line"].notna().iloc[0] else None
        what = f"subject {subject} is in {' and '.join(partitions)} ({where})"
        remedy = "move all clips of a subject into one partition; a score over shared subjects means nothing"
        problems.append(problem(strays["clip"].iloc[0], file, what, remedy, row, STOPS))
    return problems


def meant(name: str, known: Iterable[str]) -> str | None:
    """The known clip that a name stands for if folders, ending and capitals are left aside; None if there is none."""
    alike = {look_of(clip): clip for clip in known}
    file = Path(name.replace("\\", "/"))
    return next((alike[look_of(form)] for form in (name, file.name, clip_of(file)) if look_of(form) in alike), None)


def names_alike(clips: pd.DataFrame) -> list[Problem]:
    """Subjects and clips whose names differ only in capitals, blanks or compatible characters: one problem per group.

    They stay different ones. If they are one subject, training and test may share it.

    Args:
        clips: columns `clip`, `subject`, `partition`.
    """
    problems, seen = list[Problem](), set[tuple[str, ...]]()
    for column in ("subject", "clip"):
        known = clips.groupby(column, sort=True)["partition"].agg(lambda parts: " and ".join(sorted(set(parts))))
        alike: dict[str, list[str]] = {}
        for name in known.index:
            alike.setdefault(look_of(str(name)), []).append(str(name))
        for names in alike.values():
            if len(names) < 2 or tuple(names) in seen:
                continue
            seen.add(tuple(names))
            named = ", ".join(f"{name!r} ({known[name]})" for name in names)
            differ = "have names that differ only in capitals, blanks or alike characters"
            what = f"{len(names)} {column}s {differ}: {named}"
            remedy = "if they are one, write the name alike everywhere; they count as different ones"
            problems.append(problem("", ".", what, remedy, effect=DOUBTFUL))
    return problems


def require_usable(problems: pd.DataFrame, root: Path) -> None:
    """Stop the run if a problem requires it. Called once the problems have been logged and written.

    Raises:
        InputError: the first problem that stops the run.
    """
    stopping = problems[problems["effect"] == STOPS]
    if stopping.empty:
        return
    first = stopping.iloc[0]
    more = f" ({len(stopping)} such problems; index_problems.csv has all)" if len(stopping) > 1 else ""
    row = None if pd.isna(first["row"]) else int(first["row"])
    raise InputError(f"{first['problem']}{more}", root / str(first["file"]), row, str(first["remedy"]))


def require_exact_names(root: Path) -> None:
    """Refuse a table of a corpus whose name has other capitals: another system would read it, this one would not.

    Raises:
        InputError: there is one.
    """
    for path in sorted(root.glob("*.*")):
        name = path.name.lower()
        if name in (PARTITION_FILE, SUBJECT_FILE, EVENT_FILE) and not (root / name).exists():
            raise InputError("the name of this table has other capitals", path, remedy=f"rename it to {name}")


def read_subjects(root: Path) -> dict[str, tuple[str, int]]:
    """Clip -> subject and line, from `subjects.csv`; empty without that file.

    Raises:
        InputError: the table is unreadable, a column is missing, or a clip has two subjects.
    """
    path, found = root / SUBJECT_FILE, dict[str, tuple[str, int]]()
    if not path.exists():
        return {}
    for line, row in csv_table(path, ("clip", "subject"), "write one row per clip below the line clip,subject"):
        if row["subject"] and found.setdefault(row["clip"], (row["subject"], line))[0] != row["subject"]:
            what = f"clip {brief(row['clip'])} is also of the subject {brief(found[row['clip']][0])}"
            raise InputError(what, path, line, "keep one of its rows")
    return found


def files_below(root: Path, problems: list[Problem], others: str = "") -> Iterator[Path]:
    """The files below a folder that are not hidden, in order.

    Args:
        root: the folder.
        problems: receives folders that may not be read.
        others: pattern of the names of folders that are left out.
    """

    def report(error: OSError) -> None:
        said = unreadable(error)
        problems.append(problem("", Path(error.filename).relative_to(root), said.problem, str(said.remedy)))

    for folder, folders, files in os.walk(root, onerror=report):
        try:
            require_access(folder)
        except OSError as error:
            report(error)
            files.clear()
        folders[:] = sorted(name for name in folders if name[0] != "." and not fnmatch(name, others))
        yield from (Path(folder, name) for name in sorted(files) if name[0] != ".")


def unique_files(root: Path, files: Iterable[Path], problems: list[Problem]) -> dict[str, Path]:
    """Name without suffix -> file. Two files of one name are ambiguous, so neither is used; nor is a file whose name is
    not plain text, which could not be written into a table."""
    found: dict[str, list[Path]] = {}
    for path in sorted(files):
        place = str(path.relative_to(root))
        if plain_name(place) == place:
            found.setdefault(clip_of(path), []).append(path)
        else:
            what = "the name contains a control character, or is not UTF-8"
            problems.append(problem(clip_of(path), place, what, "rename the file or its folder"))
    for name, paths in found.items():
        for path, other in zip(paths, [*paths[1:], paths[0]], strict=True):
            if path != other:
                what = f"two videos have this name, another is {other.relative_to(root)}"
                problems.append(problem(name, path.relative_to(root), what, "rename or remove one of them"))
    return {name: paths[0] for name, paths in found.items() if len(paths) == 1}


def _few(clips: Sequence[str] | pd.Series[str], most: int = 5) -> str:
    names = list(clips)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


# The card

NOT_ABOUT_PEOPLE = "it says nothing about emotions of real people"
"""In the caveat of every corpus that is made up. Models trained on it are stamped wherever they predict."""


class CorpusCard(Parameters):
    """The card of a corpus. It is stored with every model, so that each later result can repeat it.

    Attributes:
        name: of the corpus.
        caveat: a warning that belongs to every result on the corpus; may be empty.
    """

    name: str
    caveat: str = ""


def read_card(root: Path) -> CorpusCard:
    """The card in `corpus.json`; without that file, one with the name of the folder.

    Raises:
        InputError: the file is not a card.
    """
    path = root / CARD_FILE
    if not path.exists():
        return CorpusCard(name=root.name)
    require_file(path, "write a card in its place, or remove it")
    try:
        return CorpusCard.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(error, path) from error
    except (ValidationError, UnicodeDecodeError) as error:
        what = faults(error) if isinstance(error, ValidationError) else error.reason
        raise InputError(
            f"not a corpus card ({what})", path, remedy='write {"name": "...", "caveat": "..."}'
        ) from error


def card_text(card: CorpusCard) -> str:
    """The content of `corpus.json`."""
    return json.dumps(card.model_dump(), indent=2) + "\n"


# Partitions

USUAL_NAMES = {
    "train": "train", "training": "train", "devel": "validation", "dev": "validation", "val": "validation",
    "valid": "validation", "validation": "validation", "test": "test",
}  # fmt: skip
"""How people and corpora write the names of partitions, in lower case."""


def partition_named(name: str) -> str | None:
    """Train, validation or test, for any of their usual names in capitals or not; None for any other name."""
    return USUAL_NAMES.get(name.strip().lower())


def read_partitions(path: Path, problems: list[Problem]) -> pd.DataFrame:
    """Columns clip, subject, partition. A clip without a subject counts as a subject of its own.

    Args:
        path: the table.
        problems: receives rows that can't be used, and subjects in two partitions.

    Raises:
        InputError: the table is missing or unreadable, or a column is missing.
    """
    clips: dict[str, dict[str, str | int]] = {}
    if not path.is_file():
        raise InputError("there is no such file", path, remedy=REMEDY)
    for line, row in csv_table(path, ("clip", "partition"), REMEDY):
        clip, partition = row["clip"], partition_named(row["partition"])
        if not clip:
            problems.append(problem("", PARTITION_FILE, "no clip is named in this row", REMEDY, line))
        elif partition is None:
            remedy, what = (
                f"write one of {', '.join(PARTITIONS)}",
                f"{brief(repr(row['partition']))} is not a partition",
            )
            problems.append(problem(clip, PARTITION_FILE, what, remedy, line))
        elif clip in clips:
            remedy = "remove one of the rows; the first one counts"
            problems.append(problem(clip, PARTITION_FILE, "the clip is listed twice", remedy, line, NOTED))
        else:
            subject = row.get("subject") or clip
            clips[clip] = {"clip": clip, "subject": subject, "partition": partition, "line": line}
    table = pd.DataFrame(list(clips.values()), columns=["clip", "subject", "partition", "line"])
    problems += subject_problems(table, PARTITION_FILE)
    return table.drop(columns="line")
