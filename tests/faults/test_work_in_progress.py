"""Faces and sound of a video lie in the output folder while it is analysed, and nothing of them stays anywhere."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from iaca import files
from iaca.engine import ExecutorConfig, Task, run_tasks
from iaca.engine.results import read_failures
from iaca.errors import InputError, StorageError
from iaca.faces import FaceConfig, extract_faces_file
from iaca.files import work_folder
from iaca.inference import Predictor
from iaca.inference.config import NAMED, Drawing
from iaca.inference.write import VERSION, analyse_video, listed_files
from iaca.media import write_movie
from project import ROOT, environment

SERIAL = ExecutorConfig(kind="serial")
KILLED = """
import os, signal, sys
from pathlib import Path
from iaca.faces import FaceConfig
from iaca.inference import Predictor, predictor
from iaca.inference.config import NAMED, Drawing
from iaca.inference.write import analyse_video

predictor.read_audio_file = lambda *_, **__: os.kill(os.getpid(), int(sys.argv[1]))
video, out = map(Path, sys.argv[2:])
if out.name == "none":
    Predictor.load("zero_shot").predict(video)
else:
    settings = {"folder": out, "name": "a", "drawing": Drawing(overlay=False, plot=False), "faces": FaceConfig()}
    analyse_video(video, NAMED["zero_shot"], target=out / "a.json", **settings)
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, face = tmp_path_factory.mktemp("video") / "a.mp4", skimage.data.astronaut()[:240, 80:400]
    sound = 0.1 * np.sin(2 * np.pi * 200 * np.arange(8000) / 16_000).astype(np.float32)
    write_movie(path, ((i / 10, face) for i in range(5)), 10, sound, 16_000)
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files, as if this process had not worked there yet."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    files._remove_abandoned.cache_clear()
    return folder


@pytest.fixture
def full_temporary(disk: Path, filled: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    filled(disk)
    return disk


def task(video: Path, out: Path, name: str = "a") -> Task:
    settings = {"folder": out}
    parameters = {"name": name, "drawing": Drawing(overlay=False, plot=False), "faces": FaceConfig()}
    models = (NAMED["zero_shot"],)
    return Task("analyse_video", analyse_video, (video, *models), parameters, settings, VERSION, listed_files)


def kill(how: int, video: Path, out: Path, temporary: Path) -> None:
    words = [sys.executable, "-c", KILLED, str(int(how)), str(video), str(out)]
    done = subprocess.run(words, env={**environment(ROOT), "TMPDIR": str(temporary)}, capture_output=True, check=False)
    assert done.returncode == -how, done.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_inference_leaves_lies_in_its_output_and_the_next_run_removes_it(
    tmp_path: Path, video: Path, temporary: Path, how: int
) -> None:
    (out := tmp_path / "out").mkdir()
    kill(how, video, out, temporary)
    assert list(temporary.iterdir()) == []
    (left,) = out.iterdir()
    assert sorted(path.name for path in left.iterdir()) == ["audio.flac", "faces1.jpegs"]
    (own := out / ".tmp-holiday").mkdir()  # a folder of the user's
    run_tasks({"a": task(video, out)}, out, ".json", SERIAL, prune=False)
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".tmp")) == [own.name]
    assert (out / "a.csv").is_file()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_script_leaves_goes_when_the_next_one_starts(
    tmp_path: Path, video: Path, temporary: Path, how: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(how, video, tmp_path / "none", temporary)
    (left,) = temporary.iterdir()
    with monkeypatch.context() as other:
        other.setattr("iaca.files.os.getuid", lambda: 4242)  # somebody else's are left alone
        with work_folder():
            assert left.exists()
    files._remove_abandoned.cache_clear()
    Predictor.load("zero_shot").predict(video)
    assert list(temporary.iterdir()) == []


def test_work_of_a_living_process_stays_and_that_of_another_machine_goes_by_age(temporary: Path) -> None:
    foreign = [temporary / f".tmp-1-abcdef-0123456{k}-work" for k in range(2)]
    for folder in foreign:
        folder.mkdir()
    os.utime(foreign[0], (time.time() - 90_000,) * 2)
    with work_folder() as mine:
        files._remove_abandoned.cache_clear()
        with work_folder() as second:
            assert sorted(temporary.iterdir()) == sorted([foreign[1], mine, second])
    assert list(temporary.iterdir()) == [foreign[1]]


def test_a_full_temporary_folder_does_not_matter_to_a_run(tmp_path: Path, video: Path, full_temporary: Path) -> None:
    report = run_tasks({"a": task(video, tmp_path / "out")}, tmp_path / "out", ".json", SERIAL)
    assert report.made == ["a"]
    extract_faces_file(video, tmp_path / "new" / "faces.parquet", FaceConfig())
    assert (tmp_path / "new" / "faces.parquet").is_file()


def test_a_script_is_told_that_the_temporary_folder_is_full(video: Path, full_temporary: Path) -> None:
    with pytest.raises(StorageError, match=rf"^{full_temporary}/\S+: the disk is full"):
        Predictor.load("zero_shot").predict(video)
    assert [path.name for path in full_temporary.iterdir()] == ["ballast"]


def write_there(source: Path, target: Path, disk: Path) -> None:
    if source.name == "b":
        (disk / "notes").write_bytes(bytes(2**20))
    target.write_text("whole")


def test_another_disk_that_is_full_is_named_and_costs_its_own_clip(
    disk: Path, corpus: Path, tmp_path: Path, filled: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(disk)
    tasks = {path.name: Task("copy", write_there, (path,), {}, {"disk": disk}) for path in sorted(corpus.iterdir())}
    report = run_tasks(tasks, tmp_path / "out", ".txt", SERIAL)
    assert sorted(report.made) == list("acdef")
    (reason,) = read_failures(tmp_path / "out").values()
    assert "b.txt: a disk is full" in reason
    assert "but not that of this file" in reason
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    run_tasks(tasks, tmp_path / "out", ".txt", SERIAL)
    (reason,) = read_failures(tmp_path / "out").values()
    assert f"the folder for temporary files, {disk}" in reason
    assert "set TMPDIR" in reason


def test_a_faulty_video_leaves_no_work_behind(tmp_path: Path, video: Path, temporary: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(video.read_bytes()[:700])
    with pytest.raises(InputError):
        Predictor.load("zero_shot").predict(tmp_path / "broken.mp4")
    assert list(temporary.iterdir()) == []
