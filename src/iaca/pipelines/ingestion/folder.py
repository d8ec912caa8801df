"""Nodes for a folder of one's own videos; what they have in common with those for Aff-Wild2 is in `nodes`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from iaca.corpora.check import check_corpus
from iaca.corpora.folder.config import FolderConfig
from iaca.corpora.folder.labels import inspect_labels
from iaca.corpora.folder.layout import index_folder
from iaca.corpora.folder.timeline import VERSION, build_timeline
from iaca.corpora.index import require_usable
from iaca.engine import Task
from iaca.media.limits import MediaLimits
from iaca.pipelines.ingestion.nodes import told


def index_corpus(root: Path, config: FolderConfig, limits: MediaLimits) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clips of the folder that can be worked on, and what is wrong with the others and with its files."""
    return told(check_corpus(root, index_folder(root, config), inspect_labels, limits))


def plan_timelines(
    root: Path, clip_index: pd.DataFrame, index_problems: pd.DataFrame, config: FolderConfig, limits: MediaLimits
) -> dict[str, Task]:
    """One task per clip: decode its video, lay its annotation onto the frames. Here a hopeless folder stops."""
    require_usable(index_problems, root)
    settled = {"tolerance_s": config.tolerance_s}
    return {
        row["clip"]: Task(
            build_timeline,
            tuple(root / row[kind] for kind in ("media", "annotation") if row[kind]),
            settled,
            settings={"limits": limits},
            version=VERSION,
        )
        for row in clip_index.fillna("").to_dict("records")
    }
