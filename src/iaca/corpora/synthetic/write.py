"""A synthetic corpus on disk, in the layout of `iaca.corpora.features`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iaca.corpora.card import FILE, CorpusCard, card_text
from iaca.corpora.events import COLUMNS
from iaca.corpora.features.layout import FOLDERS, LABELS
from iaca.corpora.features.partitions import PARTITION_FILE
from iaca.corpora.features.tables import write_table
from iaca.corpora.synthetic.clip import SyntheticClip, draw_corpus
from iaca.corpora.synthetic.config import SyntheticConfig
from iaca.corpora.synthetic.events import event_rows
from iaca.engine.run import progress
from iaca.errors import InputError
from iaca.files import replacing, write_text

Format = Literal["csv", "parquet"]
Rows = list[Sequence[str | float]]


def write_corpus(config: SyntheticConfig, root: Path, form: Format = "csv") -> None:
    """Draw the clips one at a time and write them; partition.csv comes last, and says that the corpus is whole.

    Args:
        config: what is drawn.
        root: a new or an empty folder.
        form: of the tables of features, cues and labels.

    Raises:
        InputError: the folder holds something.
    """
    if root.exists() and any(root.iterdir()):
        raise InputError("the folder is not empty", root, remedy="give a new folder, or empty this one")
    members: Rows = [("clip", "partition", "subject")]
    events: Rows = [COLUMNS]
    for clip in progress(draw_corpus(config), "clips", config.clips):
        _write_clip(clip, root, form)
        members.append((clip.name, clip.partition, clip.subject))
        events += event_rows(clip.name, clip.events, config.rate)
    write_text(root / FILE, card_text(card(config)))
    if config.event_share:
        _write_rows(root / "events.csv", events)
    _write_rows(root / PARTITION_FILE, members)


def card(config: SyntheticConfig) -> CorpusCard:
    """What every result on this corpus has to repeat."""
    return CorpusCard(
        name=f"synthetic {config.kind.upper()}",
        caveat=(
            "Trained on synthetic features: random mixtures of two smooth random trajectories. It shows how models "
            "compare when the truth is known; it says nothing about emotions of real people."
        ),
    )


def _write_clip(clip: SyntheticClip, root: Path, form: Format) -> None:
    seen, everywhere = clip.annotated.embedding, np.ones(len(clip.annotated), np.bool_)
    tables: dict[str, tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.bool_]]] = {
        modality: (_names(modality, dim), seen.features[modality], seen.present[modality])
        for modality, dim in seen.dims.items()
    }
    tables["labels"] = (LABELS, clip.annotated.labels, everywhere)
    if seen.quality_names:
        tables["quality"] = (seen.quality_names, seen.quality, everywhere)
    for kind, (names, values, present) in tables.items():
        with replacing(root / FOLDERS[kind] / f"{clip.name}.{form}") as partial:
            write_table(partial, seen.time_s[present], names, values[present])


def _names(modality: str, dim: int) -> tuple[str, ...]:
    return tuple(f"{modality}_{i}" for i in range(dim))


def _write_rows(path: Path, rows: Rows) -> None:
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
