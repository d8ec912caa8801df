"""Which importer reads a corpus: the parameter group `ingestion`, whose `importer` decides what else it accepts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, RootModel, Tag, field_validator

from iaca.corpora.features import FeaturesConfig
from iaca.corpora.folder import FolderConfig
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
