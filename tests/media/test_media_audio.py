"""Sound lies on the container's clock; where the file holds none there are zeros, and `present` says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_media import grey, make, steady, tone

from iaca.errors import InputError
from iaca.media import AudioTrack, extract_audio, read_audio, read_audio_file, read_frames, write_audio, write_movie
from iaca.media.container import decode
from shared import SHARED, needs_shared

PCM = {"audio_codec": "pcm_s16le"}


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_a_clap_is_seen_and_heard_at_the_same_moment(tmp_path, rate):
    clap, fps = 1.2, 25
    sound = np.zeros(2 * rate, np.float32)
    sound[round(clap * rate) : round((clap + 0.02) * rate)] = tone(0.02, rate, 1000.0, 0.9)
    pictures = ((t, grey(255 if abs(t - clap) < 1e-6 else 0)) for t in steady(50, fps))
    write_movie(tmp_path / "clap.mp4", pictures, fps, sound, rate)
    seen = max(read_frames(tmp_path / "clap.mp4"), key=lambda f: f.image.mean()).time_s
    heard = np.argmax(np.abs(read_audio(tmp_path / "clap.mp4").samples) > 0.3) / 16000
    assert seen == pytest.approx(clap, abs=1e-4)
    assert heard == pytest.approx(seen, abs=0.002)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_any_channels_and_rate_become_mono_at_the_same_level(tmp_path, layout, rate):
    path = make(tmp_path / "sound.wav", sounds=[(0.0, tone(1.0, rate))], rate=rate, layout=layout, **PCM)
    track = read_audio(path)
    assert track.rate == 16000
    assert len(track.samples) == pytest.approx(16000, abs=2)
    assert track.samples[1000:15000] == pytest.approx(tone(1.0, 16000)[1000:15000], abs=0.01)


def test_sound_that_starts_late_is_preceded_by_zeros_that_are_not_present(tmp_path):
    path = make(tmp_path / "late.mkv", steady(50), sounds=[(0.5, tone(1.0, 16000))], **PCM)
    track = read_audio(path)
    assert np.array(track.present) == pytest.approx(np.array([[0.5, 1.5]]), abs=0.002)
    assert not track.samples[:7900].any()
    assert np.abs(track.samples[8100:]).max() > 0.4


def test_a_gap_becomes_zeros_and_what_follows_stays_in_place(tmp_path):
    voice = tone(0.512, 16000)
    path = make(tmp_path / "gap.mkv", steady(60), sounds=[(0.0, voice), (1.5, voice)], **PCM)
    track = read_audio(path)
    assert np.array(track.present) == pytest.approx(np.array([[0.0, 0.512], [1.5, 2.012]]), abs=0.002)
    assert not track.samples[round(0.53 * 16000) : round(1.48 * 16000)].any()
    assert track.samples[24100:31000] == pytest.approx(voice[100:7000], abs=0.05)


def test_jitter_below_20_ms_is_no_gap(tmp_path):
    voice = tone(1.024, 16000)
    pieces = [(0.0, voice[:8192]), (0.512 + 0.012, voice[8192:])]
    track = read_audio(make(tmp_path / "jitter.mkv", steady(30), sounds=pieces, **PCM))
    assert len(track.present) == 1
    assert track.samples[:16000] == pytest.approx(voice[:16000], abs=1e-3)


def test_an_overlap_is_cut_so_that_sound_stays_in_place(tmp_path, monkeypatch):
    voice = tone(1.0, 16000)
    path = make(tmp_path / "lap.wav", sounds=[(0.0, voice)], **PCM)

    def early(source, streams):  # from 8192 on, everything comes 0.1 s earlier; no muxer would write that
        for stream, packet, frames in decode(source, streams):
            for frame in frames:
                frame.pts -= 1600 if frame.pts >= 8192 else 0
            yield stream, packet, frames

    monkeypatch.setattr("iaca.media.audio.decode", early)
    track = read_audio(path)
    assert np.array(track.present) == pytest.approx(np.array([[0.0, 0.9]]), abs=0.002)
    assert track.samples[8300:14000] == pytest.approx(voice[9900:15600], abs=0.01)


def test_a_silent_movie_has_an_empty_track(tmp_path):
    track = read_audio(make(tmp_path / "mute.mp4", steady(3)))
    assert (len(track.samples), track.present) == (0, ())


def test_a_sound_file_is_heard(tmp_path):
    track = read_audio(make(tmp_path / "voice.mp3", sounds=[(0.0, tone(1.0, 16000))], audio_codec="libmp3lame"))
    assert len(track.samples) == pytest.approx(16000, abs=200)


def test_what_is_no_media_file_is_named(tmp_path):
    (tmp_path / "talk.wav").write_text("hello")
    with pytest.raises(InputError, match=r"talk\.wav"):
        read_audio(tmp_path / "talk.wav")


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 4000), st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), max_size=3))
def test_a_track_comes_back_from_disk_to_16_bits(tmp_path_factory, count, present):
    samples = np.random.default_rng(count).uniform(-1, 1, count).astype(np.float32)
    path = tmp_path_factory.mktemp("flac") / "track.flac"
    write_audio(path, AudioTrack(samples, 16000, tuple(present)))
    back = read_audio_file(path)
    assert back.samples[:] == pytest.approx(samples, abs=2**-14)
    assert (back.rate, back.present) == (16000, tuple(present))
    np.testing.assert_array_equal(back.samples[100:300], back.samples[:][100:300])
    assert [p.name for p in path.parent.iterdir()] == ["track.flac"]


def test_streamed_extraction_equals_reading_then_writing(tmp_path):
    voice = tone(0.512, 16000)
    path = make(tmp_path / "gap.mkv", steady(160), sounds=[(0.3, voice), (5.5, voice)], **PCM)
    extract_audio(path, tmp_path / "streamed.flac")
    write_audio(tmp_path / "whole.flac", read_audio(path))
    assert (tmp_path / "streamed.flac").read_bytes() == (tmp_path / "whole.flac").read_bytes()


def test_a_flac_that_is_torn_is_refused_where_it_is_read(tmp_path):
    path, noise = tmp_path / "torn.flac", np.random.default_rng(0).uniform(-1, 1, 64_000).astype(np.float32)
    write_audio(path, AudioTrack(noise, 16000, ((0.0, 4.0),)))
    path.write_bytes(path.read_bytes()[:60_000])
    samples = read_audio_file(path).samples
    assert len(samples[:16_000]) == 16_000
    with pytest.raises(InputError, match=r"torn\.flac"):
        samples[:]
    with pytest.raises(ValueError, match="strides"):
        samples[::2]


def test_a_flac_without_the_tag_is_refused(tmp_path):
    path = make(tmp_path / "plain.flac", sounds=[(0.0, tone(0.2, 16000))], audio_codec="flac")
    with pytest.raises(InputError, match=r"plain\.flac"):
        read_audio_file(path)


@needs_shared("media")
def test_a_recording_whose_sound_starts_late():
    track = read_audio(SHARED / "media" / "face_noface.mov")
    assert len(track.present) == 1
    assert track.present[0] == pytest.approx((2.43, 6.396), abs=0.002)
