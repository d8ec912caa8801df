"""A session's files are its own, are checked when they come, and go when it ends."""

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from iaca.errors import InputError
from iaca.media import MediaLimits, write_movie
from iaca.web import sessions as module
from iaca.web.sessions import NAME_LENGTH, Job, Sessions


class Held:
    """A worker that is at a video until it is let go or stopped, and then writes a table or fails."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.stops, self.go = 0, threading.Event()

    def analyse(self, job: Job) -> None:
        self.order.append(job.name)
        assert self.go.wait(30)
        if self.stops:
            raise InputError("the analysis was stopped")
        (job.folder / f"{job.name}.csv").write_text("frame\n")

    def stop(self) -> None:
        self.stops += 1
        self.go.set()


@pytest.fixture
def worker() -> Held:
    return Held()


@pytest.fixture
def sessions(tmp_path: Path, worker: Held) -> Sessions:
    return Sessions(tmp_path / "root", worker, max_seconds=2.0)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    video = tmp_path_factory.mktemp("video") / "video.mp4"
    write_movie(video, ((i / 10, np.full((48, 64, 3), 90, np.uint8)) for i in range(10)), 10)
    return video


def upload(sessions: Sessions, video: Path, name: str) -> Path:
    target = sessions.uploads / "digest" / name
    target.parent.mkdir(exist_ok=True)
    return Path(shutil.copy(video, target))


def in_background(sessions: Sessions, session: str, job: Job) -> tuple[threading.Thread, list[InputError]]:
    failures: list[InputError] = []

    def run() -> None:
        try:
            sessions.analyse(session, job)
        except InputError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, failures


def until(condition) -> None:
    wake = threading.Event()
    for _ in range(300):
        if condition():
            return
        wake.wait(0.05)
    raise AssertionError("it did not come to pass")


def test_an_upload_is_removed_when_it_is_done(sessions, worker, second):
    job = sessions.receive("a", upload(sessions, second, "my clip.MP4"))
    assert job.name == "my clip"
    assert job.video.name == "upload.mp4"
    worker.go.set()
    sessions.analyse("a", job)
    assert list(sessions.uploads.iterdir()) == []
    assert [path.name for path in job.folder.iterdir()] == ["my clip.csv"]
    sessions.end("a")
    assert list(sessions.results.iterdir()) == []
    assert worker.stops == 0


def test_two_pages_that_drop_the_same_video_share_its_upload_until_both_are_done(sessions, worker, second):
    given = upload(sessions, second, "same.mp4")
    first, other = (sessions.receive(name, given) for name in "ab")
    worker.go.set()
    sessions.analyse("a", first)
    assert given.exists()
    assert other.video.exists()
    sessions.end("b")
    assert list(sessions.uploads.iterdir()) == []
    with pytest.raises(InputError, match=r"upload is gone.*drop the video again"):
        sessions.receive("c", given)


@pytest.mark.parametrize("name", ["00001.MTS", "movie.m2ts", "VTS_01_1.VOB", "no ending"])
def test_a_video_is_taken_whatever_its_ending(sessions, second, name):
    assert sessions.receive("a", upload(sessions, second, name)).name == Path(name).stem


def test_a_name_from_the_browser_never_leads_out_of_the_folder(sessions, second):
    job = sessions.receive("../../outside", upload(sessions, second, "n" * 200 + ".mp4"))
    assert job.folder.resolve().is_relative_to(sessions.results.resolve())
    assert len(job.name) == NAME_LENGTH


@pytest.mark.parametrize("content", [b"", b"no video at all"])
@pytest.mark.parametrize("name", ["notes.mp4", "00001.MTS", "README"])
def test_what_is_no_video_is_refused_by_its_own_name_with_the_reason_and_not_kept(sessions, tmp_path, content, name):
    (tmp_path / "x").write_bytes(content)
    said = "(can't be opened as|is not in a supported|the file is empty)"
    reason = rf"this is not a readable video: {said}.*Remedy: drop a video file"
    with pytest.raises(InputError, match=rf"^{name}: {reason}"):
        sessions.receive("a", upload(sessions, tmp_path / "x", name))
    assert list(sessions.results.iterdir()) == []


def test_a_video_that_is_too_long_is_refused_with_both_lengths(sessions, tmp_path):
    write_movie(tmp_path / "v.mp4", ((i / 2, np.zeros((48, 64, 3), np.uint8)) for i in range(8)), 2)
    with pytest.raises(InputError, match=r"4 s long, and this page accepts at most 2 s.*--max-seconds"):
        sessions.receive("a", upload(sessions, tmp_path / "v.mp4", "v.mp4"))


def test_one_video_is_done_at_a_time_in_the_order_in_which_they_came(sessions, worker, second):
    jobs = [sessions.receive(name, upload(sessions, second, f"{name}.mp4")) for name in "abc"]
    threads = []
    for place, (session, job) in enumerate(zip("abc", jobs, strict=True)):
        threads.append(in_background(sessions, session, job)[0])
        until(lambda job=job, place=place: sessions.ahead(job) == place and bool(worker.order))
    assert worker.order == ["a"]
    worker.go.set()
    for thread in threads:
        thread.join(30)
    assert worker.order == ["a", "b", "c"]


def test_a_session_that_ends_stops_its_own_video_and_nobody_elses(sessions, worker, second):
    first, other = (sessions.receive(name, upload(sessions, second, f"{name}.mp4")) for name in "ab")
    thread, failures = in_background(sessions, "a", first)
    until(lambda: worker.order == ["a"])
    waiting, refused = in_background(sessions, "b", other)
    until(lambda: sessions.ahead(other) == 1)
    sessions.end("b")
    assert worker.stops == 0
    sessions.end("a")
    thread.join(30)
    waiting.join(30)
    assert worker.stops == 1
    assert "stopped" in str(failures[0])
    assert "this page was closed" in str(refused[0])
    assert list(sessions.results.iterdir()) == []


def test_another_video_in_the_same_page_takes_the_place_of_the_one_at_work(sessions, worker, second):
    old = sessions.receive("a", upload(sessions, second, "old.mp4"))
    thread, failures = in_background(sessions, "a", old)
    until(lambda: worker.order == ["old"])
    new = sessions.receive("a", upload(sessions, second, "old.mp4"))  # the same again, under its own name
    thread.join(30)
    assert failures
    assert not old.folder.exists()
    assert new.video.exists()


def test_closing_removes_everything(sessions, worker, second, tmp_path):
    sessions.receive("a", upload(sessions, second, "a.mp4"))
    sessions.close()
    assert not (tmp_path / "root").exists()
    assert worker.stops == 1


@pytest.mark.parametrize("error", [OSError(95, "not supported"), RuntimeError("a bug"), MemoryError(), KeyError("x")])
def test_an_unexpected_error_of_a_video_is_its_answer_and_ends_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module, "analyse_video", fail)
    answer = module._run(Job(tmp_path / "v.mp4", tmp_path, "v"), (), MediaLimits())
    assert isinstance(answer, InputError)
    assert f"unexpected error in this step, {type(error).__name__}" in str(answer)
    assert caplog.records[0].exc_info[1] is error


def test_an_unexpected_error_of_an_upload_leaves_no_file(sessions, second, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug in a library")

    monkeypatch.setattr(module, "probe", fail)
    with pytest.raises(RuntimeError):
        sessions.receive("one", upload(sessions, second, "clip.mp4"))
    assert [path for path in sessions.results.rglob("*") if path.is_file()] == []


def test_a_worker_that_can_not_load_its_model_says_why(tmp_path, monkeypatch):
    said = []

    class Pipe:
        send = staticmethod(said.append)

    def fail(*_: object) -> None:
        raise RuntimeError("a bug in a library")

    monkeypatch.setattr(module.Predictor, "load", fail)
    monkeypatch.setattr(module, "prepare", lambda: None)
    monkeypatch.setattr(module.tempfile, "tempdir", None)
    module._serve(Pipe, (), tmp_path, MediaLimits())
    assert "RuntimeError: a bug in a library" in str(said[0])
