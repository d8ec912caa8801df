"""Values that are equivalent are equal: one recording in many wrappings has the same rows, times and predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly
from zero_shot_clips import speech

from iaca.corpora.demo.face import Expression, FaceFrame, Pose
from iaca.corpora.demo.plan import Identity
from iaca.corpora.demo.render import Puppet
from iaca.inference import Predictor
from iaca.media import read_audio, read_frames
from media.make_media import WAYS, set_display_matrix
from shared import SHARED, needs_shared

FPS, COUNT, RATE = 25, 60, 48_000
WIDTH, HEIGHT = 512, 384
TOLERANCE = 0.03
"""Of valence and arousal."""
Image = NDArray[np.uint8]
Images = Sequence[Image]


@dataclass(frozen=True)
class Recording:
    """Pictures at times (s), and sound (n,) at `RATE` from 0 s."""

    images: Images
    times: NDArray[np.float64]
    sound: NDArray[np.float32]


@cache
def made() -> Recording:
    """A person who begins to smile in the middle, and speaks ever louder."""
    puppet = Puppet(Identity(), FaceFrame(WIDTH / 2, 150.0, 80.0), (WIDTH, HEIGHT))
    room = np.full((HEIGHT, WIDTH, 3), (96, 110, 104), np.uint8)
    images = []
    for k in range(COUNT):
        face = Expression(smile=float(np.clip((k - 20) / 15, 0.1, 1)))
        images.append(puppet.draw(room, face, Pose(yaw=0.1 * np.sin(k / 9))))
    voice = np.concatenate([speech(-0.5, seconds=1.2), speech(0.8, seconds=1.2)])
    sound = resample_poly(voice, RATE // 16_000, 1).astype(np.float32)
    return Recording(images, np.arange(COUNT) / FPS, 0.5 * sound / np.abs(sound).max())


@dataclass(frozen=True)
class Form:
    """How a recording is stored. The defaults lose nothing.

    Attributes:
        ending: of the file, which names the container.
        codec, pixels, quality: of the pictures: encoder, pixel format, options.
        b_frames: pictures in a row that may refer to later ones.
        tick: unit (s) of their timestamps.
        size: width and height of the stored pictures; None as they are.
        aspect: width of a pixel by its height.
        way: how the stored pictures are displayed (`WAYS`).
        voice, rate, layout, signs: of the sound: encoder, rate (Hz), channels, and the gain of each channel.
        start: of the container's clock (s).
        declared: frame rate in the header (Hz).
        options: of the container.
        matrix, tag: colour matrix of the pictures, by PyAV's name and by number (ITU-T H.273).
        hidden: length (s) of other pictures and sound before the recording, at negative times: an edit list hides them.
        late: time (s) of the first picture, where a container can't hide what precedes it: the samples that an encoder
            of sound starts with, or the delay of reordered pictures.
    """

    ending: str = "mkv"
    codec: str = "ffv1"
    pixels: str = "yuv420p"
    quality: dict[str, str] = field(default_factory=dict)
    b_frames: int = 0
    tick: Fraction = Fraction(1, 90_000)
    size: tuple[int, int] | None = None
    aspect: Fraction = Fraction(1)
    way: str = "identity"
    voice: str = "pcm_s16le"
    rate: int = RATE
    layout: str = "mono"
    signs: tuple[float, ...] = (1.0,)
    start: float = 0.0
    declared: Fraction = Fraction(FPS)
    options: dict[str, str] = field(default_factory=dict)
    matrix: tuple[str, int] | None = None
    hidden: float = 0.0
    late: float = 0.0


@contextmanager
def same_priority() -> Iterator[None]:
    """Undo what SVT-AV1 does to a process of root: it takes the highest real-time priority, which would stay with this
    process and all that it starts. Browsers then wait for each other on all cores, and nothing else runs."""
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)


def store(path: Path, form: Form, recording: Recording) -> Path:
    """Write a recording in a form."""
    undo = next(way for _, way in WAYS.values() if undoes(way, WAYS[form.way][1]))
    images = [np.ascontiguousarray(undo(image)) for image in recording.images]
    if form.size is not None:
        images = [
            cv2.resize(
                image, form.size, interpolation=cv2.INTER_CUBIC if form.size[0] > image.shape[1] else cv2.INTER_AREA
            )
            for image in images
        ]
    with same_priority(), av.open(str(path), "w", options=form.options) as container:
        video = container.add_stream(form.codec, rate=form.declared, options=form.quality)
        video.height, video.width, video.pix_fmt = *images[0].shape[:2], form.pixels
        video.codec_context.time_base = form.tick
        video.codec_context.max_b_frames = form.b_frames
        if form.matrix is not None:
            video.codec_context.colorspace = form.matrix[1]
        if form.aspect != 1:
            video.codec_context.sample_aspect_ratio = form.aspect
        audio = container.add_stream(form.voice, rate=form.rate, layout=form.layout)
        audio.codec_context.bit_rate = 192_000
        for block in blocks(recording.sound, form):
            container.mux(audio.encode(block))
        before = -np.arange(round(form.hidden * FPS), 0, -1) / FPS
        shown = [*((time, np.full_like(images[0], 128)) for time in before), *zip(recording.times, images, strict=True)]
        for time, image in shown:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if form.matrix is not None:
                frame = frame.reformat(format=form.pixels, dst_colorspace=form.matrix[0])
            frame.pts, frame.time_base = round((time + form.start) / form.tick), form.tick
            container.mux(video.encode(frame))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    return path if form.way == "identity" else set_display_matrix(path, WAYS[form.way][0])


def undoes(way: Callable[[Image], Image], other: Callable[[Image], Image]) -> bool:
    probe = np.arange(6).reshape(2, 3)
    back = other(way(probe))
    return back.shape == probe.shape and bool((back == probe).all())


def blocks(sound: NDArray[np.float32], form: Form) -> Iterator[av.AudioFrame]:
    """Frames of the sound in this rate and layout."""
    ratio = Fraction(form.rate, RATE)
    samples = resample_poly(sound, ratio.numerator, ratio.denominator).astype(np.float32)
    hidden = round(form.hidden * form.rate)
    samples = np.concatenate([0.5 * np.sin(np.arange(hidden, dtype=np.float32)), samples])
    channels = np.stack([gain * samples for gain in form.signs])
    for at in range(0, channels.shape[1], 1024):
        block = np.ascontiguousarray(channels[:, at : at + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=form.layout)
        frame.sample_rate, frame.time_base = form.rate, Fraction(1, form.rate)
        frame.pts = round(form.start * form.rate) - hidden + at
        yield frame


H264 = {"crf": "4", "preset": "fast"}
H265 = {"crf": "4", "preset": "ultrafast", "x265-params": "log-level=none"}
AV1 = {"crf": "12", "preset": "10"}
VPX = {"b": "8M", "cpu-used": "8", "deadline": "realtime"}
STEREO = {"layout": "stereo", "signs": (1.0, 1.0)}
BEST = {"global_quality": "236", "flags": "+qscale"}
MP4 = Form("mp4", "libx264", "yuv420p", H264, voice="aac")
STEADY, MS = Fraction(1, FPS), Fraction(1, 1000)
FORMS = {
    # containers and codecs
    "mp4, H.264, AAC": MP4,
    "mp4, B-frames": replace(MP4, b_frames=3),
    "mp4, HEVC of 10 bits": replace(MP4, codec="libx265", pixels="yuv420p10le", quality=H265),
    "mp4, AV1": replace(MP4, codec="libsvtav1", quality=AV1),
    "mkv, FLAC": Form(voice="flac"),
    "mkv, H.264 of full range": Form(codec="libx264", pixels="yuvj420p", quality=H264, voice="libmp3lame"),
    "mov, ProRes, 24 bits": Form("mov", "prores_ks", "yuv422p10le", voice="pcm_s24le"),
    "mov, motion JPEG": Form("mov", "mjpeg", "yuvj422p", BEST),
    "mov, ALAC": replace(MP4, ending="mov", voice="alac"),
    "avi, MPEG-4": Form("avi", "mpeg4", "yuv420p", BEST, tick=STEADY),
    "avi, motion JPEG, PCM": Form("avi", "mjpeg", "yuvj422p", BEST, tick=STEADY),
    "webm, VP9": Form("webm", "libvpx-vp9", "yuv420p", {**VPX, "crf": "4"}, voice="libopus"),
    "webm, VP8": Form("webm", "libvpx", "yuv420p", {**VPX, "crf": "4"}, voice="libopus"),
    "transport stream, MPEG-2": Form("ts", "mpeg2video", "yuv420p", BEST, tick=STEADY, voice="mp2"),
    "mpg, MPEG-1": Form("mpg", "mpeg1video", "yuv420p", BEST, tick=STEADY, voice="mp2"),
    "flv": replace(MP4, ending="flv", tick=MS, rate=44_100, voice="pcm_s16le"),
    "mkv, RGB": Form(pixels="bgr0"),
    "mkv, 4:4:4 of 16 bits": Form(pixels="yuv444p16le"),
    "mov, RGB with alpha": Form("mov", "qtrle", "argb"),
    "mp4, BT.709": replace(MP4, matrix=("ITU709", 1)),
    "mp4, interlaced by its flags": replace(MP4, quality={**H264, "flags": "+ildct+ilme", "x264-params": "tff=1"}),
    "wmv": Form("wmv", "wmv2", "yuv420p", BEST, tick=MS, rate=44_100, **STEREO, voice="wmav2", late=0.046),
    # how the picture is displayed
    **{f"displayed {way}": replace(MP4, way=way) for way in WAYS if way != "identity"},
    "pixels 4:3": replace(MP4, size=(WIDTH * 3 // 4, HEIGHT), aspect=Fraction(4, 3)),
    "pixels 64:45": replace(MP4, size=(360, HEIGHT), aspect=Fraction(64, 45)),
    "half the lines": replace(MP4, size=(WIDTH, HEIGHT // 2), aspect=Fraction(1, 2)),
    # clocks
    "stamps in ms": replace(MP4, ending="mkv", tick=MS),
    "stamps in 600ths": replace(MP4, ending="mov", tick=Fraction(1, 600)),
    "declared at 60 Hz": replace(MP4, declared=Fraction(60)),
    "declared at 1000 Hz": replace(MP4, ending="mkv", declared=Fraction(1000)),
    "starts at 0.5 s": replace(MP4, start=0.5, voice="alac"),
    "starts at 0.5 s, mkv": Form(start=0.5),
    "starts after three hours": replace(MP4, ending="ts", start=10_800.0, voice="mp2"),
    "no edit list": replace(MP4, b_frames=2, options={"use_editlist": "0"}, late=0.08),
    "hidden by an edit list": replace(MP4, hidden=0.4, options={"avoid_negative_ts": "disabled"}),
    "hidden by an edit list, B-frames": replace(
        MP4, hidden=0.4, b_frames=2, ending="mov", voice="alac", options={"avoid_negative_ts": "disabled"}
    ),
    "fragments": replace(MP4, b_frames=2, options={"movflags": "frag_keyframe+empty_moov"}, late=0.08),
    # sound
    **{f"sound at {rate} Hz": Form(rate=rate) for rate in (16_000, 22_050, 32_000, 44_100, 96_000)},
    "stereo": Form(**STEREO),
    "stereo, left only": Form(layout="stereo", signs=(1.0, 0.0)),
    "stereo, opposite phase": Form(layout="stereo", signs=(1.0, -1.0)),
    "5.1, voice in the middle": Form(layout="5.1", signs=(0.0, 0.0, 1.0, 0.0, 0.0, 0.0)),
    "at a tenth of the level": Form(signs=(0.1,), voice="pcm_s24le"),
    "floating point": Form(voice="pcm_f32le"),
    # size
    "three quarters of the size": replace(MP4, size=(WIDTH * 3 // 4, HEIGHT * 3 // 4)),
    "odd sides": Form(pixels="yuv444p", size=(WIDTH - 1, HEIGHT - 3)),
    "twice the size": replace(MP4, size=(WIDTH * 2, HEIGHT * 2)),
}  # fmt: skip


QUICK = ("mp4, B-frames", "webm, VP8", "displayed transposed", "pixels 4:3", "stereo, opposite phase", "fragments")
"""The rest is slow, together."""
EACH = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FORMS]


@pytest.fixture(scope="module")
def model() -> Predictor:
    return Predictor.load("zero_shot")


@pytest.fixture(scope="module")
def expected(model: Predictor, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Predictions for the recording as it is stored without loss."""
    table = model.predict(store(tmp_path_factory.mktemp("stored") / "a.mkv", Form(), made()))
    assert table["face_found"].all()
    assert table["audio_present"].all()
    assert np.ptp(table["arousal"]) > 5 * TOLERANCE  # sound that is moved would be noticed
    return table


def check(table: pd.DataFrame, expected: pd.DataFrame, form: Form) -> None:
    """As many rows, at the same times within half a frame, with the same values."""
    assert len(table) == len(expected)
    assert np.abs(table["time_s"] - expected["time_s"] - form.late).max() < 0.5 / FPS
    assert table["face_found"].equals(expected["face_found"])
    for name in ("valence", "arousal"):
        assert np.abs(table[name] - expected[name]).max() < TOLERANCE, name


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_one_recording_in_another_wrapping_has_the_same_predictions(
    model: Predictor, expected: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    form = FORMS[name]
    check(model.predict(store(tmp_path / f"a.{form.ending}", form, made())), expected, form)


@pytest.fixture(scope="module")
def filmed() -> Recording:
    """A real recording: a face from rest to a smile, in 640 x 360 at 30 Hz."""
    path = SHARED / "media" / "single_face.mp4"
    frames, sound = list(read_frames(path)), read_audio(path, RATE)
    times = np.array([frame.time_s for frame in frames])
    return Recording([frame.image for frame in frames], times, np.asarray(sound.samples[:], np.float32))


@pytest.fixture(scope="module")
def expected_of_filmed(model: Predictor, filmed: Recording, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    table = model.predict(store(tmp_path_factory.mktemp("filmed") / "a.mkv", Form(), filmed))
    assert np.ptp(table["valence"]) > 0.5
    return table


@needs_shared("media")
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.tick != STEADY])
def test_a_real_recording_in_another_wrapping_has_the_same_predictions(
    model: Predictor, filmed: Recording, expected_of_filmed: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    form = FORMS[name]
    if form.size is not None:
        height, width = filmed.images[0].shape[:2]
        form = replace(form, size=(form.size[0] * width // WIDTH // 2 * 2, form.size[1] * height // HEIGHT // 2 * 2))
    if form.b_frames and form.late:
        form = replace(form, late=2 / 30)
    check(model.predict(store(tmp_path / f"a.{form.ending}", form, filmed)), expected_of_filmed, form)
