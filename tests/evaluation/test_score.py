"""Predictions made elsewhere are scored as the challenge does, or refused with every reason."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iaca.errors import InputError
from iaca.evaluation.metrics import pooled_metrics
from iaca.evaluation.score import SHOWN, fit_length, main, pair_files, report_lines, video_scores
from iaca.formats.predictions import parse_predictions

GOLD = {"long": ["0,.25", ".9,-5"], "short": [".5,.5", "-5,0", ".5,.75"]}
GIVEN = {"long": ["0,0", "-1,-1", "1,1"], "short": [".5,.25", "1,.5"]}


def folder(path: Path, clips: dict[str, list[str]], suffix: str = ".txt", header: str = "valence,arousal") -> Path:
    path.mkdir(exist_ok=True)
    for clip, rows in clips.items():
        (path / f"{clip}{suffix}").write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    return folder(tmp_path / "gold", GOLD)


def as_table(path: Path) -> Path:
    rows = [f"{clip},{i},{row}" for clip, values in GIVEN.items() for i, row in enumerate(values)]
    path.write_text("\n".join(["clip,frame,valence,arousal", *rows[::-1]]) + "\n")
    return path


def as_parquet(path: Path) -> Path:
    pd.read_csv(as_table(path.with_suffix(".csv"))).assign(extra=1).to_parquet(path)
    return path


def as_submission(path: Path) -> Path:
    rows = [f"{clip}/{i:05d}.jpg,{row}" for clip, values in GIVEN.items() for i, row in enumerate(values, start=1)]
    path.write_text("\r\n".join(["\ufeffimage_location,valence,arousal", *rows]) + "\r\n")
    return path


FORMS = {
    "txt": lambda path: folder(path, GIVEN),
    "csv": lambda path: folder(path, GIVEN, ".csv", "\ufeffValence, Arousal"),
    "table": lambda path: as_table(path.with_suffix(".csv")),
    "parquet": lambda path: as_parquet(path.with_suffix(".parquet")),
    "submission": lambda path: as_submission(path.with_suffix(".txt")),
}


@pytest.mark.parametrize("form", FORMS)
def test_hand_made_files_of_every_form_give_the_numbers_worked_out_by_hand(
    form: str, tmp_path: Path, gold: Path
) -> None:
    """Scored are valence (0, .5, 1) against (0, .5, .5), arousal (0, .25, .5) against (.25, .5, .75)."""
    pairing = pair_files(FORMS[form](tmp_path / "given"), gold)
    scores = pooled_metrics(pairing.table)
    assert scores["ccc_valence"] == pytest.approx(2 / 3, abs=1e-12)
    assert scores["ccc_arousal"] == pytest.approx(4 / 7, abs=1e-12)
    assert scores["ccc_mean"] == pytest.approx(13 / 21, abs=1e-12)
    assert scores["rmse_valence"] == pytest.approx(np.sqrt(0.25 / 3), abs=1e-12)
    assert scores["sagr_arousal"] == pytest.approx(2 / 3)
    assert (scores["frames_valence"], scores["unpredicted"]) == (3, 0)
    videos = video_scores(pairing).set_index("clip")
    lengths = videos[["annotation_rows", "prediction_rows", "repeated", "cut"]]
    assert lengths.loc["long"].tolist() == [2, 3, 0, 1]
    assert lengths.loc["short"].tolist() == [3, 2, 1, 0]
    assert videos.loc["short", "rmse_arousal"] == pytest.approx(0.25)


def test_the_command_prints_the_headline_and_the_rest_beside_it(tmp_path: Path, gold: Path, caplog) -> None:
    given, out = folder(tmp_path / "given", GIVEN | {"spare": ["0,0"]}), tmp_path / "videos.csv"
    with caplog.at_level("INFO"):
        main([str(given), str(gold), "--out", str(out), "--convention", "avec", "video_mean"])
    lines = [record.getMessage() for record in caplog.records]
    assert lines[1].split()[-3:] == ["0.6667", "0.5714", "0.6190"]
    assert [line.split()[:2] for line in lines if line.startswith("convention")] == [
        ["convention", "avec"],
        ["convention", "video_mean"],
    ]
    assert "spare: no annotation, not scored" in lines
    assert "short: 1 row repeated, 0 cut" in lines
    assert pd.read_csv(out)["clip"].tolist() == ["long", "short"]


def test_two_clips_get_no_interval(tmp_path: Path, gold: Path) -> None:
    lines = report_lines(pair_files(folder(tmp_path / "given", GIVEN), gold))
    assert lines[2].split()[-3:] == ["n/a"] * 3
    assert "no interval: it needs at least 3 clips" in lines


def test_a_clip_without_prediction_stops_unless_it_is_allowed_and_then_is_named(tmp_path: Path, gold: Path) -> None:
    given = folder(tmp_path / "given", {"long": GIVEN["long"]})
    with pytest.raises(InputError, match="no prediction for the clip short"):
        pair_files(given, gold)
    pairing = pair_files(given, gold, allow_missing=True)
    assert pairing.unpredicted == ["short"]
    assert pooled_metrics(pairing.table)["unpredicted"] == 2
    assert "short: no prediction, left out of the score" in report_lines(pairing)
    with pytest.raises(InputError, match="no clip is both"):
        pair_files(folder(tmp_path / "other", {"x": ["0,0"]}), gold, allow_missing=True)


def test_frames_that_a_table_leaves_empty_are_counted_and_not_scored(tmp_path: Path, gold: Path) -> None:
    table = pd.read_csv(as_table(tmp_path / "given.csv"))
    table.loc[(table["clip"] == "short") & (table["frame"] == 0), ["valence", "arousal"]] = np.nan
    for path in (tmp_path / "given.csv", tmp_path / "given.parquet"):
        table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
        scores = pooled_metrics(pair_files(path, gold).table)
        assert (scores["frames_valence"], scores["unpredicted"]) == (2, 1)


def test_every_fault_of_every_file_is_reported_at_once(tmp_path: Path, gold: Path) -> None:
    (gold / "short.txt").write_text("valence,arousal\n0,2\n")
    given = folder(tmp_path / "given", {"long": ["0,nan", "inf,0", "0,0", "a,0", "0", "0,-5"]})
    (given / "empty.txt").touch()
    (given / "bare.txt").write_text("valence,arousal\n")
    (given / "headless.csv").write_text("0,0\n")
    with pytest.raises(InputError) as caught:
        pair_files(given, gold)
    message = str(caught.value)
    assert message.startswith("9 faults")
    for place in ("short.txt, line 2", *(f"long.txt, line {n}" for n in (2, 3, 5, 6, 7)), "empty.txt, line 1"):
        assert place in message
    assert "bare.txt, line 2: there is no row" in message
    assert "headless.csv, line 1: the first line is not" in message
    assert message.count("Remedy") == 9


def test_a_file_with_very_many_faults_is_cut_short_with_their_number(tmp_path: Path, gold: Path) -> None:
    given = folder(tmp_path / "given", GIVEN | {"long": ["nan,nan"] * 100})
    with pytest.raises(InputError) as caught:
        pair_files(given, gold)
    assert f"{100 - SHOWN} more" in str(caught.value)
    assert len(str(caught.value).splitlines()) == SHOWN + 2


def test_the_faults_of_a_table_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "given.csv"
    rows = [
        "a,0,0,0",
        "a,1,0,",
        "a,1.5,0,0",
        ",0,0,0",
        "a,0,0,0",
        "",
        "a,2,1.2,0",
        "a,-1,0,0",
        "a,3,nan,NaN",
        "a,4,,",
        "",
    ]
    path.write_text("\n".join(["clip,frame,valence,arousal", *rows]) + "\n")
    clips, faults = parse_predictions(path)
    assert sorted({fault.row for fault in faults}) == [3, 4, 5, 6, 7, 8, 9]
    assert any("frame 0 of clip a occurs twice" in str(fault) for fault in faults)
    np.testing.assert_array_equal(np.isfinite(clips["a"][:, 0]), [True, False, False, False, False])


def test_the_faults_of_a_submission_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "given.txt"
    rows = ["a/00001.jpg,0,0", "a/00000.jpg,0,0", "a.jpg,0,0", "a/00002.jpg,,0", "a/00001.jpg,0,0", "a/00003.jpg,inf,0"]
    path.write_text("\n".join(["image_location,valence,arousal", *rows]) + "\n")
    assert [fault.row for fault in parse_predictions(path)[1]] == [3, 4, 5, 6, 7]


NO_TABLES = {
    "nothing": ("", r"given\.csv: this is not a table"),
    "other columns": ("a,b\n1,2\n", r"given\.csv, line 1: there is no column clip, frame, valence, arousal "),
    "a table without a column": ("clip,frame,arousal\na,0,0\n", r"given\.csv, line 1: there is no column valence "),
    "a submission without a column": (
        "image_location,valence\na/00001.jpg,0\n",
        r"given\.csv, line 1: there is no column arousal Remedy: .*`image_location,valence,arousal`",
    ),
    "a table without a row": ("clip,frame,valence,arousal\n", r"given\.csv, line 2: there is no row below the header"),
    "a submission without a row": ("image_location,valence,arousal\n", r"given\.csv, line 2: there is no row below"),
    "too many cells": ("clip,frame,valence,arousal\na,0,0,0,0\n", r"given\.csv, line 2: the rows have more cells"),
}


@pytest.mark.parametrize("name", NO_TABLES)
def test_what_is_no_table_of_predictions_is_refused(name: str, tmp_path: Path) -> None:
    text, message = NO_TABLES[name]
    (tmp_path / "given.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        parse_predictions(tmp_path / "given.csv")
    for nothing in (tmp_path / "none.csv", tmp_path):
        (tmp_path / "given.csv").unlink(missing_ok=True)
        with pytest.raises(InputError, match="there are no predictions"):
            parse_predictions(nothing)


def test_lengths_follow_the_rule_of_the_challenge() -> None:
    values = np.array([[0.1, 0.2], [0.3, 0.4]])
    np.testing.assert_array_equal(fit_length(values, 4)[0], values[[0, 1, 1, 1]])
    np.testing.assert_array_equal(fit_length(values, 1)[0], values[:1])
    assert fit_length(values, 0)[1]["cut"] == 2
    assert np.isnan(fit_length(np.empty((0, 2)), 3)[0]).all()


# Intervals and inconsistency

ENDS = ["valence_low", "valence_high", "arousal_low", "arousal_high"]


@pytest.fixture
def judged(tmp_path: Path) -> tuple[Path, Path]:
    """Four clips of ten frames at 1 Hz, predicted 0 +- .3; the annotation of frame f is f / 20. Gold in a folder."""
    annotation = {name: [f"{frame / 20},{-frame / 20}" for frame in range(10)] for name in "abcd"}
    frames = pd.DataFrame([(clip, frame) for clip in "abcd" for frame in range(10)], columns=["clip", "frame"])
    table = frames.assign(valence=0.0, arousal=0.0, time_s=frames["frame"].astype(float))
    table = table.assign(valence_low=-0.3, valence_high=0.3, arousal_low=-0.2, arousal_high=0.2)
    table = table.assign(inconsistency=np.where(frames["frame"] < 5, 0.9, 0.1))
    table.to_parquet(tmp_path / "given.parquet")
    return tmp_path / "given.parquet", folder(tmp_path / "gold", annotation)


def line_of(lines: list[str], start: str) -> list[str]:
    (line,) = (line for line in lines if line.startswith(start))
    return line.removeprefix(start).split()


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_intervals_get_coverage_and_width(judged: tuple[Path, Path], suffix: str) -> None:
    """Inside are 7 of 10 frames in valence and 5 of 10 in arousal, of every clip."""
    path, gold = judged
    pd.read_parquet(path).to_csv(path.with_suffix(".csv"), index=False)
    lines = report_lines(pair_files(path.with_suffix(suffix), gold), replicates=100)
    assert line_of(lines, "inside the interval") == ["0.7000", "0.5000"]
    assert lines[lines.index(next(x for x in lines if x.startswith("inside"))) + 1].split()[3:] == [
        "0.7000", "to", "0.7000", "0.5000", "to", "0.5000"
    ]  # fmt: skip
    assert line_of(lines, "mean width") == ["0.6000", "0.4000"]
    assert line_of(lines, "rank corr. width, |error|") == ["nan", "nan"]  # one width
    assert not [line for line in lines if "without an interval" in line or "inconsistency" in line]


def test_frames_without_an_interval_are_counted(judged: tuple[Path, Path]) -> None:
    path, gold = judged
    table = pd.read_parquet(path)
    table.loc[table["frame"] >= 7, ["valence_low", "valence_high"]] = np.nan
    table.to_parquet(path)
    lines = report_lines(pair_files(path, gold), replicates=100)
    assert line_of(lines, "inside the interval") == ["1.0000", "0.5000"]
    assert "valence: 12 predicted frames without an interval, not among those inside or outside" in lines


def test_without_the_columns_nothing_changes(judged: tuple[Path, Path], tmp_path: Path) -> None:
    path, gold = judged
    bare = tmp_path / "bare.parquet"
    table = pd.read_parquet(path)
    table[["clip", "frame", "valence", "arousal"]].to_parquet(bare)
    plain, full = (report_lines(pair_files(file, gold), replicates=100) for file in (bare, path))
    assert [line for line in full if line in plain] == plain
    assert len(full) == len(plain) + 4
    assert not set(pair_files(bare, gold).table.columns) & {*ENDS, "inconsistency", "time_s"}
    empty = tmp_path / "empty.parquet"
    table.assign(**dict.fromkeys([*ENDS, "inconsistency"], np.nan)).to_parquet(empty)
    assert report_lines(pair_files(empty, gold), replicates=100) == plain


def test_inconsistency_is_scored_against_given_events(judged: tuple[Path, Path], tmp_path: Path, caplog) -> None:
    """High in the first half of every clip: right in the events of a, b, c, and a false alarm in d."""
    path, gold = judged
    events = tmp_path / "events.csv"
    events.write_text("clip,modality,kind,start_s,end_s\n" + "".join(f"{c},audio,noisy,0,5\n" for c in "abc"))
    with caplog.at_level("INFO"):
        main([str(path), str(gold), "--events", str(events)])
    (line,) = (r.getMessage() for r in caplog.records if r.getMessage().startswith("inconsistency"))
    assert line.startswith("inconsistency during audio noisy: AUROC 0.9000 (")  # ties with 5 of 25 clean steps
    assert line.endswith("15 frames of 3 clips, 0 unknown")
    events.write_text("clip,modality,kind,start_s,end_s\nother,audio,noisy,0,5\n")
    assert "no predicted frame is in any of the events" in report_lines(
        pair_files(path, gold), events=pd.read_csv(events), replicates=10
    )


def test_events_that_cannot_be_used_are_refused(judged: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    path, gold = judged
    events = tmp_path / "events.csv"
    events.write_text("clip,modality,kind,start_s,end_s\na,audio,noisy,5,0\n")
    bare = tmp_path / "bare.parquet"
    pd.read_parquet(path).drop(columns=["time_s"]).to_parquet(bare)
    for file, table, message in (
        (path, events, "line 2: an event ends before it starts"),
        (path, tmp_path / "none.csv", "there is no table of events"),
        (bare, events, "the predictions have no time_s"),
    ):
        with pytest.raises(SystemExit):
            main([str(file), str(gold), "--events", str(table)])
        assert message in capsys.readouterr().err


def test_every_faulty_bound_is_named(tmp_path: Path) -> None:
    rows = ["a,0,0,0,-.1,.1,,,.5", "a,1,0,0,.2,.1,,,x", "a,2,0,0,-.1,,,,", "a,3,0,0,inf,.1,a,b,"]
    header = "clip,frame,valence,arousal,valence_low,valence_high,arousal_low,arousal_high,inconsistency"
    (tmp_path / "given.csv").write_text("\n".join([header, *rows]) + "\n")
    clips, faults = parse_predictions(tmp_path / "given.csv", optional=True)
    assert [(fault.row, fault.problem) for fault in faults] == [
        (3, "inconsistency is not a finite number: 'x'"),
        (3, "valence_low=0.2 is above valence_high=0.1"),
        (4, "valence_low and valence_high must come together"),
        (5, "valence_low is not a finite number: 'inf'"),
        (5, "arousal_low is not a finite number: 'a'"),
        (5, "arousal_high is not a finite number: 'b'"),
    ]
    np.testing.assert_array_equal(clips["a"][0], [0, 0, np.nan, -0.1, 0.1, np.nan, np.nan, 0.5])
    assert parse_predictions(tmp_path / "given.csv")[1] == []


def table_of(path: Path, frames: dict[str, list[int]]) -> Path:
    """Predictions 0, 0.1, 0.2, ... of the listed frames of each clip."""
    rows = [f"{clip},{frame},{i / 10},{-i / 10}" for clip, listed in frames.items() for i, frame in enumerate(listed)]
    path.write_text("\n".join(["clip,frame,valence,arousal", *rows]) + "\n")
    return path


ROWS = {"a": 5, "b": 4, "c": 6}
FIVE, FOUR, SIX = ([f"0.{k},0" for k in range(ROWS[clip])] for clip in ROWS)


@pytest.mark.parametrize(
    ("listed", "from_one"),
    [
        ({"a": range(1, 6), "b": range(1, 5), "c": range(1, 7)}, True),
        ({"a": range(1, 6), "b": range(1, 4), "c": range(1, 7)}, True),  # b is one short
        ({"a": [5, 3, 1], "b": [1, 4], "c": [1, 6]}, True),  # not every frame is listed
        ({"a": range(5), "b": range(1, 5), "c": range(1, 7)}, False),  # a frame 0
        ({"a": range(1, 5), "b": range(1, 4), "c": range(1, 6)}, False),  # the first frame is not predicted
        ({"a": range(1, 6), "b": range(1, 4), "c": range(1, 6)}, False),  # two of three end elsewhere
        ({"a": range(2, 6), "b": range(1, 5), "c": range(1, 7)}, False),
    ],
)
def test_frames_that_are_counted_from_1_are_recognised_by_the_annotation_and_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, listed: dict[str, range], from_one: bool
) -> None:
    gold = folder(tmp_path / "gold", {"a": FIVE, "b": FOUR, "c": SIX})
    given = table_of(tmp_path / "given.csv", {clip: list(frames) for clip, frames in listed.items()})
    pairing = pair_files(given, gold)
    assert ("given.csv: frames are counted from 1" in caplog.text) == from_one
    found = pairing.table.set_index(["clip", "frame"])["valence"]
    for clip, frames in listed.items():
        for i, frame in enumerate(frames):
            if frame - from_one < ROWS[clip]:
                assert found[clip, frame - from_one] == pytest.approx(i / 10)
    assert parse_predictions(given)[0]["b"].shape[0] == max(listed["b"]) + 1  # without annotation nothing is assumed


def test_a_table_that_can_not_be_written_is_one_message(
    tmp_path: Path, gold: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    given = str(folder(tmp_path / "given", GIVEN))
    for out, said in (("taken", "a folder is in the place"), ("taken/file/x.csv", "taken/file")):
        with pytest.raises(SystemExit) as ended:
            main([given, str(gold), "--out", str(tmp_path / out)])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
    assert (tmp_path / "taken" / "file").read_text() == "mine"


def test_without_another_wish_an_interval_is_of_2000_resamples(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    gold = {f"clip{i}": rng.uniform(-1, 1, (30, 2)) for i in range(6)}
    given = {clip: (values + rng.normal(0, 0.3, values.shape)).clip(-1, 1) for clip, values in gold.items()}
    rows = [{clip: [f"{v:.3f},{a:.3f}" for v, a in values] for clip, values in one.items()} for one in (given, gold)]
    pairing = pair_files(folder(tmp_path / "given", rows[0]), folder(tmp_path / "gold", rows[1]))
    wishes = ({}, {"replicates": 2000}, {"replicates": 4001}, {"replicates": 50})
    usual, known, *others = (report_lines(pairing, **wish)[2] for wish in wishes)
    assert "n/a" not in usual
    assert usual == known
    assert usual not in others
