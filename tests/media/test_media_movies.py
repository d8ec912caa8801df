"""Written movies keep the times of their pictures and the place of their sound."""

from __future__ import annotations

import numpy as np
import pytest
from make_media import grey, make, steady, tone

from iaca.errors import InputError
from iaca.media import frame_times, probe, read_audio, read_frames, rewrite_movie, write_movie
from shared import SHARED, needs_shared


def write(path, times, images=None, **more):
    pictures = zip(times, images if images is not None else [grey(90)] * len(times), strict=True)
    write_movie(path, pictures, 25, **more)
    return path


def test_written_times_come_back(tmp_path):
    times = 0.3 + np.cumsum([0.0, 0.04, 1 / 30, 0.5, 0.011, 0.04])
    path = write(tmp_path / "times.mp4", times, audio=tone(1.0, 16000))
    assert frame_times(path) == pytest.approx(times, abs=2e-5)


def test_equal_input_gives_equal_bytes(tmp_path):
    noise = list(np.random.default_rng(1).integers(0, 255, (6, 48, 64, 3), dtype=np.uint8))
    one, two = (write(tmp_path / n, steady(6), noise, audio=tone(0.3, 16000)) for n in ("one.mp4", "two.mp4"))
    assert one.read_bytes() == two.read_bytes()


def test_odd_sizes_get_one_more_row_and_column(tmp_path):
    path = write(tmp_path / "odd.mp4", steady(2), [grey(90, 47, 61)] * 2)
    assert next(iter(read_frames(path))).image.shape == (48, 62, 3)
    assert probe(path).video_codec == "h264"


def test_a_failed_writing_leaves_nothing_and_keeps_the_old_file(tmp_path):
    old = write(tmp_path / "movie.mp4", steady(2)).read_bytes()
    with pytest.raises(ValueError, match="after"):
        write(tmp_path / "movie.mp4", [0.0, 0.04, 0.04])
    with pytest.raises(ValueError, match="47, 64"):
        write(tmp_path / "movie.mp4", steady(2), [grey(1), grey(1, 47)])
    with pytest.raises(InputError, match="at least one frame"):
        write(tmp_path / "movie.mp4", [])
    assert [p.name for p in tmp_path.iterdir()] == ["movie.mp4"]
    assert (tmp_path / "movie.mp4").read_bytes() == old


@pytest.mark.parametrize(
    ("suffix", "codec", "copied"),
    [(".mp4", "aac", "aac"), (".mkv", "libopus", "opus"), (".mkv", "pcm_s16le", "aac"), (".mkv", "flac", "flac"),
     (".ts", "aac", "aac")],
)  # fmt: skip
def test_rewriting_keeps_times_and_sound(tmp_path, suffix, codec, copied):
    times = 0.2 + np.cumsum([0.0, 0.04, 0.02, 0.3, 0.01, 0.04])
    source = make(
        tmp_path / f"in{suffix}", times, sounds=[(0.0, tone(1.0, 48000, 60.0))], rate=48000, audio_codec=codec
    )
    rewrite_movie(source, tmp_path / "out.mp4", lambda frame: 255 - frame.image)
    before, after = frame_times(source), frame_times(tmp_path / "out.mp4")
    assert after == pytest.approx(before, abs=2e-3)
    assert probe(tmp_path / "out.mp4").audio_codec == copied
    old, new = (read_audio(p).samples[1600:14400] for p in (source, tmp_path / "out.mp4"))
    assert np.corrcoef(old, new)[0, 1] > 0.97  # Matroska rounds to milliseconds: 10 degrees of 60 Hz
    assert next(iter(read_frames(tmp_path / "out.mp4"))).image.mean() == pytest.approx(127, abs=4)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])  # copied, encoded anew
def test_of_a_container_that_starts_later_pictures_and_sound_move_together(tmp_path, codec):
    click = np.zeros(2 * 48_000, np.float32)
    click[48_000:50_400] = tone(0.05, 48_000)[:2400]
    source = make(
        tmp_path / "in.mkv", 3.0 + np.array(steady(50)), sounds=[(3.0, click)], rate=48_000, audio_codec=codec
    )
    rewrite_movie(source, tmp_path / "out.mp4", lambda frame: frame.image)
    assert frame_times(tmp_path / "out.mp4") == pytest.approx(frame_times(source), abs=1e-3)
    onsets = [np.flatnonzero(np.abs(read_audio(p).samples[:]) > 0.05)[0] for p in (source, tmp_path / "out.mp4")]
    assert onsets[0] == pytest.approx(16_000, abs=800)
    assert onsets[1] == pytest.approx(onsets[0], abs=400)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_sound_that_is_encoded_anew_keeps_its_start_and_its_gaps(tmp_path, layout):
    pieces = [(0.25, tone(0.512, 96000)), (1.5, tone(0.512, 96000))]
    sound = {"sounds": pieces, "rate": 96000, "layout": layout, "audio_codec": "pcm_s16le"}
    source = make(tmp_path / "in.mkv", steady(60), **sound)
    rewrite_movie(source, tmp_path / "out.mp4", lambda frame: frame.image)
    old, new = (read_audio(p).samples for p in (source, tmp_path / "out.mp4"))
    for part in (slice(5000, 11000), slice(25000, 31000)):
        assert np.corrcoef(old[part], new[part])[0, 1] > 0.98
    assert np.abs(new[14000:23000]).max() < 0.01


def test_drawings_may_have_another_size_and_see_each_frame_once(tmp_path):
    source = make(tmp_path / "in.mp4", steady(8))
    seen = []

    def draw(frame):
        seen.append((frame.index, frame.time_s))
        return grey(50, 70, 90)

    rewrite_movie(source, tmp_path / "out.mp4", draw)
    assert seen == list(enumerate(frame_times(source)))
    assert {f.image.shape for f in read_frames(tmp_path / "out.mp4")} == {(70, 90, 3)}
    assert not probe(tmp_path / "out.mp4").has_audio


def test_a_rotated_recording_is_drawn_upright_and_loses_its_tag(tmp_path):
    source = make(tmp_path / "in.mp4", steady(3), rotation=90)
    rewrite_movie(source, tmp_path / "out.mp4", lambda frame: frame.image)
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height, info.rotation) == (48, 64, 0)


def test_an_error_while_drawing_leaves_no_file(tmp_path):
    source = make(tmp_path / "in.mp4", steady(3))
    with pytest.raises(ZeroDivisionError):
        rewrite_movie(source, tmp_path / "out.mp4", lambda frame: frame.image // (1 // frame.index))
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.slow
@needs_shared("media")
def test_a_phone_recording_with_late_sound_stays_in_step(tmp_path):
    source = SHARED / "media" / "face_noface.mov"
    rewrite_movie(source, tmp_path / "out.mp4", lambda frame: frame.image[::8, ::8])
    assert frame_times(tmp_path / "out.mp4") == pytest.approx(frame_times(source), abs=1e-4)
    old, new = (read_audio(p).samples[45000:95000] for p in (source, tmp_path / "out.mp4"))
    assert np.corrcoef(old, new)[0, 1] > 0.99
