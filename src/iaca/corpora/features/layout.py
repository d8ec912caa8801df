"""Which clips a corpus of features holds: the table of partitions, and the files that belong to it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from iaca.corpora.features.partitions import PARTITION_FILE, Problems, read_partitions
from iaca.corpora.features.tables import SUFFIXES, columns_of
from iaca.corpora.index import LEFT_OUT, NOTED, STOPS, CorpusIndex, problem
from iaca.errors import InputError
from iaca.modalities import MODALITIES

FOLDERS = {"audio": "features/audio", "visual": "features/visual", "labels": "labels", "quality": "features/quality"}
LABELS = ("valence", "arousal")


def index_features(root: Path) -> CorpusIndex:
    """List the clips of a corpus; of their files no more than the heads is read.

    A clip that lacks one modality is kept, that modality absent throughout. Columns are alike in all clips: those
    that most clips have are taken for right, and a clip with others is left out.

    Returns:
        The clips, with `audio`, `visual`, `labels` and `quality` (paths relative to the root; empty where there is no
        such file), and the problems, among them those that stop the run.

    Raises:
        InputError: partition.csv is missing or no such table.
    """
    problems: Problems = []
    clips = read_partitions(root / PARTITION_FILE, problems)
    files = {kind: _files(root, kind, problems) for kind in FOLDERS}
    _report_strangers(root, set(clips["clip"]), files, problems)
    clips = _with_features(clips, files, problems)
    for kind in FOLDERS:
        clips[kind] = [str(path.relative_to(root)) if path else "" for path in map(files[kind].get, clips["clip"])]
    for kind in FOLDERS:
        clips = _alike(root, clips, kind, problems)
    _report_unlabelled(clips, problems)
    if clips.empty:
        remedy = "put the features of each clip of partition.csv into features/audio and features/visual"
        problems.append(problem("", ".", "no clip can be used", remedy, effect=STOPS))
    return CorpusIndex(clips.sort_values("clip", ignore_index=True), problems)


def feature_widths(root: Path, clips: pd.DataFrame) -> dict[str, int]:
    """Number of `audio` and of `visual` features, the same in all clips of an index.

    Raises:
        InputError: no clip has features of one of them.
    """
    widths: dict[str, int] = {}
    for kind in MODALITIES:
        names = [name for name in clips[kind] if name]
        if not names:
            remedy = "put features of both modalities there; a model of one modality needs the other's width too"
            raise InputError(f"no clip has {kind} features", root / FOLDERS[kind], remedy=remedy)
        widths[kind] = len(columns_of(root / names[0]))
    return widths


def _files(root: Path, kind: str, problems: Problems) -> dict[str, Path]:
    """Clip -> its file of this kind. Of two in different formats the first counts."""
    found: dict[str, Path] = {}
    for path in sorted((root / FOLDERS[kind]).glob("[!.]*")):
        if path.suffix not in SUFFIXES:
            continue
        if path.stem in found:
            what = f"the clip has another file of this kind: {found[path.stem].name}"
            remedy = "remove one; the other one counts"
            problems.append(problem(path.stem, path.relative_to(root), what, remedy, effect=NOTED))
            continue
        found[path.stem] = path
    return found


def _report_strangers(root: Path, listed: set[str], files: dict[str, dict[str, Path]], problems: Problems) -> None:
    strangers: dict[str, Path] = {}
    for paths in files.values():
        strangers = {clip: path for clip, path in paths.items() if clip not in listed} | strangers
    for clip in sorted(set(strangers) - {row["clip"] for row in problems}):
        remedy = f"give the clip a row in {PARTITION_FILE}, or remove its files"
        problems.append(problem(clip, strangers[clip].relative_to(root), "the clip is in no partition", remedy))


def _with_features(clips: pd.DataFrame, files: dict[str, dict[str, Path]], problems: Problems) -> pd.DataFrame:
    """Clips with at least one modality; a missing one is reported."""
    used = []
    for clip in clips["clip"]:
        missing = [kind for kind in MODALITIES if clip not in files[kind]]
        used.append(len(missing) < 2)
        effect = "counts as absent throughout" if used[-1] else "has nothing to learn from"
        for kind in missing:
            what = f"no {kind} features: the {'modality' if used[-1] else 'clip'} {effect}"
            kept = NOTED if used[-1] else LEFT_OUT
            problems.append(problem(clip, FOLDERS[kind], what, f"put {clip}.csv there", effect=kept))
    return clips[np.array(used, np.bool_)].reset_index(drop=True)


def _report_unlabelled(clips: pd.DataFrame, problems: Problems) -> None:
    for clip, partition in clips.loc[clips["labels"] == "", ["clip", "partition"]].itertuples(index=False):
        what = f"no labels: a {partition} clip that is only predicted"
        remedy = f"none for a test clip; to learn from it, put {clip}.csv there"
        problems.append(problem(clip, FOLDERS["labels"], what, remedy, effect=NOTED))


def _alike(root: Path, clips: pd.DataFrame, kind: str, problems: Problems) -> pd.DataFrame:
    """Clips whose file of this kind has the columns that most have; the others are reported."""
    heads = {clip: _head(root, clip, name, problems) for clip, name in zip(clips["clip"], clips[kind], strict=True)}
    counted = Counter(names for names in heads.values() if names)
    right = LABELS if kind == "labels" else counted.most_common(1)[0][0] if counted else ()
    used = []
    for clip, name in zip(clips["clip"], clips[kind], strict=True):
        wrong = None if heads[clip] is None else _difference(heads[clip] or (), right, kind)
        used.append(heads[clip] is not None and wrong is None)
        if wrong:
            remedy = "give all clips the same columns in the same order; this one is left out"
            problems.append(problem(clip, name or FOLDERS[kind], wrong, remedy, 1 if name else None))
    return clips[np.array(used, np.bool_)].reset_index(drop=True)


def _head(root: Path, clip: str, name: str, problems: Problems) -> tuple[str, ...] | None:
    """Columns of a clip's file; none where it has no such file, None where it is broken, which is reported."""
    try:
        return columns_of(root / name) if name else ()
    except InputError as error:
        problems.append(problem(clip, name, error.problem, error.remedy or "", error.row))
        return None


def _difference(names: tuple[str, ...], right: tuple[str, ...], kind: str) -> str | None:
    """What is wrong with the columns of a clip, where something is."""
    if not names:
        return "the clip has no cues, but others have" if kind == "quality" and right else None
    if missing := [name for name in right if name not in names]:
        return f"{len(names)} columns, where {len(right)} are expected: {missing[0]!r} is missing"
    if kind != "labels" and len(names) > len(right):
        foreign = next(name for name in names if name not in right)
        return f"{len(names)} columns, where {len(right)} are expected: {foreign!r} is one too many"
    return "the columns stand in another order than in the other clips" if kind != "labels" and names != right else None
