"""Videos are found by file, folder or pattern, whatever their names, and never overwritten."""

import os
from pathlib import Path

import numpy as np
import pytest

from iaca.engine import ExecutorConfig, Task, run_tasks
from iaca.engine.results import read_failures
from iaca.errors import InputError
from iaca.inference.config import find_videos
from iaca.media import probe, write_movie


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


NAMES = ["-dash.mp4", "two words.MOV", "Grüße 🎬.webm", "percent%41.mkv", "[1].avi", "a.b.mp4"]


def test_a_folder_is_searched_to_its_bottom_for_any_name(tmp_path):
    touch(tmp_path, *NAMES, "deep/er/x.ts", "notes.txt", ".hidden.mp4", "._resource.mp4")
    (tmp_path / "folder.mp4").mkdir()
    assert set(find_videos(str(tmp_path))) == {Path(name).stem for name in NAMES} | {"x"}


@pytest.mark.parametrize("name", NAMES)
def test_a_single_file_is_found_by_its_name(tmp_path, name):
    touch(tmp_path, name)
    assert find_videos(str(tmp_path / name)) == {Path(name).stem: tmp_path / name}


def test_a_pattern_takes_what_it_matches(tmp_path, monkeypatch):
    touch(tmp_path, "clips/-a.mp4", "clips/b 1.mp4", "clips/c.mov", "clips/more/d.mp4")
    monkeypatch.chdir(tmp_path)
    assert set(find_videos("clips/*.mp4")) == {"-a", "b 1"}
    assert set(find_videos("clips/**/*.mp4")) == {"-a", "b 1", "d"}
    assert set(find_videos(str(tmp_path / "clips/?.mov"))) == {"c"}


def test_videos_of_one_name_are_told_apart(tmp_path):
    touch(tmp_path, "one/a.mp4", "two/a.mp4", "a.mov")
    assert set(find_videos(str(tmp_path))) == {"one_a.mp4", "two_a.mp4", "a.mov"}


def test_no_video_is_lost_to_another_of_the_same_name(tmp_path):
    """A folder with `_` in its name, an ending within a name, a line end that is spelt out."""
    names = ["a/b/v.mp4", "a_b/v.mp4", "v.mov", "x.mp4", "x.avi", "x.mp4.mov", "n\nl.mkv", "n\\nl.mkv", "a_b_v.mp4.ts"]
    touch(tmp_path, *names)
    found = find_videos(str(tmp_path))
    assert sorted(found.values()) == sorted(tmp_path / name for name in names)
    assert find_videos(str(tmp_path)) == found
    assert {"a_b_v.mp4", "a_b_v.mp4_2", "x.mp4", "x.mp4_2", "x.avi"} <= set(found)


@pytest.mark.parametrize("given", ["/mnt*/v.mp4", "/**/v.mp4"])
def test_no_name_is_a_path_wherever_the_videos_lie(monkeypatch, given):
    """Results of `/mnt1/v.mp4` and `/mnt2/v.mp4` are written into the output folder, not beside the root."""
    videos = ["/mnt1/v.mp4", "/mnt2/v.mp4", "/v.mp4", "../v.mp4"]
    monkeypatch.setattr("iaca.inference.config.glob.glob", lambda *_, **__: videos)
    monkeypatch.setattr(Path, "is_file", lambda path: str(path) in videos)
    found = find_videos(given)
    assert len(found) == 4
    assert {"mnt1_v.mp4", "mnt2_v.mp4", "v.mp4"} <= set(found)
    assert all("/" not in name for name in found)


def test_links_are_read_and_never_written_to(tmp_path, caplog):
    """A link to a video has its own name; one out of the folder leads to no other result."""
    touch(tmp_path, "elsewhere/secret.mp4", "videos/sub/a.mp4")
    (tmp_path / "videos/link.mp4").symlink_to(tmp_path / "elsewhere/secret.mp4")
    (tmp_path / "videos/up").symlink_to(tmp_path)
    assert {name: path.name for name, path in find_videos(str(tmp_path / "videos")).items()} == {
        "a": "a.mp4", "link": "link.mp4",
    }  # fmt: skip
    assert f"{tmp_path / 'videos/up'} is a link to a folder and was not searched" in caplog.text


def test_of_a_folder_videos_are_taken_by_content_and_the_rest_is_counted(tmp_path, caplog):
    """What a user has beside the videos makes no rows of failures; what looks like media and is none makes one."""
    touch(
        tmp_path,
        "00001.MTS",
        "disc/VTS_01_1.VOB",
        "a.dv",
        *(f"{k}.csv" for k in range(300)),
        "p.png",
        "README",
        "v.wav",
    )
    write_movie(tmp_path / "x.mp4", [(0.0, np.zeros((16, 16, 3), np.uint8))], 25)
    (tmp_path / "x.mp4").rename(tmp_path / "no ending")
    (tmp_path / "odd.xyz").write_bytes(bytes(range(256)) * 8)
    with caplog.at_level("INFO"):
        found = find_videos(str(tmp_path))
    assert set(found) == {"00001", "VTS_01_1", "a", "no ending", "odd"}
    assert "left out 302 files (no videos): 300 .csv, 1 .png, 1 without ending" in caplog.text
    assert "left out 1 file (sound without pictures): 1 .wav" in caplog.text
    assert find_videos(str(tmp_path / "**/*")) == found
    assert set(find_videos(str(tmp_path / "p.png"))) == {"p"}  # named alone, it is tried: its row says what it is
    tasks = {name: Task("probe", probe_video, (video,)) for name, video in found.items()}
    run_tasks(tasks, tmp_path / "out", ".json", ExecutorConfig(kind="serial", tolerated_failures=1.0))
    assert "odd.xyz: can't be opened as a media file" in read_failures(tmp_path / "out")["odd"]


def probe_video(video: Path, target: Path) -> None:
    target.write_text(str(probe(video, decoding=False).has_video))


def test_what_cannot_be_read_has_its_row_among_the_failures(tmp_path):
    videos = touch(tmp_path / "videos", "a.mp4", "sub/notes.txt")
    (videos / "loop.mp4").symlink_to("loop.mp4")
    (videos / "sub/gone.mov").symlink_to(tmp_path / "nowhere.mov")
    os.mkfifo(videos / "pipe.mkv")
    expected = {"a", "loop", "gone", "pipe"}
    for given in (str(videos), str(videos / "**/*.m*")):
        found = find_videos(given)
        assert set(found) == expected
    tasks = {name: Task("copy", copy_video, (video,)) for name, video in found.items()}
    run_tasks(tasks, tmp_path / "out", ".json", ExecutorConfig(kind="serial", tolerated_failures=0.9))
    reasons = read_failures(tmp_path / "out")
    assert set(reasons) == expected - {"a"}
    assert "levels of symbolic links" in reasons["loop"]
    assert "No such file" in reasons["gone"]
    assert "neither a file nor a folder" in reasons["pipe"]
    assert set(find_videos(str(videos / "sub/gone.mov"))) == {"gone"}  # named alone, it fails with the same reason


def test_a_folder_that_cannot_be_listed_has_its_row(tmp_path, monkeypatch):
    touch(tmp_path, "a.mp4", "locked/b.mp4")
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    assert find_videos(str(tmp_path)) == {"a": tmp_path / "a.mp4", "locked": tmp_path / "locked"}


def copy_video(video: Path, target: Path) -> None:
    target.write_bytes(video.read_bytes())


def overlay_task(video: Path, folder: Path, name: str, fails: bool = False) -> Task:
    return Task("draw", draw_overlay, (video,), {"name": name, "fails": fails}, {"folder": folder}, extra_files=listed)


def draw_overlay(video: Path, target: Path, folder: Path, name: str, fails: bool) -> None:
    if fails:
        raise InputError("damaged", video)
    (folder / f"{name}.mp4").write_text(f"overlay of {name}")
    target.write_text(name)


def listed(summary: Path) -> list[str]:
    return [f"{summary.read_text()}.mp4"]


def draw(found: dict[str, Path], folder: Path, fails: bool = False) -> None:
    tasks = {name: overlay_task(video, folder, name, fails) for name, video in found.items()}
    run_tasks(tasks, folder, ".json", ExecutorConfig(kind="serial", tolerated_failures=1.0), prune=False)


@pytest.mark.parametrize("place", ["", "out", "deep/er"])
@pytest.mark.parametrize("other", [False, True], ids=["same output", "another output"])
def test_overlays_of_an_earlier_run_are_no_videos_wherever_they_are(tmp_path, place, other):
    touch(tmp_path, "a.mov", "b.avi", "sub/c.mkv")
    output = tmp_path / place
    first = find_videos(str(tmp_path), output)
    assert set(first) == {"a", "b", "c"}
    draw(first, output)
    again = tmp_path / "another" if other else output
    assert find_videos(str(tmp_path), again) == first
    assert set(find_videos(str(tmp_path / "*.[am]*"), again)) == {"a", "b"}


def test_a_video_that_replaced_an_overlay_is_a_video_and_one_of_a_failed_analysis_is_gone(tmp_path):
    touch(tmp_path, "a.mov", "b.mov")
    draw(find_videos(str(tmp_path), tmp_path), tmp_path)
    (tmp_path / "a.mp4").write_text("my own")
    assert set(find_videos(str(tmp_path), tmp_path)) == {"a.mov", "a.mp4", "b"}
    (tmp_path / "b.mov").write_text("changed")
    with pytest.raises(InputError, match="1 of 1 items failed"):
        draw({"b": tmp_path / "b.mov"}, tmp_path, fails=True)
    assert not (tmp_path / "b.mp4").exists()


def test_movies_that_a_pipeline_rendered_are_videos(tmp_path):
    """Their folder has a journal too."""
    source = touch(tmp_path, "plan")
    tasks = {"v": Task("render", render, (source / "plan",))}
    run_tasks(tasks, tmp_path / "videos", ".mp4", ExecutorConfig(kind="serial"))
    assert set(find_videos(str(tmp_path / "videos"))) == {"v"}


def render(plan: Path, target: Path) -> None:
    target.write_text("movie")


def test_names_of_the_folders_own_files_are_not_taken(tmp_path):
    touch(tmp_path, "failures.mp4", "inference_summary.mp4", "a.mp4", "a.person2.mp4", "b.person1.mp4")
    names = {"failures.mp4", "inference_summary.mp4", "a", "a.person2.mp4", "b.person1"}
    assert set(find_videos(str(tmp_path))) == names


def test_results_are_no_videos_and_videos_are_no_results(tmp_path):
    touch(tmp_path, "a.mp4", "out/a.mp4", "out/b.mp4")
    assert find_videos(str(tmp_path), tmp_path / "out") == {"a": tmp_path / "a.mp4"}
    assert set(find_videos(str(tmp_path / "out"), tmp_path)) == {"a", "b"}
    for given in ("out/a.mp4", "out", "out/*.mp4"):
        with pytest.raises(InputError, match=r"a\.mp4.*replace this video"):
            find_videos(str(tmp_path / given), tmp_path / "out")


@pytest.mark.parametrize("given", ["none.mp4", "*.mp4", "."])
def test_nothing_there_is_an_error_that_says_what_to_give(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no video found.*folder or a pattern") as refused:
        find_videos(given)
    assert ("there is no such file or folder" in str(refused.value)) == (given == "none.mp4")
