"""AVEC 2019, cross-cultural emotion (SEWA): one label file per recording, at 10 Hz, with a column per dimension.

    SOURCE/labels/<Part>_<Language>_<number>.csv      name;timestamp;arousal;valence;liking     names in single quotes
    SOURCE/<features>/<Part>_<Language>_<number>.csv  name, timestamp, then one column per feature

A recording's partition is the first part of its name; numbers start anew in each part, so that each recording counts
as a subject of its own.
"""

from __future__ import annotations

import re
from pathlib import Path

from iaca.corpora.convert.config import ConvertConfig
from iaca.corpora.convert.recordings import Recording, feature_files, partition_of, place, tables
from iaca.corpora.index import Problem, problem

NAME, UNIT_S, LABELS = "AVEC 2019 (SEWA)", 1.0, "labels"


def recordings(source: Path, config: ConvertConfig, problems: list[Problem]) -> list[Recording]:
    """Every recording of which there are features; `problems` takes files whose name says no partition.

    Raises:
        InputError: a folder is missing.
    """
    labels = tables(source, config.labels or LABELS, "labels")
    features = feature_files(source, config)
    found = []
    for clip in sorted(set(labels).union(*features.values())):
        files = {kind: paths[clip] for kind, paths in features.items() if clip in paths}
        known = re.fullmatch(r"(Train|Devel|Test)_[A-Za-z]+_\w+", clip, re.IGNORECASE)
        if known is None or not files:
            what = "no features of this recording" if known else "the name is not <Part>_<Language>_<number>"
            path = labels.get(clip) or next(iter(files.values()))
            problems.append(problem(clip, place(path, source), what, "add them, or remove the file"))
            continue
        named: dict[str, tuple[Path, str | None]] = {}
        if clip in labels:
            named = {"valence": (labels[clip], config.valence), "arousal": (labels[clip], config.arousal)}
        found.append(Recording(clip, partition_of(known[1], source), clip, named, files))
    return found
