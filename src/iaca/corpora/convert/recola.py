"""RECOLA, and the AVEC challenges on it: a gold standard at 25 Hz, one folder per dimension, ARFF or CSV.

    SOURCE/ratings_gold_standard/<dimension>/<recording>.arff     name, frame time (s), GoldStandard
    SOURCE/<features>/<recording>.{arff,csv}                      name, frame time (s), then one column per feature
    SOURCE/partition.csv      clip,partition[,subject]; needed unless names begin with train_, dev_ or test_

A CSV with the traces of several annotators is read too, where `column` says which of them, or `mean`, is the gold
standard.
"""

from __future__ import annotations

from pathlib import Path

from iaca.corpora.convert.config import ConvertConfig
from iaca.corpora.convert.dimensions import labels_by_dimension
from iaca.corpora.convert.recordings import PARTITIONS, REMEDY, Recording, feature_files, partition_table
from iaca.corpora.index import Problem, problem

NAME, UNIT_S, LABELS = "RECOLA", 1.0, "ratings_gold_standard"


def recordings(source: Path, config: ConvertConfig, problems: list[Problem]) -> list[Recording]:
    """Every recording of which there are features; `problems` takes those that are in no partition.

    Raises:
        InputError: a folder or a dimension is missing, or partition.csv is no such table.
    """
    labels = labels_by_dimension(source, config.labels or LABELS, config)
    features = feature_files(source, config)
    table = source / "partition.csv"
    members = partition_table(table) if table.exists() else {}
    found = []
    for clip in sorted(set(labels).union(*features.values())):
        files = {kind: paths[clip] for kind, paths in features.items() if clip in paths}
        prefix = clip.split("_")[0].lower()
        partition, subject = members.get(clip, (None if members else PARTITIONS.get(prefix), clip))
        if partition is None or not files:
            what = "no features of this recording" if partition else "the recording is in no partition"
            problems.append(problem(clip, "partition.csv", what, "add them" if partition else REMEDY))
            continue
        found.append(Recording(clip, partition, subject, labels.get(clip, {}), files))
    return found
