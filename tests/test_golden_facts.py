"""The golden facts of a run see what a mean does not: another order, swapped columns, a word, a picture's side."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from golden_facts import FULL, Loose, check, describe, differences

TABLE = pd.DataFrame(
    {
        "clip": [f"clip{i % 3}" for i in range(30)],
        "frame": np.arange(30),
        "valence": np.sin(np.arange(30.0)),
        "arousal": np.cos(np.arange(30.0)),
        "face_found": np.arange(30) % 4 > 0,
    }
)


def written(folder: Path, table: pd.DataFrame, page: str = "A score of 0.31 on 2026-01-02.") -> Path:
    folder.mkdir()
    table.to_csv(folder / "table.csv", index=False)
    table[:FULL].to_csv(folder / "short.csv", index=False)
    table.astype({"clip": "category"}).to_parquet(folder / "one.parquet")
    save_file({"weight": table["valence"].to_numpy().reshape(5, 6)}, folder / "model.safetensors", {"seed": "1"})
    (folder / "page.md").write_text(page)
    cv2.imwrite(str(folder / "plot.png"), np.outer(np.arange(40), np.ones(30)).astype(np.uint8) * 5)
    return folder


def told(tmp_path: Path, table: pd.DataFrame, **others: str) -> set[str]:
    expected, found = describe(written(tmp_path / "a", TABLE)), describe(written(tmp_path / "b", table, **others))
    return {line.rpartition(": ")[0].rpartition(": ")[0] for line in differences(expected, found)}


def swapped(table: pd.DataFrame, *places: int) -> pd.DataFrame:
    order = np.arange(len(table))
    order[list(places)] = order[list(places)][::-1]
    return table.iloc[order]


def test_the_same_results_are_the_same_wherever_and_whenever(tmp_path: Path) -> None:
    noise = TABLE.assign(valence=TABLE["valence"] * (1 + 1e-6))
    assert told(tmp_path, noise, page="A score of 0.31 on 2027-11-30.") == set()


@pytest.mark.parametrize(
    ("change", "columns"),
    [
        (lambda t: swapped(t, 11, 12), {"frame", "valence", "arousal", "clip"}),
        (lambda t: t.rename(columns={"valence": "arousal", "arousal": "valence"}), {"valence", "arousal"}),
        (lambda t: t.assign(face_found=t["face_found"].to_numpy()[::-1]), {"face_found"}),
        (lambda t: t.assign(clip=t["clip"].replace("clip1", "clip9")), {"clip"}),
        (lambda t: t.assign(arousal=-t["arousal"]), {"arousal"}),
        (lambda t: t.assign(valence=t["valence"].where(t["frame"] != 17)), {"valence"}),
        (lambda t: t.assign(valence=t["valence"].where(t["frame"] != 17, 0.9)), {"valence"}),
        (lambda t: t.assign(frame=t["frame"] + 1), {"frame"}),
    ],
)
def test_a_changed_column_is_named(
    change: Callable[[pd.DataFrame], pd.DataFrame], columns: set[str], tmp_path: Path
) -> None:
    named = {line.rpartition(": ")[2] for line in told(tmp_path, change(TABLE)) if line.startswith("*.parquet")}
    assert columns <= named


def test_texts_pictures_and_weights_are_compared(tmp_path: Path) -> None:
    assert told(tmp_path, TABLE, page="A score of 0.32 on 2026-01-02.") == {"page.md: (numbers)"}
    other = written(tmp_path / "c", TABLE, page="A score over 0.31 on 2026-01-02.")
    picture = cv2.imread(str(other / "plot.png"))
    cv2.imwrite(str(other / "plot.png"), picture[::-1])
    save_file({"weight": TABLE["valence"].to_numpy().reshape(6, 5)}, other / "model.safetensors", {"seed": "2"})
    for trained in ((), ("*", "page", "plot")):
        lines = list(differences(describe(tmp_path / "a", trained), describe(other, trained)))
        assert [line.partition(": ")[0] for line in lines] == ["*.safetensors"] * (1 if trained else 2) + [
            "page.md",
            "plot.png",
        ]


def test_files_and_columns_that_come_and_go_are_named(tmp_path: Path) -> None:
    a, b = (
        written(tmp_path / "a", TABLE),
        written(tmp_path / "b", TABLE[["frame", "clip", "arousal", "face_found"]].assign(valence=0.5)),
    )
    (a / "short.csv").unlink()
    lines = list(differences(describe(a), describe(b)))
    assert "short.csv: new file" in lines
    assert any(line.startswith("table.csv: columns:") for line in lines)


def test_a_tolerance_is_that_of_its_pattern_and_the_command_is_printed(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a", TABLE), written(tmp_path / "b", TABLE.assign(arousal=TABLE["arousal"] * 1.001))
    golden = tmp_path / "golden.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IACA_WRITE_GOLDEN", "1")
        check(golden, describe(a), "make it")
    check(golden, describe(a), "make it")
    with pytest.raises(AssertionError, match=r"table.csv: arousal: (.|\n)*IACA_WRITE_GOLDEN=1 make it"):
        check(golden, describe(b), "make it")
    check(golden, describe(b), "make it", [Loose(".*arousal", 2e-3, 2e-3)])
