"""A submission has exactly the rows of the organisers' list; what is short is repeated, what is long is cut."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iaca.errors import InputError
from iaca.evaluation.submission import read_predictions, write_submission


def predictions(**clips: list[float]) -> pd.DataFrame:
    """Valence as given, arousal its negative."""
    tables = [
        pd.DataFrame({"clip": clip, "frame": range(len(v)), "valence": v, "arousal": -np.array(v)})
        for clip, v in clips.items()
    ]
    return pd.concat(tables).sample(frac=1, random_state=0)


def sample(folder: Path, *rows: str) -> Path:
    path = folder / "sample.txt"
    path.write_text("\n".join(["image_location,valence,arousal", *(f"{row}.jpg,0,0" for row in rows)]) + "\n")
    return path


def test_rows_are_those_of_the_list_in_its_order_with_the_value_of_their_frame(tmp_path: Path) -> None:
    listed = sample(tmp_path, "b_left/00002", "a/00001", "a/00003", "b_left/00001")
    report = write_submission(predictions(a=[0.1, 0.2, 0.3], b_left=[0.4, 0.5]), listed, tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text().splitlines() == [
        "image_location,valence,arousal", "b_left/00002.jpg,0.500000,-0.500000", "a/00001.jpg,0.100000,-0.100000",
        "a/00003.jpg,0.300000,-0.300000", "b_left/00001.jpg,0.400000,-0.400000",
    ]  # fmt: skip
    assert not report[["repeated", "cut", "held"]].to_numpy().any()


def test_short_long_and_empty_predictions_are_mended_and_reported(tmp_path: Path) -> None:
    made = predictions(short=[0.1, 0.2], long=[0.1, 0.2, 0.3, 0.4], holes=[np.nan, 0.5, np.nan])
    rows = [
        f"{clip}/{n:05d}" for clip, count in {"short": 4, "long": 2, "holes": 3}.items() for n in range(1, count + 1)
    ]
    report = write_submission(made, sample(tmp_path, *rows), tmp_path / "out.txt").set_index("clip")
    written = pd.read_csv(tmp_path / "out.txt")["valence"].tolist()
    assert written == [0.1, 0.2, 0.2, 0.2, 0.1, 0.2, 0.5, 0.5, 0.5]
    assert report.loc["short", ["repeated", "cut", "held"]].tolist() == [2, 0, 0]
    assert report.loc["long", ["repeated", "cut", "held"]].tolist() == [0, 2, 0]
    assert report.loc["holes", ["repeated", "cut", "held"]].tolist() == [0, 0, 2]


def test_a_clip_without_predictions_and_a_bad_list_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no prediction for the clip b"):
        write_submission(predictions(a=[0.1]), sample(tmp_path, "a/00001", "b/00001"), tmp_path / "out.txt")
    with pytest.raises(InputError, match=r"line 2: not an image location: '00001\.jpg'"):
        write_submission(predictions(a=[0.1]), sample(tmp_path, "00001"), tmp_path / "out.txt")
    (tmp_path / "sample.txt").write_text("a/00001.jpg\n")
    with pytest.raises(InputError, match="line 1"):
        write_submission(predictions(a=[0.1]), tmp_path / "sample.txt", tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


def test_the_newest_version_of_the_predictions_counts(tmp_path: Path) -> None:
    for version, value in (("2026-01-01", 0.1), ("2026-01-02", 0.2)):
        (tmp_path / "p.parquet" / version).mkdir(parents=True)
        predictions(a=[value]).to_parquet(tmp_path / "p.parquet" / version / "p.parquet")
    assert read_predictions(tmp_path / "p.parquet")["valence"].tolist() == [0.2]
    with pytest.raises(InputError, match="run the evaluation pipeline"):
        read_predictions(tmp_path / "none.parquet")
