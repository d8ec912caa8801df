"""A submission has exactly the rows of the organisers' list; what is short is repeated, what is long is cut."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iaca.errors import InputError
from iaca.evaluation.submission import main, read_predictions, write_submission
from iaca.formats.predictions import check_submission


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


def test_short_long_and_empty_predictions_are_filled_and_reported(tmp_path: Path) -> None:
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
    days = ("2026-01-01T12.00.00.000Z", "2026-01-02T12.00.00.000Z", "backup", "2099-01-01")
    for version, value in zip(days, (0.1, 0.2, 0.3, 0.4), strict=True):
        (tmp_path / "p.parquet" / version).mkdir(parents=True)
        predictions(a=[value]).to_parquet(tmp_path / "p.parquet" / version / "p.parquet")
    assert read_predictions(tmp_path / "p.parquet")["valence"].tolist() == [0.2]
    with pytest.raises(InputError, match="run the evaluation pipeline"):
        read_predictions(tmp_path / "none.parquet")
    predictions(a=[0.2]).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(InputError, match=r"p\.csv: predictions have to be a Parquet table here Remedy: convert it"):
        read_predictions(tmp_path / "p.csv")


def test_what_is_written_passes_the_check_and_the_command_says_so(tmp_path: Path, caplog) -> None:
    listed, out = sample(tmp_path, "b/00002", "a/00001"), tmp_path / "out.txt"
    predictions(a=[0.1], b=[0.4, 0.5]).astype({"clip": "category"}).to_parquet(
        tmp_path / "p.parquet"
    )  # as evaluation does
    main([str(tmp_path / "p.parquet"), str(listed), str(out)])
    assert check_submission(out, listed) == []
    out.write_bytes(b"\xef\xbb\xbf" + out.read_bytes().replace(b"\n", b"\r\n"))
    with caplog.at_level("INFO"):
        main(["--check", str(out), str(listed)])
    assert "all rows of the sample in order" in caplog.text


def test_everything_the_organisers_would_refuse_is_named_with_its_line(tmp_path: Path, capsys) -> None:
    listed, out = sample(tmp_path, "a/00001", "a/00002", "a/00003", "b/00001", "b/00002"), tmp_path / "out.txt"
    rows = ["a/00001.jpg,0,0", "a/00003.jpg,nan,0", "a/00002.jpg,0,1.5", "a/00001.jpg,0,0", "c/00001.jpg,0,0",
            "b/00001.jpg,0", ""]  # fmt: skip
    out.write_text("\n".join(["image_location,valence,arousal", *rows]) + "\n")
    faults = check_submission(out, listed)
    assert [(fault.row, fault.problem.split(":")[0]) for fault in faults] == [
        (3, "not two numbers in [-1, 1]"), (3, "a/00003.jpg is out of order"), (4, "not two numbers in [-1, 1]"),
        (5, "a/00001.jpg occurs twice"), (6, "c/00001.jpg is not in the sample"), (7, "not two numbers in [-1, 1]"),
        (None, "b/00002.jpg is missing"),
    ]  # fmt: skip
    assert faults[-1].remedy == "it is line 6 of the sample"
    with pytest.raises(SystemExit) as stopped:
        main(["--check", str(out), str(listed)])
    assert stopped.value.code == 2
    assert "7 faults" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "valence,arousal\n0,0\n", "image_location,valence,arousal\n"])
def test_a_submission_without_header_or_rows_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text(text)
    (fault,) = check_submission(tmp_path / "out.txt", sample(tmp_path, "a/00001"))
    assert fault.row in (1, 2)
    with pytest.raises(InputError, match="no such file"):
        check_submission(tmp_path / "none.txt", sample(tmp_path, "a/00001"))


@pytest.mark.parametrize("row", ["../../x/00001", "/etc/x/00001", "a/b/00001", "..", "../00001"])
def test_paths_in_a_list_open_and_write_nothing(tmp_path: Path, row: str) -> None:
    """Not even where predictions have clips of such names."""
    folder = tmp_path / "deep/er"
    folder.mkdir(parents=True)
    table = pd.concat([predictions(a=[0.1]).assign(clip=name) for name in ("a", "..", "../../x", "/etc/x", "a/b")])
    listed, before = sample(folder, "a/00001", row), sorted(tmp_path.rglob("*"))
    if row == "../00001":  # a clip's name as any other: it stays in the text of the one file that is written
        write_submission(table, listed, folder / "out.txt")
        assert sorted(tmp_path.rglob("*")) == sorted([*before, folder / "out.txt"])
        return
    with pytest.raises(InputError, match=r"sample\.txt, line 3: not an image location"):
        write_submission(table, listed, folder / "out.txt")
    assert sorted(tmp_path.rglob("*")) == before


UNIT_NAMES = ("au1", "au2", "au4", "au6", "au7", "au10", "au12", "au15", "au23", "au24", "au25", "au26")
HEADS = {
    "expression": "image_location,Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other",
    "action_units": f"image_location,{','.join(UNIT_NAMES).upper()}",
    "multitask": "image,valence,arousal,expression,aus",
}


def all_tasks() -> pd.DataFrame:
    table = predictions(a=[0.1, 0.2, 0.3], b=[0.4, 0.5])
    table["expression"] = pd.array([None if v == 0.2 else round(10 * v) for v in table["valence"]], dtype="Int8")
    for place, name in enumerate(UNIT_NAMES):
        table[name] = pd.array([int(round(10 * v) % 2 == place % 2) for v in table["valence"]], dtype="Int8")
    return table


@pytest.mark.parametrize(
    ("track", "expected"),
    [
        ("expression", ["b/00002.jpg,5", "a/00002.jpg,1"]),  # a frame without a class takes that of the one before
        ("action_units", ["b/00002.jpg,0,1,0,1,0,1,0,1,0,1,0,1", "a/00002.jpg,1,0,1,0,1,0,1,0,1,0,1,0"]),
        (
            "multitask",
            [
                "b/00002.jpg,0.500000,-0.500000,5,0,1,0,1,0,1,0,1,0,1,0,1",
                "a/00002.jpg,0.200000,-0.200000,1,1,0,1,0,1,0,1,0,1,0,1,0",
            ],
        ),
    ],
)
def test_every_track_is_written_below_its_own_header_and_passes_the_check(
    tmp_path: Path, track: str, expected: list[str]
) -> None:
    listed, out = tmp_path / "sample.txt", tmp_path / "out.txt"
    listed.write_text(f"{HEADS[track]}\nb/00002.jpg,-1\na/00002.jpg,-1\n")
    report = write_submission(all_tasks(), listed, out).set_index("clip")
    assert out.read_text().splitlines() == [HEADS[track], *expected]
    assert report.loc["a", "held"] == (1 if track != "action_units" else 0)
    assert check_submission(out, listed) == []
    with pytest.raises(InputError, match=f"the track of this list is {track}.*no column"):
        write_submission(predictions(a=[0.1], b=[0.2]), listed, out)


@pytest.mark.parametrize(
    ("track", "row", "problem"),
    [
        ("expression", "a/00001.jpg,8", "not a class from 0 to 7"),
        ("expression", "a/00001.jpg,-1", "not a class from 0 to 7"),
        ("expression", "a/00001.jpg,1.0", "not a class from 0 to 7"),
        ("expression", "a/00001.jpg,1,2", "not 1 values"),
        ("action_units", f"a/00001.jpg{',0' * 11},-1", "not 12 action units of 0 or 1"),
        ("action_units", f"a/00001.jpg{',0' * 11}", "not 12 values"),
        ("multitask", f"a/00001.jpg,1.5,0,1{',0' * 12}", "not two numbers in"),
        ("multitask", f"a/00001.jpg,0,0,9{',0' * 12}", "not a class from 0 to 7"),
        ("multitask", f"a/00001.jpg,0,0,1{',0' * 11},2", "not 12 action units of 0 or 1"),
        ("multitask", f"a/00001.jpg,0,0,1{',0' * 13}", "not 15 values"),
    ],
)
def test_a_row_that_its_track_does_not_allow_is_named(tmp_path: Path, track: str, row: str, problem: str) -> None:
    listed, out = tmp_path / "sample.txt", tmp_path / "out.txt"
    listed.write_text(f"{HEADS[track]}\na/00001.jpg,0\n")
    out.write_text(f"{HEADS[track]}\n{row}\n")
    (fault,) = check_submission(out, listed)
    assert fault.row == 2
    assert fault.problem.startswith(problem)


def test_several_tables_are_averaged_and_choices_are_applied(tmp_path: Path) -> None:
    times = {"a": np.arange(3) / 25}
    for name, values in (("one", [0.1, 0.2, 0.6]), ("two", [0.3, 0.4, 0.8])):
        predictions(a=values).sort_values("frame").assign(time_s=times["a"]).to_parquet(tmp_path / f"{name}.parquet")
    (tmp_path / "c.json").write_text('{"valence_arousal": {"filter": "median", "width_s": 0.08}}')
    listed, out = sample(tmp_path, "a/00001", "a/00002", "a/00003"), tmp_path / "out.txt"
    words = [str(tmp_path / "one.parquet"), str(tmp_path / "two.parquet"), str(listed), str(out)]
    main(words)
    assert pd.read_csv(out)["valence"].tolist() == pytest.approx([0.2, 0.3, 0.7])
    main([*words, "--choices", str(tmp_path / "c.json")])
    assert pd.read_csv(out)["valence"].tolist() == pytest.approx([0.3, 0.3, 0.3])
    with pytest.raises(SystemExit):
        main([*words, "--choices", str(tmp_path / "none.json")])
