"""How a corpus of precomputed features is read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from iaca.config import LONGEST_S, Parameters


class FeaturesConfig(Parameters):
    """Parameters of the importer `features`.

    Attributes:
        importer: belongs to the environment; see `iaca.corpora.importers`.
        root: folder of the corpus, as given on the command line; the catalog's `corpus` reads it.
        tolerance_s: how far (s) from a step a row may lie and still be its row. By default half the longer of two
            median steps, that of the clip's clock and that of the table.
    """

    importer: Literal["features"] = "features"
    root: str | None = Field(default=None, min_length=1)
    tolerance_s: float | None = Field(default=None, gt=0, le=LONGEST_S)
