"""How a folder of videos is read."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from iaca.config import LONGEST_S, Parameters, Seed


class FolderConfig(Parameters):
    """Parameters of the importer `folder`.

    Attributes:
        importer: belongs to the environment; see `iaca.corpora.importers`.
        root: folder of the corpus, as given on the command line; the catalog's `corpus` reads it.
        tolerance_s: how far (s) from a frame an annotated row may lie and still count for it. By default one and a
            half median steps of the annotation.
        validation_share, test_share: of the annotated subjects, where there is no partition.csv; the rest is for
            training.
        seed: of the dealing.
    """

    importer: Literal["folder"] = "folder"
    root: str | None = Field(default=None, min_length=1)
    tolerance_s: float | None = Field(default=None, gt=0, le=LONGEST_S)
    validation_share: float = Field(default=0.2, ge=0, lt=1)
    test_share: float = Field(default=0.2, ge=0, lt=1)
    seed: Seed = 0

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on")
        return self
