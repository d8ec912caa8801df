"""MuSe (MuSe-CaR and what followed): labels and features in segments, times in milliseconds.

SOURCE/label_segments/<dimension>/<id>.csv            timestamp,segment_id,value
SOURCE/feature_segments/<features>/<id>.csv           timestamp,segment_id, then one column per feature
SOURCE/partition.csv, or SOURCE/metadata/partition.csv    Id,Proposal, or clip,partition[,subject]
"""

from __future__ import annotations

from pathlib import Path

from iaca.corpora.convert.config import ConvertConfig
from iaca.corpora.convert.dimensions import labels_by_dimension
from iaca.corpora.convert.recordings import REMEDY, Recording, feature_files, partition_table, place
from iaca.corpora.index import Problem, problem
from iaca.errors import InputError

NAME, UNIT_S, LABELS = "MuSe", 1e-3, "label_segments"


def recordings(source: Path, config: ConvertConfig, problems: list[Problem]) -> list[Recording]:
    """Every recording of the table of partitions of which there are features; `problems` takes the others.

    Raises:
        InputError: a folder, a dimension or the table of partitions is missing.
    """
    labels = labels_by_dimension(source, config.labels or LABELS, config)
    features = feature_files(source, config)
    places = (source / "partition.csv", source / "metadata/partition.csv")
    table = next((path for path in places if path.exists()), None)
    if table is None:
        raise InputError("there is no such file", places[0], remedy=REMEDY)
    members = partition_table(table)
    found = []
    for clip in sorted(set(members) | set(labels).union(*features.values())):
        files = {kind: paths[clip] for kind, paths in features.items() if clip in paths}
        if clip not in members or not files:
            what = "no features of this recording" if clip in members else "the recording is in no partition"
            problems.append(problem(clip, place(table, source), what, "add them" if clip in members else REMEDY))
            continue
        found.append(Recording(clip, *members[clip], labels.get(clip, {}), files))
    return found
