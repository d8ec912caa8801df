"""A clip's name is a word, also where it looks like a number, as many of Aff-Wild2's do."""

from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog

from iaca.datasets.files import CSVDataset

ROOT = Path(__file__).parents[2]
NAMES = ["0105", "317", "1e3"]


@pytest.fixture(scope="module")
def catalog() -> DataCatalog:
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT) as session:
        return session.load_context().catalog


@pytest.mark.parametrize("name", ["clip_index", "clips", "index_problems", "ingestion_problems", "events",
                                  "training_index", "per_video"])  # fmt: skip
def test_a_table_of_clips_gives_their_names_back_as_they_are(name: str, catalog: DataCatalog, tmp_path: Path) -> None:
    entry = catalog[name]
    assert isinstance(entry, CSVDataset)
    table = CSVDataset(filepath=str(tmp_path / "table.csv"), load_args=entry._load_args, save_args=entry._save_args)
    table.save(pd.DataFrame({"clip": NAMES, "subject": NAMES, "row": [1, None, 2]}))
    assert table.load()["clip"].tolist() == NAMES
