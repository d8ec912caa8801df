"""Index a corpus, read each clip's timestamps and annotation once, and report problems.

`params:ingestion` (`IngestionConfig`) names the importer, which decides what else that group accepts:
`iaca.corpora.{affwild2,bah,folder,features}` read the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Discriminator, Field, RootModel, Tag, field_validator

from iaca.corpora import affwild2, check, features, folder, timeline
from iaca.corpora.bah import index_bah
from iaca.corpora.features import FOLDERS, FeaturesConfig
from iaca.corpora.folder import FolderConfig
from iaca.corpora.index import (
    CLIP_COLUMNS,
    COUNT,
    DOUBTFUL,
    EVENT_FILE,
    OPEN,
    STOPS,
    names_alike,
    problem_table,
    read_card,
    require_usable,
)
from iaca.encoders.embedding import Dtype
from iaca.engine import ClipPaths, OnDemand, Task
from iaca.engine.task import FEWER_WORKERS
from iaca.formats.labels import inspect_labels, read_event_table
from iaca.media.container import MediaLimits
from iaca.parameters import Parameters


class DemoImport(Parameters):
    """Parameters of the importer `demo`: the embedded corpus, in Aff-Wild2's layout, in its fixed place."""

    importer: Literal["demo"] = "demo"
    root: None = None

    @field_validator("root", mode="before")
    @classmethod
    def _has_a_fixed_place(cls, given: object) -> None:
        if given is not None:
            raise ValueError("the demo corpus has a fixed place; for your own corpus add --env folder, --env "
                             "affwild2 or --env features")  # fmt: skip


class Release(Parameters):
    """Parameters of an importer that reads a corpus as it was downloaded.

    Attributes:
        root: its folder, as given on the command line; the catalog's `corpus` reads it.
        importer: set by the environment.
    """

    root: str | None = Field(default=None, min_length=1)


class AffWild2Config(Release):
    """Parameters of the importer `affwild2`."""

    importer: Literal["affwild2"] = "affwild2"


class BahConfig(Release):
    """Parameters of the importer `bah`."""

    importer: Literal["bah"] = "bah"


IMPORTERS: dict[str, type[Parameters]] = {
    "demo": DemoImport,
    "affwild2": AffWild2Config,
    "folder": FolderConfig,
    "bah": BahConfig,
    "features": FeaturesConfig,
}


def _importer(given: Any) -> Any:
    """Name of the importer that the parameters are for."""
    return given.get("importer") if isinstance(given, Mapping) else getattr(given, "importer", None)


_Importer = Annotated[
    Annotated[DemoImport, Tag("demo")]
    | Annotated[AffWild2Config, Tag("affwild2")]
    | Annotated[FolderConfig, Tag("folder")]
    | Annotated[BahConfig, Tag("bah")]
    | Annotated[FeaturesConfig, Tag("features")],
    Discriminator(
        _importer,
        custom_error_type="importer",
        custom_error_message="importer: unknown name; choose demo, affwild2, folder, bah or features",
    ),
]


class IngestionConfig(RootModel[_Importer]):
    """Parameters of the importer named by `importer`."""

    @property
    def has_media(self) -> bool:
        """Whether the corpus has videos, not only precomputed features."""
        return not isinstance(self.root, FeaturesConfig)


SHORTER_TABLES = f"{FEWER_WORKERS}, or cut the tables of the clip into parts"


def index_corpus(root: Path, ingestion: IngestionConfig, limits: MediaLimits) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The usable clips of the corpus, and the problems of all others and of its files."""
    match ingestion.root:
        case FeaturesConfig() as config:
            return _index_features(root, config)
        case FolderConfig() as config:
            index = check.check_corpus(root, folder.index_folder(root, config), inspect_labels, limits)
        case BahConfig():
            index = check.check_corpus(root, index_bah(root), affwild2.inspect_annotation, limits)
        case _:
            index = check.check_corpus(root, affwild2.index_affwild2(root), affwild2.inspect_annotation, limits)
    problems = problem_table(index.problems + names_alike(index.clips))
    check.log_corpus("the corpus, as its files declare it", index.clips, problems)
    return index.clips[[*CLIP_COLUMNS, COUNT]], problems


def _index_features(root: Path, config: FeaturesConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """If a problem stops the run, all tables are read now for further problems: no later step would read them."""
    index = features.index_features(root)
    index.problems += names_alike(index.clips)
    if not any(problem["effect"] == STOPS for problem in index.problems):
        return index.clips, problem_table(index.problems)
    clips, found = features.read_through(root, index.clips, config.tolerance_s)
    problems = problem_table(index.problems + found)
    check.log_corpus("the corpus of features", clips, problems)
    return index.clips, problems


def plan_timelines(
    root: Path,
    clip_index: pd.DataFrame,
    index_problems: pd.DataFrame,
    ingestion: IngestionConfig,
    limits: MediaLimits,
) -> Mapping[str, Task]:
    """One task per clip: read its timestamps, align its annotation. Fails here if no clip is usable."""
    require_usable(index_problems, root)
    if isinstance(ingestion.root, FeaturesConfig):
        name, function = "build_features_timeline", features.build_timeline
        return _feature_tasks(name, function, root, clip_index, ingestion.root)

    several = {} if isinstance(ingestion.root, FolderConfig | BahConfig) else affwild2.annotation_files(root)
    partitions = dict(zip(clip_index["clip"], clip_index["partition"], strict=True)) if several else {}

    def build(clip: str, *files: str) -> Task:
        inputs, settings = tuple(root / file for file in files if file), {"limits": limits}
        kinds = several.get((partitions.get(clip, ""), clip), {})
        if set(kinds) - {"valence_arousal"}:
            inputs, named = (root / files[0], *kinds.values()), {"clip": clip} if "multitask" in kinds else {}
            chosen = {"kinds": tuple(kinds), **named}
            return Task("build_timeline", timeline.build_timeline, inputs, chosen, settings, timeline.VERSION)
        if isinstance(config := ingestion.root, FolderConfig):
            settled = {"tolerance_s": config.tolerance_s}
            return Task(
                "build_folder_timeline", folder.build_timeline, inputs, settled, settings, version=folder.VERSION
            )
        return Task("build_timeline", timeline.build_timeline, inputs, settings=settings, version=timeline.VERSION)

    table = clip_index.fillna("")
    return OnDemand(build, table["clip"], table["media"].array, table["annotation"].array)


def plan_feature_embeddings(
    root: Path, clips: pd.DataFrame, config: FeaturesConfig, dtype: Dtype
) -> Mapping[str, Task]:
    """One task per clip of a corpus of features: align them to the clip's clock."""
    table = clips[["clip", *FOLDERS]].fillna("")
    rows = {} if dtype == "float32" else {"dtype": dtype}  # as in fingerprints from before there was a choice
    return _feature_tasks("align_features", features.align_file, root, table, config, rows)


def _feature_tasks(
    name: str,
    function: Callable[..., None],
    root: Path,
    clips: pd.DataFrame,
    config: FeaturesConfig,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Mapping[str, Task]:
    """One task per clip that calls `function` on the clip's tables, with `more` parameters."""
    settled = {"widths": features.feature_widths(root, clips), "tolerance_s": config.tolerance_s, **more}

    def task(_: str, *cells: str) -> Task:
        files = {kind: root / file for kind, file in zip(FOLDERS, cells, strict=True) if file}
        parameters = {"kinds": tuple(files), **settled}
        return Task(
            name, function, tuple(files.values()), parameters, version=features.VERSION, low_memory=SHORTER_TABLES
        )

    return OnDemand(task, clips["clip"], *(clips[kind].array for kind in FOLDERS))


def describe_corpus(
    root: Path,
    clip_index: pd.DataFrame,
    index_problems: pd.DataFrame,
    frame_labels: ClipPaths,
    ingestion: IngestionConfig,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The usable clips with facts about their files, all problems, and counts per partition."""
    if ingestion.has_media:
        title = "the corpus, as decoded"
        clips, found = check.clip_table(clip_index.fillna(""), frame_labels, root)
        found += affwild2.crop_problems(root, clips)
        settled = index_problems[index_problems["effect"] != OPEN]  # decoding has settled the open ones
    else:
        title, settled = "the corpus of features", index_problems
        clips, found = features.clip_table(clip_index, frame_labels, root)
        found += check.untrainable(clips)
    found += check.scale_problems(frame_labels, clips)
    warned = ingestion.has_media & (settled["effect"] == DOUBTFUL)  # a warning is enough once
    check.log_corpus(title, clips, pd.concat([settled[~warned], problem_table(found)], ignore_index=True))
    problems = pd.concat([settled, problem_table(found)], ignore_index=True)
    return clips, problems, check.partition_summary(clips)


def read_facts(root: Path) -> tuple[dict[str, str], pd.DataFrame]:
    """The corpus's card, and its table of known events in sound and face, empty if it has none."""
    return read_card(root).model_dump(), read_event_table(root / EVENT_FILE)
