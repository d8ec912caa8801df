"""Each command names a file or folder that its user may not read or write, with the remedy, and shows no traceback."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affwild2_tree import movie
from iaca import live
from iaca.corpora import bah, convert, raters, synthetic
from iaca.encoders import __main__ as encoders
from iaca.errors import InputError
from iaca.evaluation import multitask, score, submission
from iaca.files import work_folder
from iaca.formats.tables import write_table
from iaca.media import frame_times
from iaca.training import export
from iaca.web import __main__ as web
from iaca.web.sessions import WebConfig

Forbid = Callable[..., None]
CLOSED = r"can't be opened \(Permission denied\) Remedy: fix its permissions and those of its folders, or leave it out"
LOCKED = r"this folder can't be written to \(Permission denied\) Remedy: mount it for writing or fix its permissions"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two recordings with labels and features, a table of predictions with annotations and a list, a video, folders."""
    for clip in ("Train_DE_01", "Devel_DE_01"):
        for kind in ("labels", "voice", "face"):
            (tmp_path / "corpus" / kind).mkdir(parents=True, exist_ok=True)
            values = np.linspace(-0.5, 0.5, 22, dtype=np.float32).reshape(11, 2)
            names = ("valence", "arousal") if kind == "labels" else ("f0", "f1")
            write_table(tmp_path / f"corpus/{kind}/{clip}.csv", np.arange(11) / 10, names, values)
    table = pd.DataFrame({"clip": ["a"] * 3, "frame": range(3), "valence": [0.1, 0.2, 0.3], "arousal": [0.3, 0.1, 0.2]})
    table.to_parquet(tmp_path / "predictions.parquet")
    (tmp_path / "sample.txt").write_text("image_location,valence,arousal\na/00001.jpg,0,0\n")
    (tmp_path / "gold").mkdir()
    (tmp_path / "gold/a.txt").write_text("valence,arousal\n0.1,0.2\n0.1,0.1\n0.2,0.2\n")
    movie(tmp_path / "videos/a.mp4", 20)
    for name in ("closed", "locked"):
        (tmp_path / name).mkdir()
    return tmp_path


def told(command: Callable[[list[str]], object], words: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on the terminal of a command that fails."""
    capsys.readouterr()
    try:
        code = command([str(word) for word in words])
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):  # what Python itself writes
            sys.stderr.write(f"{code}\n")
    assert code
    return capsys.readouterr().err.strip().splitlines()[-1]


CONVERT = ["avec2019", "corpus", "--audio", "voice", "--visual", "face"]
COMMANDS: dict[str, Callable[[list[str]], object]] = {
    "convert": convert.main, "submission": submission.main, "score": score.main, "multitask": multitask.main,
    "encoders": encoders.main, "live": live.main, "raters": raters.main, "bah": bah.main, "synthetic": synthetic.main,
    "export": export.main, "web": web.main,
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "words", "closed", "named"),
    [
        ("convert", [*CONVERT, "out"], "corpus", "corpus/labels"),
        ("convert", [*CONVERT, "out"], "corpus/labels", "corpus/labels"),
        ("convert", [*CONVERT, "out"], "corpus/voice", "corpus/voice"),
        ("convert", [*CONVERT, "closed/out"], "closed", "closed/out"),
        ("convert", [*CONVERT, "closed"], "closed", "closed"),
        ("submission", ["predictions.parquet", "sample.txt", "out.txt"], "predictions.parquet", "predictions.parquet"),
        ("submission", ["closed/p.parquet", "sample.txt", "out.txt"], "closed", "closed/p.parquet"),
        ("submission", ["predictions.parquet", "sample.txt", "out.txt"], "sample.txt", "sample.txt"),
        ("submission", ["predictions.parquet", "closed/sample.txt", "out.txt"], "closed", "closed/sample.txt"),
        ("submission", ["--check", "closed/out.txt", "sample.txt"], "closed", "closed/out.txt"),
        ("submission", ["predictions.parquet", "sample.txt", "out.txt", "--choices", "closed/c"], "closed", "closed/c"),
        ("score", ["predictions.parquet", "gold"], "predictions.parquet", "predictions.parquet"),
        ("score", ["closed/p.parquet", "gold"], "closed", "closed/p.parquet"),
        ("score", ["predictions.parquet", "gold"], "gold", "gold"),
        ("score", ["predictions.parquet", "gold"], "gold/a.txt", "gold/a.txt"),
        ("score", ["closed", "gold"], "closed", "closed"),
        ("multitask", ["predictions.parquet", "--labels", "closed/l", "--out", "c.json"], "closed", "closed/l"),
        ("encoders", ["get", "mini_xception"], "closed", "closed/emotion_model.hdf5"),
        ("live", ["--file", "videos/a.mp4"], "videos/a.mp4", "videos/a.mp4"),
        ("live", ["--file", "videos/a.mp4", "--model", "closed/m.safetensors"], "closed", "closed/m.safetensors"),
        ("bah", ["closed", "--truth", "t.csv"], "closed", "closed"),
        ("synthetic", ["closed/corpus"], "closed", "closed/corpus"),
        ("export", ["closed/m.safetensors", "out"], "closed", "closed/m.safetensors"),
        ("web", ["--model", "closed/m.safetensors", "--port", "17863"], "closed", "closed/m.safetensors"),
    ],
)  # fmt: skip
def test_what_may_not_be_read_is_named(
    place: Path,
    forbidden: Forbid,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    words: list[object],
    closed: str,
    named: str,
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("IACA_WEIGHTS", str(place / "closed"))
    forbidden(place / closed)
    said = told(COMMANDS[command], words, capsys)
    assert re.search(rf"(^|/){re.escape(named)}: {CLOSED}", said), said
    assert not (place / "out").exists()
    assert not (place / "out.txt").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("convert", [*CONVERT, "locked/out"]),
        ("submission", ["predictions.parquet", "sample.txt", "locked/out.txt"]),
        ("score", ["predictions.parquet", "gold", "--out", "locked/scores.csv"]),
        ("encoders", ["get", "mini_xception"]),
        ("encoders", ["get", "wav2vec2_vad", "--accept-licence"]),
    ],
)
@pytest.mark.parametrize("mode", [0o555, 0])
def test_a_folder_that_may_not_be_written_to_is_named(
    place: Path,
    forbidden: Forbid,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    words: list[object],
    mode: int,
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("IACA_WEIGHTS", str(place / "locked"))
    forbidden(place / "locked", mode=mode)
    said = told(COMMANDS[command], words, capsys)
    assert re.search(rf"(^|/)locked: {LOCKED}|(^|/)locked/\S+: {CLOSED}", said), said
    if mode:
        assert re.search(rf"(^|/)locked: {LOCKED}", said), said


def test_the_list_of_encoders_says_that_weights_may_not_be_read(
    place: Path, forbidden: Forbid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IACA_WEIGHTS", str(place / "closed"))
    forbidden(place / "closed")
    states = {row[1]: row[-1] for row in encoders.table()}
    assert states["mini_xception"] == f"can't be opened (Permission denied): {place}/closed/emotion_model.hdf5"
    assert states["prosody"] == "needs none"


def test_a_rater_whose_folder_may_not_be_read_is_not_left_out_of_the_gold_standard(
    place: Path, forbidden: Forbid, capsys: pytest.CaptureFixture[str]
) -> None:
    times = frame_times(place / "videos/a.mp4")
    for rater, value in (("anna", 0.2), ("ben", 0.6)):
        columns = {dimension: np.full(len(times), value) for dimension in ("valence", "arousal")}
        raters.save_trace(place / "videos", "a", rater, times, columns)
    closed = place / "videos" / raters.RATERS / "ben"
    forbidden(closed)
    assert re.match(f"{closed}: {CLOSED}", told(raters.main, ["gold", place / "videos"], capsys))
    assert not (place / "videos/a.csv").exists()


def test_an_error_about_another_folder_keeps_its_name_within_a_work_folder(place: Path, forbidden: Forbid) -> None:
    forbidden(place / "locked", mode=0o555)
    with pytest.raises(ValueError, match=f"{place}/locked: {LOCKED}"), work_folder(place):
        submission.write_text(place / "locked/x", "x")


def test_a_folder_of_annotations_that_can_not_be_used_is_named_when_the_page_starts(
    place: Path, forbidden: Forbid
) -> None:
    annotate = pytest.importorskip("iaca.web.annotate")
    forbidden(place / "closed")
    forbidden(place / "locked", mode=0o555)
    for folder, said in (("closed", CLOSED), ("locked", LOCKED)):
        with pytest.raises(InputError, match=f"{place}/{folder}: {said}"):
            annotate.Annotations(place / "page", WebConfig(annotations=str(place / folder)))


def test_the_annotation_panel_says_what_may_not_be_read_or_written(
    place: Path, forbidden: Forbid, caplog: pytest.LogCaptureFixture
) -> None:
    annotate = pytest.importorskip("iaca.web.annotate")
    applications, client = pytest.importorskip("starlette.applications"), pytest.importorskip("starlette.testclient")
    movie(place / "videos/more/b.mp4", 20)
    annotations = annotate.Annotations(place / "page", WebConfig(annotations=str(place / "videos")))
    page = client.TestClient(
        applications.Starlette(routes=annotate.routes(annotations)), headers={"x-iaca-key": "ab" * 16}
    )
    values = {"clip": "a", "rater": "anna", "dimension": "valence", "values": [0.1] * 20}
    assert page.put(f"{annotate.ADDRESS}/clip", json=values).status_code == 200
    forbidden(place / "videos/more")
    shown = page.get(annotate.ADDRESS).json()
    assert [clip["clip"] for clip in shown["clips"]] == ["a"]
    assert re.match(f"more: {CLOSED}", shown["problems"][0])
    forbidden(place / "videos" / raters.RATERS / "anna", mode=0o555)
    answer = page.put(f"{annotate.ADDRESS}/clip", json=values)
    assert (answer.status_code, answer.json()["file"]) == (400, "anna")
    assert answer.json()["problem"] == "this folder can't be written to (Permission denied)"
    forbidden(place / "videos")
    answer = page.get(annotate.ADDRESS)
    assert (answer.status_code, answer.json()["problem"]) == (400, "can't be opened (Permission denied)")
    assert "Traceback" not in caplog.text


def test_an_option_of_the_page_that_is_out_of_range_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(web.main, ["--port", "80"], capsys) == "--port: Input should be greater than or equal to 1024"
