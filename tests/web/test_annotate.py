"""What the annotation panel may ask of the server: clips, traces, the gold standard, adaptation, exchange."""

import io
import json
import os
import re
import time
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("starlette")
from starlette.applications import Starlette
from starlette.testclient import TestClient

from iaca.errors import InputError
from iaca.inference import Predictor
from iaca.inference.members import AdaptedModel
from iaca.media import frame_times, write_movie
from iaca.web import annotate as module
from iaca.web.access import NEEDED
from iaca.web.annotate import ADDRESS, HANDLERS, Annotations, routes
from iaca.web.sessions import Helper, WebConfig

KEY, OTHER = "ab" * 16, "cd" * 16


def client_of(annotations: Annotations, key: str = KEY) -> TestClient:
    return TestClient(Starlette(routes=routes(annotations)), headers={"x-iaca-key": key})


@pytest.fixture
def annotations(tmp_path: Path) -> Annotations:
    return Annotations(tmp_path / "page", WebConfig(max_mb=1, max_seconds=30))


@pytest.fixture
def client(annotations: Annotations) -> TestClient:
    return client_of(annotations)


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 s at an uneven rate."""
    path, times = tmp_path_factory.mktemp("movie") / "m.mp4", np.cumsum(np.resize([0.04, 0.03, 0.05], 75)) - 0.04
    write_movie(path, ((t, np.full((48, 64, 3), i % 200, np.uint8)) for i, t in enumerate(times)), 25)
    return path


def add(client: TestClient, movie: Path, name: str) -> Any:
    return client.post(f"{ADDRESS}/clips", params={"name": name}, content=movie.read_bytes())


def ask(client: TestClient, verb: str, path: str, /, **given: Any) -> Any:
    if verb == "GET":
        return client.get(ADDRESS + path, params=given)
    return client.request(verb, ADDRESS + path, json=given)


def trace(client: TestClient, clip: str, rater: str, frames: int, **columns: Any) -> None:
    for dimension, values in columns.items():
        values = np.broadcast_to(values, frames).tolist()
        answer = ask(client, "PUT", "/clip", clip=clip, rater=rater, dimension=dimension, values=values)
        assert answer.status_code == 200, answer.text


def test_a_request_without_the_key_of_a_browser_is_refused(annotations: Annotations) -> None:
    for key in ("", "short", "AB" * 16, "ab" * 17):
        for method, path in HANDLERS:
            answer = client_of(annotations, key).request(method, ADDRESS + path, json={})
            assert (answer.status_code, answer.json()["problem"]) == (403, "the key of the browser is missing")
        assert client_of(annotations, key).post(f"{ADDRESS}/clips", params={"name": "a.mp4"}).status_code == 403
    assert not (annotations.scratch.parent / "annotate").exists()


def test_every_route_is_in_the_table_of_those_that_are_served() -> None:
    for (method, path), address in {key: ADDRESS + key[1] for key in HANDLERS}.items():
        assert any(re.fullmatch(pattern, address) for pattern in NEEDED[method]), (method, path)


def test_a_clip_is_found_again_by_its_browser_and_by_no_other(annotations: Annotations, client, movie: Path) -> None:
    assert add(client, movie, "Clip.MP4").json() == {"clip": "Clip"}
    state = ask(client, "GET", "").json()
    assert [each["clip"] for each in state["clips"]] == ["Clip"]
    assert state["clips"][0]["person"] == "Clip"
    assert (state["kept"], state["model"], state["scores"]) == (None, None, None)
    assert ask(client_of(annotations, OTHER), "GET", "").json()["clips"] == []
    again = client_of(annotations)
    address = ask(again, "GET", "").json()["clips"][0]["media"]
    assert again.get(address).content == movie.read_bytes()
    part = again.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, movie.read_bytes()[10:20])
    assert again.get(f"{ADDRESS}/media/{'0' * 32}").status_code == 404
    np.testing.assert_allclose(ask(again, "GET", "/clip", clip="Clip").json()["times"], frame_times(movie))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("notes.mp4", b"no video", "this is not a readable video"),
        ("../../etc/passwd", b"x", "this is not a readable video"),
        (" .mp4", None, "is not a name of a clip"),
        ("large.mp4", bytes(2**20 + 1), "the file is larger than 1 MB"),
    ],
)
def test_what_is_no_clip_is_refused_and_not_kept(annotations, client, movie, name, content, problem) -> None:
    content = movie.read_bytes() if content is None else content
    answer = client.post(f"{ADDRESS}/clips", params={"name": name}, content=content)
    assert answer.status_code == 400
    assert problem in answer.json()["problem"]
    assert answer.json()["remedy"]
    assert [path for path in annotations.scratch.parent.rglob("*") if path.is_file()] == []


def test_a_clip_that_is_too_long_or_has_a_name_that_is_there_is_refused(tmp_path, client, movie) -> None:
    short = client_of(Annotations(tmp_path / "short", WebConfig(max_mb=1, max_seconds=1)))
    assert "3 s long, and this page accepts at most 1 s" in add(short, movie, "a.mp4").json()["problem"]
    add(client, movie, "a.mp4")
    assert "a clip of this name is there already" in add(client, movie, "a.mkv").json()["problem"]


def test_clips_are_bounded_in_number_and_in_size(client, movie, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_CLIPS", 1)
    add(client, movie, "a.mp4")
    assert add(client, movie, "b.mp4").json()["problem"] == "this page takes 1 clips and 10 MB at most"
    monkeypatch.setattr(module, "MOST_CLIPS", 9)
    monkeypatch.setattr(module, "MOST_UPLOADS", 1e-9)
    assert add(client, movie, "b.mp4").status_code == 400


def test_browsers_and_requests_are_bounded(annotations, client, movie, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_BROWSERS", 1)
    looking = client_of(annotations, "ef" * 16)
    assert ask(looking, "GET", "").status_code == 200  # without clips it takes no place
    add(client, movie, "a.mp4")
    other = ask(client_of(annotations, OTHER), "GET", "")
    assert (other.status_code, other.json()["problem"]) == (400, "1 browser annotated here already")
    monkeypatch.setattr(module, "MOST_JSON", 100)
    answer = ask(client, "POST", "/gold", method="x" * 200)
    assert "were sent" in answer.json()["problem"]
    answer = client.post(f"{ADDRESS}/gold", content=b"[")
    assert answer.json()["problem"] == "the request is not JSON"


def test_a_trace_is_saved_per_rater_and_dimension_and_shown_to_that_rater_alone(client, movie, annotations) -> None:
    add(client, movie, "a.mp4")
    frames = len(frame_times(movie))
    values = np.linspace(-1, 1, frames).round(4)
    trace(client, "a", "Ann", frames, valence=values)
    ask(client, "PUT", "/clip", clip="a", rater="Ann", dimension="arousal", values=[0.5] * 10 + [None] * (frames - 10))
    shown = ask(client, "GET", "/clip", clip="a", rater="Ann").json()
    np.testing.assert_allclose(shown["valence"], values, atol=1e-6)
    assert shown["arousal"] == [0.5] * 10 + [None] * (frames - 10)
    assert ask(client, "GET", "/clip", clip="a", rater="Bob").json()["valence"] == [None] * frames
    raters = ask(client, "GET", "").json()["clips"][0]["raters"]
    assert raters == {"Ann": {"valence": 1, "arousal": pytest.approx(10 / frames)}}
    (path,) = annotations.scratch.parent.rglob("raters/Ann/a.csv")
    table = pd.read_csv(path)
    np.testing.assert_allclose(table["time_s"], frame_times(movie), atol=1e-6)
    np.testing.assert_allclose(table["valence"], values)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"values": [0.1]}, "1 values of valence for 75 frames"),
        ({"values": "many"}, "no values of valence for 75 frames"),
        ({"values": [2] * 75}, "a value is not a number in [-1, 1]"),
        ({"values": ["0"] * 75}, "a value is not a number in [-1, 1]"),
        ({"values": [True] * 75}, "a value is not a number in [-1, 1]"),
        ({"dimension": "liking"}, "75 values of liking for 75 frames"),
        ({"rater": "../outside"}, "'../outside' is not a name of a rater"),
        ({"rater": None}, "rater is missing"),
        ({"clip": "b"}, "there is no clip 'b'"),
    ],
)
def test_a_trace_that_does_not_fit_is_refused(client, movie, annotations, given, problem) -> None:
    add(client, movie, "a.mp4")
    fine = {"clip": "a", "rater": "Ann", "dimension": "valence", "values": [0.0] * 75}
    answer = ask(client, "PUT", "/clip", **fine | given)
    assert (answer.status_code, answer.json()["problem"]) == (400, problem)
    assert list(annotations.scratch.parent.rglob("raters")) == []


def test_people_are_named_in_the_table_of_subjects(client, movie, annotations, tmp_path) -> None:
    for name in ("a.mp4", "b.mp4"):
        add(client, movie, name)
    assert ask(client, "POST", "/clip/person", clip="b", person=" Zoë ").status_code == 200
    assert [each["person"] for each in ask(client, "GET", "").json()["clips"]] == ["a", "Zoë"]
    (table,) = annotations.scratch.parent.rglob("subjects.csv")
    assert table.read_text() == "clip,subject\nb,Zoë\n"
    for wrong in ("", "a,b", "x" * 100, "line\nend"):
        assert ask(client, "POST", "/clip/person", clip="a", person=wrong).status_code == 400
    table.write_text("clip,subject,age\nb,Zoe,9\n")
    answer = ask(client, "POST", "/clip/person", clip="a", person="Bob")
    assert "a table of this folder says who is in the clips" in answer.json()["problem"]
    assert table.read_text() == "clip,subject,age\nb,Zoe,9\n"


def test_the_gold_standard_is_made_and_shown(client, movie) -> None:
    add(client, movie, "a.mp4")
    trace(client, "a", "Ann", 75, valence=0.2, arousal=0.4)
    trace(client, "a", "Bob", 75, valence=0.6, arousal=0.4)
    assert ask(client, "POST", "/gold", method="mean", delay_s=0.5).status_code == 200
    clip = ask(client, "GET", "").json()["clips"][0]
    assert clip["labelled"]
    assert clip["gold"]["delays_s"] == {"Ann": 0.5, "Bob": 0.5}
    archive = zipfile.ZipFile(io.BytesIO(ask(client, "POST", "/export", form="folder").content))
    assert archive.namelist() == ["a.csv", "a.raters.json", "raters/Ann/a.csv", "raters/Bob/a.csv"]
    table = pd.read_csv(archive.open("a.csv"))
    assert set(table["valence"].dropna().round(6)) == {0.4}
    assert ask(client, "POST", "/gold", delay_s=7).json()["problem"].startswith("delay_s")
    assert ask(client, "POST", "/gold", delay_s="soon").status_code == 400


@pytest.mark.parametrize("form", ["elan", "anvil", "nova", "nova_binary", "carma", "darma"])
def test_a_trace_goes_out_and_comes_back_as_that_of_another_rater(client, movie, form: str) -> None:
    add(client, movie, "a.mp4")
    values = np.linspace(-0.5, 0.5, 75).round(4)
    trace(client, "a", "Ann", 75, valence=values, arousal=-values)
    answer = ask(client, "POST", "/export", form=form, clip="a", rater="Ann")
    assert answer.status_code == 200
    name = answer.headers["content-disposition"].split("''")[1]
    files = {name: answer.content}
    if name.endswith(".zip"):
        archive = zipfile.ZipFile(io.BytesIO(answer.content))
        files = {each: archive.read(each) for each in archive.namelist()}
    for dimension in ("valence", "arousal"):
        own = {n: data.decode("latin-1") for n, data in files.items() if len(files) == 1 or dimension in n}
        named = {dimension: "Rating"} if form == "carma" else {}
        found = ask(client, "POST", "/import", clip="a", rater="Bob", files=own, **named)
        assert found.status_code == 200, found.text
    shown = ask(client, "GET", "/clip", clip="a", rater="Bob").json()
    tolerance = {"elan": 1e-5, "anvil": 1e-5, "nova": 0.02, "nova_binary": 0.02}.get(form, 0.06)
    for dimension, expected in (("valence", values), ("arousal", -values)):
        found = np.array(shown[dimension], float)
        np.testing.assert_allclose(found[2:-2], expected[2:-2], atol=tolerance)


def test_a_file_that_can_not_be_read_is_an_error_with_its_line(client, movie) -> None:
    add(client, movie, "a.mp4")
    bomb = '<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY b "b">]>\n<ANNOTATION_DOCUMENT/>'
    answer = ask(client, "POST", "/import", clip="a", rater="Ann", files={"x.eaf": bomb}).json()
    assert answer["problem"] == "the file has a document type, which could expand entities"
    assert (answer["file"], answer["row"]) == ("x.eaf", 2)
    for files in ({}, {"../x.eaf": "a"}, {"x.eaf": 1}, "x"):
        assert (
            ask(client, "POST", "/import", clip="a", rater="Ann", files=files).json()["problem"] == "no file was sent"
        )
    answer = ask(client, "POST", "/export", form="praat", clip="a").json()
    assert "there are no labels" in answer["problem"]
    trace(client, "a", "Ann", 75, valence=0.1)
    answer = ask(client, "POST", "/export", form="praat", clip="a", rater="Ann").json()
    assert "there is no format 'praat'" in answer["problem"]


def test_a_clip_is_removed_with_its_traces_and_everything_at_once(client, movie, annotations) -> None:
    for name in ("a.mp4", "b.mp4"):
        add(client, movie, name)
        trace(client, name[0], "Ann", 75, valence=0.5)
    ask(client, "POST", "/gold")
    ask(client, "POST", "/clip/remove", clip="a")
    left = {path.name for path in (annotations.scratch.parent / "annotate").rglob("*") if path.is_file()}
    assert left == {"b.mp4", "b.csv", "b.raters.json"}
    assert ask(client, "POST", "/forget").status_code == 200
    assert [path for path in annotations.scratch.parent.rglob("*") if path.is_file()] == []
    assert ask(client, "GET", "").json()["clips"] == []


def test_a_folder_of_the_user_stays_and_its_videos_are_not_removed(tmp_path, movie) -> None:
    (tmp_path / "own/day 1").mkdir(parents=True)
    (tmp_path / "own/day 1/a.mp4").write_bytes(movie.read_bytes())
    kept = Annotations(tmp_path / "page", WebConfig(annotations=str(tmp_path / "own"), max_mb=1))
    client = client_of(kept)
    state = ask(client, "GET", "").json()
    assert state["kept"] == str(tmp_path / "own")
    assert [each["clip"] for each in state["clips"]] == ["a"]
    trace(client, "a", "Ann", 75, valence=0.5, arousal=0.5)
    ask(client, "POST", "/gold")
    assert (tmp_path / "own/day 1/a.csv").exists()
    for path, given in (("/clip/remove", {"clip": "a"}), ("/forget", {})):
        assert "are yours" in ask(client, "POST", path, **given).json()["problem"]
    kept.close()
    assert (tmp_path / "own/raters/Ann/a.csv").exists()
    assert ask(client_of(kept, OTHER), "GET", "").json()["raters"] == ["Ann"]


def test_labels_of_the_user_are_not_replaced(tmp_path, movie) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/a.mp4").write_bytes(movie.read_bytes())
    (tmp_path / "own/a.csv").write_text("time_s,valence,arousal\n0,0.1,0.2\n1,0.1,0.2\n")
    client = client_of(Annotations(tmp_path / "page", WebConfig(annotations=str(tmp_path / "own"))))
    assert ask(client, "GET", "").json()["clips"][0]["labelled"]
    trace(client, "a", "Ann", 75, valence=0.5, arousal=0.5)
    answer = ask(client, "POST", "/gold").json()
    assert (answer["file"], answer["problem"]) == ("a.csv", "these labels were not made from the raters' traces")


def test_damaged_files_of_a_folder_are_named_and_do_not_hide_the_clips(tmp_path, movie) -> None:
    (tmp_path / "own/raters/Ann").mkdir(parents=True)
    (tmp_path / "own/a.mp4").write_bytes(movie.read_bytes())
    (tmp_path / "own/raters/Ann/a.csv").write_text("time_s,valence,arousal\n0,0.1,0.2\n0.1,9,0\n")
    (tmp_path / "own/a.raters.json").write_text("[]")
    (tmp_path / "own/adapted.safetensors").write_bytes(b"damaged")
    (tmp_path / "own/adapted.json").write_text("{")
    client = client_of(Annotations(tmp_path / "page", WebConfig(annotations=str(tmp_path / "own"))))
    state = ask(client, "GET", "").json()
    (clip,) = state["clips"]
    assert clip["gold"] is None
    assert "a.csv, line 3: 9 is outside [-1, 1]" in clip["raters"]["Ann"]["problem"]
    assert (state["model"], state["scores"]) == (None, None)
    answer = ask(client, "POST", "/gold").json()
    assert (answer["file"], answer["row"]) == ("a.csv", 3)


# --- a copy, and adaptation, in processes of their own ---


@pytest.mark.slow
def test_a_copy_keeps_the_times_of_the_frames(annotations, client, movie) -> None:
    add(client, movie, "a.mp4")
    address = ask(client, "POST", "/clip/copy", clip="a").json()["media"]
    content = client.get(address).content
    copy = annotations.scratch.parent / "copied.mp4"
    copy.write_bytes(content)
    np.testing.assert_allclose(frame_times(copy), frame_times(movie), atol=1e-4)
    assert ask(client, "POST", "/clip/copy", clip="a").json()["media"] == address
    assert ask(client, "GET", "").json()["clips"][0]["media"] == address  # also after a reload
    copy.unlink()
    ask(client, "POST", "/clip/remove", clip="a")
    assert [path for path in annotations.scratch.parent.rglob("*") if path.is_file()] == []
    assert client.get(address).status_code == 404


def finish(client: TestClient, seconds: float = 300) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (state := ask(client, "GET", "/adapt").json())["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return state


def test_too_few_people_can_not_be_adapted_to(client, movie) -> None:
    add(client, movie, "a.mp4")
    answer = ask(client, "POST", "/adapt").json()
    assert "valence and arousal are known in 0 clips of 0 people" in answer["problem"]
    trace(client, "a", "Ann", 75, valence=0.5, arousal=0.5)
    add(client, movie, "b.mp4")
    trace(client, "b", "Ann", 75, valence=0.5)
    answer = ask(client, "POST", "/adapt").json()
    assert "valence and arousal are known in 1 clip of 1 person:" in answer["problem"]
    assert "at least 2 people" in answer["remedy"]
    trace(client, "b", "Ann", 75, arousal=0.5)
    for clip in "ab":
        ask(client, "POST", "/clip/person", clip=clip, person="Zoe")
    assert "2 clips of 1 person:" in ask(client, "POST", "/adapt").json()["problem"]


@pytest.fixture
def talkers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two clips with a tone, louder in the second half."""
    folder, paths = tmp_path_factory.mktemp("talkers"), []
    for number in range(2):
        seconds = np.arange(3 * 16_000) / 16_000
        tone = (0.02 + 0.3 * (seconds > 1.5)) * np.sin(2 * np.pi * (180 + 60 * number) * seconds)
        picture = np.full((48, 64, 3), 90, np.uint8)
        write_movie(
            folder / f"{number}.mp4", ((i / 25, picture) for i in range(75)), 25, tone.astype(np.float32), 16_000
        )
        paths.append(folder / f"{number}.mp4")
    return paths


@pytest.mark.slow
def test_the_model_is_adapted_in_the_background_and_predicts(annotations, client, talkers) -> None:
    for path in talkers:
        add(client, path, path.name)
        trace(
            client,
            path.stem,
            "Ann",
            75,
            valence=np.linspace(-0.4, 0.4, 75),
            arousal=np.where(np.arange(75) > 37, 0.8, -0.6),
        )
    assert ask(client, "POST", "/adapt", delay_s=0).json()["state"] == "running"
    again = ask(client, "POST", "/adapt").json()
    assert "adapted already" in again["problem"]
    assert finish(client) == {"state": "done"}
    state = ask(client, "GET", "").json()
    scores = state["scores"]
    assert [row["held_out"] for row in scores["rows"]] == ["0", "1", "all, pooled"]
    assert not scores["has_intervals"]
    assert "calibration needs 9 clips" in scores["intervals"]
    assert len(scores["verdict"]) == 2
    model = annotations.chosen(state["model"]["name"])
    assert AdaptedModel.load(model[0]) is not None
    assert "ADAPTED HEURISTIC" in state["model"]["caveat"]
    table = Predictor.load(model[0]).predict(talkers[0])
    assert np.isfinite(table[["valence", "arousal"]]).all().all()
    assert annotations.chosen("") == ()
    for wrong in ("0" * 32, "../adapted"):
        with pytest.raises(InputError, match="this model is gone"):
            annotations.chosen(wrong)
    archive = zipfile.ZipFile(io.BytesIO(ask(client, "POST", "/export", form="folder").content))
    names = archive.namelist()
    assert {"adapted.safetensors", "adapted.json"} <= set(names)
    assert names == sorted(names, key=PurePosixPath)  # in every run
    ask(client, "POST", "/forget")
    assert not list(annotations.scratch.parent.rglob("*.safetensors"))


@pytest.mark.slow
def test_an_adaptation_is_cancelled_by_its_own_browser_and_leaves_nothing(annotations, client, talkers) -> None:
    for path in talkers:
        add(client, path, path.name)
        trace(client, path.stem, "Ann", 75, valence=0.4, arousal=np.linspace(0, 1, 75))
    ask(client, "POST", "/adapt")
    other = client_of(annotations, OTHER)
    for path in talkers:
        add(other, path, path.name)
        trace(other, path.stem, "Bob", 75, valence=0.4, arousal=np.linspace(0, 1, 75))
    deadline = time.monotonic() + 60
    while not annotations.helper.busy:
        assert time.monotonic() < deadline
    assert ask(other, "POST", "/adapt").json()["problem"] == "another model is being adapted"
    ask(other, "POST", "/adapt/cancel")
    assert ask(client, "GET", "/adapt").json()["state"] == "running"
    ask(client, "POST", "/adapt/cancel")
    state = finish(client)
    assert (state["state"], state["problem"]) == ("failed", "it was cancelled")
    assert not list(annotations.scratch.parent.rglob("adapted*"))
    assert not [path for path in annotations.scratch.rglob("*") if path.is_file()]
    assert not annotations.helper.busy


def steps(send, count: int) -> dict[str, int]:
    for number in range(count):
        send({"number": number})
    return {"result": count}


def fails(send) -> None:
    raise InputError("no", remedy="try again")


def ends(send) -> None:
    os._exit(3)


@pytest.mark.slow
def test_a_helper_yields_steps_and_raises_the_errors_of_its_process(tmp_path) -> None:
    helper = Helper(tmp_path)
    assert list(helper.run("a", steps, 2)) == [{"number": 0}, {"number": 1}, {"result": 2, "done": True}]
    with pytest.raises(InputError, match="no"):
        list(helper.run("a", fails))
    with pytest.raises(InputError, match="perhaps for lack of memory"):
        list(helper.run("a", ends))
    running = helper.run("a", steps, 10)
    next(running)
    with pytest.raises(InputError, match="another one is running"):
        next(helper.run("b", steps, 1))
    running.close()
    assert not helper.busy


def test_the_answer_of_an_unexpected_error_is_a_sentence(client, monkeypatch, caplog) -> None:
    def fail(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(module, "find_videos", fail)
    monkeypatch.setattr(module.Workspace, "videos", fail)
    answer = ask(client, "GET", "")
    assert answer.status_code == 400
    assert "unexpected error in this step, OSError" in answer.json()["problem"]
    assert "Traceback" in caplog.text
    assert json.loads(answer.text)["remedy"] is not None
