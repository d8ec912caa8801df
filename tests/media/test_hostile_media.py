"""Odd files come out right, hostile ones with an error that names them; none takes the machine's memory or time."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import hostile
import numpy as np
import pytest
import verdicts
from make_media import grey, make, steady, tone
from matroska import jpeg, matroska, pictures, sound
from media_case import BROKEN, ODD, REFUSED, Hostile
from odd_media import odd, sounds

from iaca.errors import InputError
from iaca.media import LimitError, MediaLimits, frame_times, probe, read_audio, read_frames, rewrite_movie
from iaca.media import stored_length_s as length

SHARES, SEEDS = [0.1, 0.5, 0.9], range(2)  # benchmarks/hostile_media.py has more


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Hostile, dict]]:
    """Every file with what became of it."""
    folder, scratch = tmp_path_factory.mktemp("hostile"), tmp_path_factory.mktemp("made from")
    files = hostile.everything(scratch, SHARES, SEEDS)
    for file in files:
        file.write(folder / file.name)
    done = subprocess.run(
        [sys.executable, verdicts.__file__, *(str(folder / file.name) for file in files)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return list(zip(files, map(json.loads, done.stdout.splitlines()), strict=True))


def of(found: list[tuple[Hostile, dict]], outcome: str) -> list[tuple[Hostile, dict]]:
    return [(file, said) for file, said in found if file.outcome == outcome]


@pytest.mark.slow
def test_nothing_crashes_and_nothing_grows(found: list[tuple[Hostile, dict]]) -> None:
    assert len(found) > 80
    assert {file.name: said["crash"] for file, said in found if "crash" in said} == {}
    assert {file.name: said["grown_mb"] for file, said in found if said["grown_mb"] > 400} == {}
    assert {file.name: said["seconds"] for file, said in found if said["seconds"] > 20} == {}


def test_a_broken_file_gives_what_is_left_or_an_error_that_names_it(found: list[tuple[Hostile, dict]]) -> None:
    broken = of(found, BROKEN)
    for file, said in broken:
        if "error" in said:
            assert file.name in said["error"]
            assert "Remedy: " in said["error"]
        else:
            assert (np.diff(said["times"]) > 0).all(), file.name
    cut = {file.name: said for file, said in broken if file.name.startswith("cut 90%")}
    assert len(cut["cut 90%.mkv"]["times"]) >= 9
    assert len(cut["cut 90%.first.mp4"]["times"]) >= 9
    assert "error" in cut["cut 90%.mp4"]  # its index is at the end


def test_what_is_refused_is_named_with_the_reason(found: list[tuple[Hostile, dict]]) -> None:
    for file, said in of(found, REFUSED):
        assert re.search(file.words, said.get("error", "")), (file.name, said)
        assert file.name in said["error"]
        assert "Remedy: " in said["error"]


def test_odd_files_have_a_row_per_frame_at_its_time(found: list[tuple[Hostile, dict]]) -> None:
    for file, said in of(found, ODD):
        assert "error" not in said, said
        assert said["times"] == pytest.approx(file.times, abs=file.abs_s, rel=0), file.name


def test_pictures_that_change_keep_their_sizes_and_sound_goes_on(found: list[tuple[Hostile, dict]]) -> None:
    said = {file.name: verdict for file, verdict in found}
    assert said["changes size.mkv"]["shapes"] == [[48 + 16 * k, 64 + 8 * (k % 3), 3] for k in range(9)]
    assert said["changes all.ts"]["shapes"] == [[48, 64, 3]] * 5 + [[80, 96, 3]] * 5
    assert said["changes all.ts"]["sound_s"] == pytest.approx(0.4, abs=0.03)
    assert said["one frame, one sample.mkv"]["sound_s"] == pytest.approx(1 / 16000)
    assert said["192 kHz.mkv"]["sound_s"] == pytest.approx(1.0, abs=0.001)


def test_no_other_file_and_no_network_is_reached_from_what_a_file_says(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        knocks: list[object] = []
        threading.Thread(target=lambda: knocks.append(server.accept()), daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.mp4"
        os.mkfifo(tmp_path / "other.mp4")  # whoever opened it would wait for ever
        for file in hostile.references(tmp_path / "other.mp4", address):
            file.write(tmp_path / file.name)
            with pytest.raises(InputError, match=file.words):
                probe(tmp_path / file.name)
        assert knocks == []


def test_pipes_folders_and_links_to_nowhere_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    for name, words in (
        ("pipe", "not a file"),
        ("folder", "not a file"),
        ("loop", "symbolic links"),
        ("no", "No such"),
    ):
        with pytest.raises(InputError, match=rf"{name}\.mp4: .*{words}.*Remedy"):
            probe(tmp_path / f"{name}.mp4")


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"max_pixels": 63 * 48}, "64 x 48 px"), ({"max_duration_s": 0.5}, "reaches to 0.52 s"),
     ({"max_frames_per_s": 20}, "21 frames in the second"), ({"max_streams": 1}, "2 streams")],
)  # fmt: skip
def test_a_limit_is_told_with_the_parameter_to_raise(tmp_path: Path, limits: dict, words: str) -> None:
    path = make(tmp_path / "v.mp4", steady(25), sounds=[(0.0, tone(0.2, 16000))])
    with pytest.raises(LimitError, match=rf"v\.mp4: .*{words}.*Remedy: .*media\.{next(iter(limits))}"):
        list(read_frames(path, MediaLimits(**limits)))
    assert len(frame_times(path, MediaLimits(max_pixels=64 * 48, max_duration_s=1, max_frames_per_s=25, max_streams=2)))


@pytest.mark.parametrize(
    ("limits", "words"), [({"max_sample_rate": 8000}, "16000 Hz"), ({"max_channels": 1}, "2 channels"),
                          ({"max_duration_s": 0.1}, "reaches to")],
)  # fmt: skip
def test_limits_hold_for_sound(tmp_path: Path, limits: dict, words: str) -> None:
    path = make(tmp_path / "v.wav", sounds=[(0.0, tone(0.2, 16000))], audio_codec="pcm_s16le", layout="stereo")
    with pytest.raises(LimitError, match=rf"{words}.*media\.{next(iter(limits))}"):
        read_audio(path, limits=MediaLimits(**limits))


def test_samples_that_are_no_number_become_silence_and_the_rest_stays(tmp_path: Path) -> None:
    samples = sounds()
    del samples["192 kHz.mkv"]
    heard = {name: read_audio(_floating(tmp_path / name, given)).samples[:] for name, given in samples.items()}
    for track in heard.values():
        assert len(track) == 16000
        assert np.abs(track).max() <= 1.0
    expected, spoilt = tone(1.0, 16000), ~np.isfinite(samples["not a number.mkv"])
    expected[spoilt] = 0
    assert heard["not a number.mkv"] == pytest.approx(expected, abs=1e-6)
    assert not heard["all nan.mkv"].any()
    assert (heard["direct current.mkv"] == 1).all()


def _floating(path: Path, samples: np.ndarray) -> Path:
    return matroska(path, [sound(16000, 1, True)], [(0, 0, samples.tobytes())])


def test_length_is_what_is_stored_and_not_what_is_claimed(tmp_path: Path) -> None:
    frames = [(0, 40 * k, jpeg()) for k in range(25)]
    path = matroska(tmp_path / "v.mkv", [pictures()], frames, duration_ms=4e6)
    assert probe(path).duration_s == pytest.approx(4000)
    assert length(path) == pytest.approx(1.0, abs=0.05)


def test_a_movie_is_redrawn_at_times_that_lie_less_than_a_millisecond_apart(tmp_path: Path) -> None:
    path = make(tmp_path / "fast.mp4", [k / 4500 for k in range(50)])
    rewrite_movie(path, tmp_path / "out.mp4", lambda frame: grey(frame.index))
    assert frame_times(tmp_path / "out.mp4") == pytest.approx(frame_times(path), abs=1e-5)


@pytest.mark.parametrize("name", ["changes all.ts", "beyond scale.mkv", "all nan.mkv", "few and far.mp4"])
def test_a_redrawn_movie_has_the_times_and_the_sound_of_what_is_odd(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    next(file for file in odd() if file.name == name).write(path)
    rewrite_movie(path, tmp_path / "out.mp4", lambda frame: grey(9))
    assert frame_times(tmp_path / "out.mp4") == pytest.approx(frame_times(path), abs=2e-5)
    given, made = read_audio(path), read_audio(tmp_path / "out.mp4")
    assert len(made.samples) == pytest.approx(len(given.samples), abs=1024)  # AAC fills its last block
