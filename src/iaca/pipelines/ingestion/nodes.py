"""Index a corpus, read each clip's timestamps and annotation once, and report problems.

`params:ingestion` names the importer; the module of that name does the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from iaca.corpora.features import FeaturesConfig
from iaca.corpora.folder import FolderConfig
from iaca.corpora.importers import IngestionConfig
from iaca.corpora.index import EVENT_FILE, read_card, read_event_table
from iaca.engine import ClipPaths, Task
from iaca.media.container import MediaLimits
from iaca.pipelines.ingestion import affwild2, features, folder


def index_corpus(root: Path, ingestion: IngestionConfig, limits: MediaLimits) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The usable clips of the corpus, and the problems of all others and of its files."""
    match ingestion.root:
        case FolderConfig() as config:
            return folder.index_corpus(root, config, limits)
        case FeaturesConfig() as config:
            return features.index_corpus(root, config)
        case _:
            return affwild2.index_corpus(root, limits)


def plan_timelines(
    root: Path,
    clip_index: pd.DataFrame,
    index_problems: pd.DataFrame,
    ingestion: IngestionConfig,
    limits: MediaLimits,
) -> Mapping[str, Task]:
    """One task per clip: read its timestamps, align its annotation. Fails here if no clip is usable."""
    match ingestion.root:
        case FolderConfig() as config:
            return folder.plan_timelines(root, clip_index, index_problems, config, limits)
        case FeaturesConfig() as config:
            return features.plan_timelines(root, clip_index, index_problems, config)
        case _:
            return affwild2.plan_timelines(root, clip_index, index_problems, limits)


def describe_corpus(
    root: Path,
    clip_index: pd.DataFrame,
    index_problems: pd.DataFrame,
    frame_labels: ClipPaths,
    ingestion: IngestionConfig,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The usable clips with facts about their files, all problems, and counts per partition."""
    describe = affwild2.describe_corpus if ingestion.has_media else features.describe_corpus
    return describe(root, clip_index, index_problems, frame_labels)


def read_facts(root: Path) -> tuple[dict[str, str], pd.DataFrame]:
    """The corpus's card, and its table of known events in sound and face, empty if it has none."""
    return read_card(root).model_dump(), read_event_table(root / EVENT_FILE)
