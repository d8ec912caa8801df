"""Read a folder of videos with annotations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from iaca.corpora.check import check_corpus
from iaca.corpora.folder import VERSION, FolderConfig, build_timeline, index_folder
from iaca.corpora.index import require_usable
from iaca.engine import OnDemand, Task
from iaca.formats.labels import inspect_labels
from iaca.media.container import MediaLimits
from iaca.pipelines.ingestion.affwild2 import logged_tables


def index_corpus(root: Path, config: FolderConfig, limits: MediaLimits) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The usable clips of the folder, and the problems of all others and of its files."""
    return logged_tables(check_corpus(root, index_folder(root, config), inspect_labels, limits))


def plan_timelines(
    root: Path, clip_index: pd.DataFrame, index_problems: pd.DataFrame, config: FolderConfig, limits: MediaLimits
) -> Mapping[str, Task]:
    """One task per clip: decode its video, align its annotation. Fails here if no clip is usable."""
    require_usable(index_problems, root)
    settled, settings = {"tolerance_s": config.tolerance_s}, {"limits": limits}

    def build(_: str, *files: str) -> Task:
        return Task(
            "build_folder_timeline",
            build_timeline,
            tuple(root / file for file in files if file),
            settled,
            settings,
            VERSION,
        )

    table = clip_index.fillna("")
    return OnDemand(build, table["clip"], table["media"].array, table["annotation"].array)
