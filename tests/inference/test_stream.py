"""`Predictor.stream`: frames and sound as they arrive give what the whole recording gives."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from skimage.data import astronaut
from zero_shot_clips import clip, speech

from iaca.encoders.config import EmbeddingConfig, identity
from iaca.errors import InputError
from iaca.fusion import FusionModel, preset
from iaca.inference import Predictor
from iaca.inference.config import NAMED
from iaca.inference.members import FIRST, AdaptedModel
from iaca.inference.stream import RATE, WAIT_S
from iaca.inference.zero_shot import ZeroShot
from iaca.media import read_audio, read_frames, write_movie
from iaca.training.calibration import CASES, Calibration, Intervals
from iaca.training.model_file import TrainedModel, save_model
from iaca.training.sample import Normalisation
from project import ROOT

CAUSAL = EmbeddingConfig(causal=True)
FPS, SECONDS = 15, 3.2
TOLERANCE = 1e-6
MODELS = {
    "iaca": {},
    "iaca_plus": {"readings": "none", "lookahead": 3, "cues": ("snr_estimate", "synchrony", "mouth_motion")},
    "mha": {"temporal": "lstm"},
    "rjca": {"temporal": "transformer"},
}


def picture(k: int) -> np.ndarray:
    """The portrait, moving and turning slowly; hidden for half a second, and out of view at the end."""
    angle, shift = 6 * np.sin(k / 9), (10 * np.sin(k / 5), 4 * np.cos(k / 7))
    matrix = cv2.getRotationMatrix2D((222, 120), angle, 0.7)
    matrix[:, 2] += np.array([160, 120]) - (222, 120) + shift
    image = cv2.warpAffine(astronaut(), matrix, (320, 240))
    if 14 <= k < 21 or k >= 44:
        image[:] = np.random.default_rng(0).integers(90, 110, image.shape)
    return np.asarray(image, np.uint8)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """A person who speaks, at a rate that is no divisor of the sound's; the sound ends before the picture."""
    path = tmp_path_factory.mktemp("stream") / "person.mp4"
    times = np.cumsum(np.r_[0.0, np.tile([0.061, 0.072], 40)])[: int(FPS * SECONDS)]
    sound = speech(0.5, seconds=2.6)
    sound[20_000:24_000] = 0.0
    write_movie(path, ((t, picture(k)) for k, t in enumerate(times)), FPS, sound, RATE)
    return path


def model_file(folder: Path, name: str, calibrated: bool = True, **changes) -> Path:
    """An untrained causal model whose every part counts, with intervals."""
    torch.manual_seed(1)
    dims = CAUSAL.dim("audio"), CAUSAL.dim("visual")
    fusion = preset(name, *dims, causal=True, width=16, **{"memory": 20, **changes})
    model = FusionModel(fusion)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    spread = {"audio": np.float32(10), "visual": np.float32(2), "quality": np.float32(5)}
    counts = {"audio": dims[0], "visual": dims[1], "quality": len(fusion.cues)}
    moments = [x for m, n in counts.items() for x in (np.zeros(n, np.float32), np.full(n, spread[m]))]
    rng = np.random.default_rng(0)
    ones = np.ones(CASES, np.float32)
    weights = rng.normal(size=(CASES + 1, 2)).astype(np.float32) / 20
    bounds, quantile = np.array([[-3, -3], [1, 1]], np.float32), np.array([0.3, 0.4], np.float32)
    intervals = Intervals(0 * ones, ones, weights, bounds, quantile)
    calibration = Calibration(fusion.modalities, None, None, intervals, {"intervals": "made up"}, None, True)
    trained = TrainedModel(fusion, model.state_dict(), Normalisation(*moments), identity(CAUSAL))
    path = folder / f"{name}.safetensors"
    save_model(replace(trained, calibration=calibration if calibrated else None), path)
    return path


def streamed(predictor: Predictor, video: Path, pieces: np.random.Generator | None = None) -> pd.DataFrame:
    """The rows of a recording that is played into a stream, its sound in pieces of any size."""
    stream, rows, place = predictor.stream(), [], 0
    samples = read_audio(video).samples[:]
    for frame in read_frames(video):
        ahead = int(pieces.integers(1, 3000)) if pieces else 1600
        stop = max(place, min(int(frame.time_s * RATE) + ahead, len(samples)))
        cuts = np.unique(np.r_[place, stop, pieces.integers(place, stop + 1, 2) if pieces and stop > place else []])
        for first, last in pairwise(cuts.astype(int)):
            rows += stream.sound(samples[first:last])
        place = stop
        rows += stream.frame(frame.image, frame.time_s)
    rows += stream.finish()
    return pd.DataFrame(rows)


def assert_equal(streamed: pd.DataFrame, offline: pd.DataFrame, tolerance: float = TOLERANCE) -> None:
    assert list(streamed.columns) == list(offline.columns)
    assert len(streamed) == len(offline)
    for column in offline.columns.drop("clip"):
        np.testing.assert_allclose(
            streamed[column].to_numpy(float), offline[column].to_numpy(float), rtol=0, atol=tolerance, err_msg=column
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_stream_gives_the_rows_of_the_whole_recording(name: str, video: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(model_file(tmp_path, name, **MODELS[name]))
    offline = predictor.predict(video)
    assert offline[["valence", "arousal"]].std().min() > 0.01
    assert 0.5 < offline["face_found"].mean() < 0.9
    assert 0.5 < offline["audio_present"].mean() < 0.9
    assert offline["valence_low"].notna().any()
    assert_equal(streamed(predictor, video, np.random.default_rng(3)), offline)


@pytest.mark.slow
def test_several_models_that_look_ahead_differently_are_averaged(video: Path, tmp_path: Path) -> None:
    paths = [model_file(tmp_path, name, **MODELS[name]) for name in ("iaca", "iaca_plus")]
    predictor = Predictor.load(paths)
    assert_equal(streamed(predictor, video), predictor.predict(video))


@pytest.mark.slow
def test_a_row_comes_with_its_frame_when_its_sound_is_there_and_after_the_lookahead(tmp_path: Path) -> None:
    image = picture(3)
    for name, ahead in (("iaca", 0), ("iaca_plus", 3)):
        stream = Predictor.load(model_file(tmp_path, name, **MODELS[name])).stream()
        counts = []
        for k in range(8):
            stream.sound(np.zeros(1600, np.float32))
            counts.append(len(stream.frame(image, 0.1 * k)))
        assert counts == [0] * ahead + [1] * (8 - ahead)
        assert len(stream.finish()) == ahead
        assert stream.box is not None


def test_a_frame_waits_for_its_sound_but_not_for_ever(tmp_path: Path) -> None:
    stream = Predictor.load(model_file(tmp_path, "iaca")).stream()
    image, tone = picture(3), 0.2 * np.sin(np.arange(16_000) / 20).astype(np.float32)
    assert not stream.frame(image, 0.0)
    assert not stream.frame(image, 0.5)
    rows = stream.sound(tone[:8000])  # up to 0.5 s, and not what is heard at 0.5 s
    assert [row["frame"] for row in rows] == [0]
    assert [row["audio_present"] for row in stream.sound(tone[:160])] == [True]
    assert not stream.frame(image, 0.6)
    rows = stream.frame(image, 0.6 + WAIT_S)
    assert [(row["frame"], row["audio_present"]) for row in rows] == [(2, False)]
    rows = stream.sound(tone, start_s=0.7)  # some of it is too late, the rest is not
    rows += stream.sound(tone)
    assert [(row["frame"], row["audio_present"]) for row in rows] == [(3, True)]


def test_a_gap_in_the_sound_is_not_observed_as_in_a_recording(tmp_path: Path) -> None:
    stream, image = Predictor.load(model_file(tmp_path, "iaca")).stream(), picture(3)
    tone = 0.2 * np.sin(np.arange(16_000) / 20).astype(np.float32)
    rows = [*stream.sound(tone[:4000], 0.1), *stream.sound(tone, 0.65)]
    for k in range(12):
        rows += stream.frame(image, k / 10 + 0.01)
    rows += stream.finish()
    heard = [k for k, row in enumerate(rows) if row["audio_present"]]
    assert heard == [1, 2, 3, 7, 8, 9, 10, 11]


@pytest.mark.slow
def test_sound_of_another_rate_is_resampled(video: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(model_file(tmp_path, "iaca"))
    seconds = np.arange(3 * 48_000) / 48_000
    tables = []
    for rate in (48_000, RATE):
        stream, rows = predictor.stream(), []
        tone = (0.3 * np.sin(2 * np.pi * 300 * seconds[:: 48_000 // rate])).astype(np.float32)
        for k in range(20):
            rows += stream.sound(tone[k * rate // 10 : (k + 1) * rate // 10], rate=rate)
            rows += stream.frame(picture(3), k / 10)
        tables.append(pd.DataFrame(rows + stream.finish()))
    assert tables[0]["audio_present"].iloc[:-1].all()
    np.testing.assert_allclose(tables[0]["arousal"].iloc[5:-1], tables[1]["arousal"].iloc[5:-1], atol=0.05)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda s: s.frame(np.zeros((4, 4), np.uint8), 0.0), "not uint8"),
        (lambda s: s.frame(np.zeros((4, 4, 3), np.float32), 0.0), "a frame is float32"),
        (lambda s: s.frame(picture(0), float("nan")), "time nan s is not above"),
        (lambda s: [s.frame(picture(0), 1.0), s.frame(picture(0), 1.0)], "time 1.0 s is not above"),
        (lambda s: s.sound(np.zeros((2, 5), np.float32)), "not mono"),
        (lambda s: s.sound(np.zeros(5, np.int16)), "sound is int16"),
        (lambda s: s.sound(np.zeros(5, np.float32), start_s=-1.0), "can't start at -1.0 s"),
        (lambda s: [s.sound(np.zeros(5, np.float32)), s.sound(np.zeros(5, np.float32), rate=8000)], "8000 Hz after"),
    ],
)
def test_what_is_no_frame_or_sound_is_refused(call, named: str) -> None:
    with pytest.raises(InputError, match=named):
        call(Predictor.load("zero_shot").stream())


def test_models_that_read_ahead_are_refused(tmp_path: Path) -> None:
    fusion = preset("concat", 44, 135, width=8)
    moments = [x for n in (44, 135) for x in (np.zeros(n, np.float32), np.ones(n, np.float32))]
    later = TrainedModel(fusion, FusionModel(fusion).state_dict(), Normalisation(*moments), identity(CAUSAL))
    save_model(later, tmp_path / "later.safetensors")
    with pytest.raises(InputError, match="reads later steps"):
        Predictor.load(tmp_path / "later.safetensors").stream()
    causal = preset("concat", 44, 135, width=8, causal=True)
    centred = replace(
        later, config=causal, weights=FusionModel(causal).state_dict(), metadata=identity(EmbeddingConfig())
    )
    save_model(centred, tmp_path / "centred.safetensors")
    with pytest.raises(InputError, match=r"embedding\.causal=true"):
        Predictor.load(tmp_path / "centred.safetensors").stream()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero_shot", "adapted"])
def test_zero_shot_and_adapted_models_run_on_the_past_alone(name: str, video: Path, tmp_path: Path) -> None:
    if name == "adapted":
        config = ZeroShot.read(NAMED["zero_shot"]).config
        weights = np.random.default_rng(0).normal(size=(FIRST + 2 + 44 + 135, 2)) / 500
        AdaptedModel(config, weights, identity(config.embedding)).save(tmp_path / "adapted.safetensors")
    predictor = Predictor.load("zero_shot" if name == "zero_shot" else tmp_path / "adapted.safetensors")
    one = streamed(predictor, video)
    offline = predictor.predict(video)
    assert list(one.columns) == list(offline.columns)
    assert len(one) == len(offline)
    assert one["valence"].std() > 0.005
    assert not np.allclose(one["valence"], offline["valence"], atol=1e-3, equal_nan=True)
    stream, rows, changed = predictor.stream(), [], read_audio(video).samples[:].copy()
    changed[RATE:] = 0.5 * np.sin(np.arange(len(changed) - RATE) / 3)  # the future is another one after 1 s
    for k, frame in enumerate(read_frames(video)):
        rows += stream.sound(changed[k * 1600 : (k + 1) * 1600])
        rows += stream.frame(frame.image if frame.time_s < 1.0 else np.zeros_like(frame.image), frame.time_s)
    other = pd.DataFrame(rows + stream.finish())
    before = one["time_s"] < 0.95
    gates = [column for column in one.columns if column.startswith("gate_")]
    columns = ["valence", "arousal", "inconsistency", *gates]
    np.testing.assert_allclose(one.loc[before, columns], other.loc[before, columns], atol=1e-6)
    assert not np.allclose(one["valence"].iloc[-25:-10], other["valence"].iloc[-25:-10], atol=1e-2, equal_nan=True)


def test_the_zero_shot_stream_settles_where_the_whole_recording_does() -> None:
    """A face and a voice that do not change: past, future and both have the same averages, but for the own mean."""
    model = ZeroShot.read(NAMED["zero_shot"])
    steady = clip("happy", steps=400)
    whole, past = model.predict(steady), model.stream().push(steady)
    np.testing.assert_allclose(past.prediction[-1], whole.prediction[200], atol=2e-2)  # 8 s from either end
    alone = model.stream()
    one_by_one = np.concatenate([alone.push(steady.part(slice(i, i + 1))).prediction for i in range(400)])
    np.testing.assert_allclose(one_by_one, past.prediction, atol=1e-6)
    happy_then_sad = clip({"happy": np.arange(400) < 200, "sad": np.arange(400) >= 200}, steps=400)
    first = model.stream().push(happy_then_sad.part(slice(200))).prediction
    np.testing.assert_array_equal(model.stream().push(happy_then_sad).prediction[:200], first)


@pytest.mark.slow
def test_memory_does_not_grow(tmp_path: Path) -> None:
    def size(thing: object, seen: set[int]) -> int:
        if id(thing) in seen:
            return 0
        seen.add(id(thing))
        if isinstance(thing, np.ndarray | torch.Tensor):
            return int(thing.nbytes)
        if isinstance(thing, dict):
            return sum(size(x, seen) for pair in thing.items() for x in pair)
        if isinstance(thing, list | tuple | set) or type(thing).__name__ == "deque":
            return sum(size(x, seen) for x in thing)
        return size(vars(thing), seen) if hasattr(thing, "__dict__") else 8

    stream = Predictor.load(model_file(tmp_path, "iaca_plus", **MODELS["iaca_plus"])).stream()
    images, sizes = [picture(k) for k in range(30)], []
    noise = np.random.default_rng(0).normal(0, 0.05, 1600).astype(np.float32)
    for k in range(300):
        stream.sound(noise)
        stream.frame(images[k % 30], k / 10)
        sizes.append(size(stream, set()))
    assert max(sizes[200:]) < 1.02 * max(sizes[100:200])


@pytest.mark.slow
def test_importing_the_library_starts_no_stream() -> None:
    code = "import sys, iaca.inference; sys.exit('iaca.inference.stream' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
