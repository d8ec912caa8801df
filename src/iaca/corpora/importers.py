"""Which importer reads a corpus, and its parameters: one group, `ingestion`, whatever the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, RootModel, Tag, field_validator

from iaca.corpora.features import FeaturesConfig
from iaca.corpora.folder import FolderConfig
from iaca.parameters import Parameters


class DemoImport(Parameters):
    """The importer `demo`: the embedded corpus, in Aff-Wild2's layout, read where it is rendered."""

    importer: Literal["demo"] = "demo"
    root: None = None

    @field_validator("root", mode="before")
    @classmethod
    def _lies_where_it_is_rendered(cls, given: object) -> None:
        if given is not None:
            raise ValueError("the demo corpus has a fixed place; for a corpus of your own add --env folder, --env "
                             "affwild2 or --env features")  # fmt: skip


class AffWild2Config(Parameters):
    """Parameters of the importer `affwild2`.

    Attributes:
        importer: belongs to the environment.
        root: folder of the corpus, as given on the command line; the catalog's `corpus` reads it.
    """

    importer: Literal["affwild2"] = "affwild2"
    root: str | None = Field(default=None, min_length=1)


def _importer(given: Any) -> Any:
    """Name of the importer whose parameters are given."""
    return given.get("importer") if isinstance(given, Mapping) else getattr(given, "importer", None)


IMPORTERS: dict[str, type[Parameters]] = {
    "demo": DemoImport,
    "affwild2": AffWild2Config,
    "folder": FolderConfig,
    "features": FeaturesConfig,
}
_Importer = Annotated[
    Annotated[DemoImport, Tag("demo")]
    | Annotated[AffWild2Config, Tag("affwild2")]
    | Annotated[FolderConfig, Tag("folder")]
    | Annotated[FeaturesConfig, Tag("features")],
    Discriminator(
        _importer,
        custom_error_type="importer",
        custom_error_message="importer: there is none of this name; choose demo, affwild2, folder or features",
    ),
]


class IngestionConfig(RootModel[_Importer]):
    """The parameters of the importer that `importer` names."""

    @property
    def has_media(self) -> bool:
        """Whether the corpus has videos, not only features made from them."""
        return not isinstance(self.root, FeaturesConfig)
