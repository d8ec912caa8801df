"""Videos are found by file, folder or pattern, whatever their names, and never overwritten."""

from pathlib import Path

import pytest

from iaca.errors import InputError
from iaca.inference.find import find_videos


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
    monkeypatch.setattr("iaca.inference.find.glob.glob", lambda *_, **__: videos)
    monkeypatch.setattr(Path, "is_file", lambda path: str(path) in videos)
    found = find_videos(given)
    assert len(found) == 4
    assert {"mnt1_v.mp4", "mnt2_v.mp4", "v.mp4"} <= set(found)
    assert all("/" not in name for name in found)


def test_links_are_read_and_never_written_to(tmp_path):
    """A link to a video has its own name; one out of the folder leads to no other result."""
    touch(tmp_path, "elsewhere/secret.mp4", "videos/sub/a.mp4")
    (tmp_path / "videos/link.mp4").symlink_to(tmp_path / "elsewhere/secret.mp4")
    (tmp_path / "videos/up").symlink_to(tmp_path)
    (tmp_path / "videos/loop.mp4").symlink_to("loop.mp4")
    assert {name: path.name for name, path in find_videos(str(tmp_path / "videos")).items()} == {
        "a": "a.mp4", "link": "link.mp4",
    }  # fmt: skip


def test_names_of_the_folders_own_files_are_not_taken(tmp_path):
    touch(tmp_path, "failures.mp4", "a.mp4", "a.person2.mp4", "b.person1.mp4")
    assert set(find_videos(str(tmp_path))) == {"failures.mp4", "a", "a.person2.mp4", "b.person1"}


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
    with pytest.raises(InputError, match=r"no video found.*folder or a pattern"):
        find_videos(given)
