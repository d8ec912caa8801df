"""The encoder `blendshapes`: what it sees of an aligned face, and what its columns say of a real one."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skimage.data
import torch
from pydantic import ValidationError

from iaca.encoders import blendshapes
from iaca.encoders.blendshapes import BELOW, MEMBERS, NAMES, POINTS, READ, SIDE, SPAN, Blendshapes, view
from iaca.encoders.config import EmbeddingConfig, EncoderChoice, NoOptions, describe
from iaca.encoders.cues import NAMES as CUES
from iaca.encoders.embed import NUMBERS as FACE_NUMBERS
from iaca.encoders.embed import StreamEmbedder, embed, jaw_opening, with_faces, with_sound
from iaca.encoders.networks import build_encoders, build_network
from iaca.encoders.weights import WEIGHTS, locate, sha256
from iaca.errors import InputError
from iaca.faces import encode_face
from iaca.faces.detect import TEMPLATE, align, apply, similarity
from iaca.faces.extract import NUMBERS as FACE_STORE
from iaca.faces.extract import FaceRow
from iaca.media import AudioTrack
from iaca.training.config import EncoderTrainingConfig
from shared import SHARED, needs_shared

LANDMARKS = np.array([[203.0, 101.0], [246.0, 103.0], [224.0, 126.0], [203.0, 146.0], [241.0, 147.0]])
"""Of the astronaut, px, by hand."""


def available() -> bool:
    try:
        return find_spec("ai_edge_litert") is not None and locate("blendshapes").is_file()
    except InputError:
        return False


needs_landmarker = pytest.mark.skipif(
    not available(), reason="needs the package ai-edge-litert and `python -m iaca.encoders get blendshapes`"
)


@pytest.fixture(scope="module")
def network() -> Blendshapes:
    return Blendshapes(NoOptions(), locate("blendshapes"))


@pytest.fixture(scope="module")
def smiling() -> np.ndarray:
    """(112, 112, 3) RGB."""
    return align(skimage.data.astronaut(), LANDMARKS)


def rows(network: Blendshapes, *faces: np.ndarray) -> np.ndarray:
    return network(torch.from_numpy(np.stack([np.ascontiguousarray(face) for face in faces]))).numpy()


def column(name: str) -> int:
    return NAMES.index(name)


def mirrored_columns() -> list[int]:
    """Column of the other side of the face, or of the same coefficient if it has no side."""
    swapped = {"Left": "Right", "Right": "Left"}
    other = {n: n.removesuffix(side) + o for n in NAMES for side, o in swapped.items() if n.endswith(side)}
    return [column(other.get(name, name)) for name in NAMES]


def test_columns_have_names_and_both_sides_of_a_face_are_there() -> None:
    assert len(NAMES) == len(set(NAMES)) == 52
    assert sorted(mirrored_columns()) == list(range(52))
    assert len(READ) == len(set(READ)) == 146
    assert 0 <= min(READ) < max(READ) < POINTS


@pytest.mark.parametrize("side", [112, 224])
def test_the_network_sees_the_face_and_what_is_around_it_at_any_size(side: int) -> None:
    centre = np.array([[(side - 1) / 2, (side - 1) / 2 + BELOW * side]])
    np.testing.assert_allclose(apply(view(side), centre), [[SIDE / 2, SIDE / 2]])
    corners = apply(view(side), np.array([[0, 0], [side, side]]))
    np.testing.assert_allclose(corners[1] - corners[0], SIDE / SPAN)
    assert corners.min() > 0
    assert corners.max() < SIDE


class Interpreter:
    """Stands in for LiteRT: points in the four quarters of the picture, and coefficients that name their input."""

    def __init__(self, content: bytes, score: float):
        self.mesh, self.score = content == MEMBERS[0].encode(), score

    def get_input_details(self) -> list[dict[str, int]]:
        return [{"index": 0}]

    def get_output_details(self) -> list[dict[str, int]]:
        return [{"index": 0}, {"index": 1}] if self.mesh else [{"index": 0}]

    def set_tensor(self, index: int, values: np.ndarray) -> None:
        assert (index, values.dtype) == (0, np.float32)
        assert values.shape == ((1, SIDE, SIDE, 3) if self.mesh else (1, 146, 2))
        assert not self.mesh or values.max() <= 1
        self.given = values

    def invoke(self) -> None:
        self.invoked = True

    def get_tensor(self, index: int) -> np.ndarray:
        if not self.mesh:
            return np.full(52, self.given.mean() / 1000, np.float32)
        points = np.tile(np.float32([SIDE / 2, SIDE / 2, 0]), (POINTS, 1))
        return points.reshape(1, 1, 1, -1) if index == 0 else np.float32([[[[self.score]]]])


@pytest.fixture
def standing_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Blendshapes]:
    """Builds the encoder with `Interpreter`, whose network is as sure of a face as the given logit."""

    def build(score: float) -> Blendshapes:
        path = tmp_path / "own.task"
        with zipfile.ZipFile(path, "w") as archive:
            for name in MEMBERS:
                archive.writestr(name, name)
        monkeypatch.setitem(WEIGHTS, "blendshapes", replace(WEIGHTS["blendshapes"], sha256=sha256(path)))
        monkeypatch.setattr(blendshapes, "_interpreter", lambda content: Interpreter(content, score))
        return Blendshapes(NoOptions(), path)

    return build


def test_points_are_in_px_of_the_face_and_coefficients_are_made_of_them(
    standing_in: Callable[[float], Blendshapes],
) -> None:
    encoder, face = standing_in(3.0), np.full((112, 112, 3), (204, 102, 51), np.uint8)
    points, presence = encoder.mesh(face)
    np.testing.assert_allclose(encoder._mesh.given[0, ::60, ::60], np.full((5, 5, 3), (0.8, 0.4, 0.2)), atol=1e-6)
    np.testing.assert_allclose(points, np.tile([55.5, 55.5 + 9, 0], (POINTS, 1)), atol=1e-4)
    assert presence == pytest.approx(1 / (1 + np.exp(-3)))
    row = rows(encoder, face)[0]
    assert row[0] == pytest.approx(presence)
    np.testing.assert_allclose(row[1:], (55.5 + 64.5) / 2 / 1000, rtol=1e-5)


def test_where_no_face_is_seen_there_are_no_coefficients(standing_in: Callable[[float], Blendshapes]) -> None:
    row = rows(standing_in(-3.0), np.zeros((112, 112, 3), np.uint8))[0]
    assert 0 < row[0] < 0.1
    assert not row[1:].any()


def test_no_other_file_is_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="runs the published file only"):
        build_network(EncoderChoice(name="blendshapes"), "visual", None)
    (tmp_path / "other.task").write_bytes(b"another file")
    with pytest.raises(InputError, match=r"other\.task: .*runs the published file only"):
        Blendshapes(NoOptions(), tmp_path / "other.task")


def test_a_damaged_task_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.task"
    path.write_bytes(b"no archive")
    monkeypatch.setitem(WEIGHTS, "blendshapes", replace(WEIGHTS["blendshapes"], sha256=sha256(path)))
    with pytest.raises(InputError, match=r"own\.task: not a task file of MediaPipe"):
        Blendshapes(NoOptions(), path)


def test_a_missing_package_stops_a_run_before_its_first_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iaca.encoders.config.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package ai-edge-litert.*pip install 'iaca\[blendshapes\]'"):
        describe(EmbeddingConfig(visual="blendshapes"))


def test_it_can_not_be_trained() -> None:
    with pytest.raises(ValidationError, match="blendshapes can't be trained"):
        EncoderTrainingConfig(encoder="blendshapes")


@needs_landmarker
def test_a_smile_is_seen_as_one(network: Blendshapes, smiling: np.ndarray) -> None:
    row = rows(network, smiling)[0]
    assert row[0] > 0.99
    assert min(row[column("mouthSmileLeft")], row[column("mouthSmileRight")]) > 0.6
    assert max(row[column(name)] for name in ("mouthFrownLeft", "browDownLeft", "eyeBlinkLeft")) < 0.3
    assert (row >= 0).all()
    assert (row <= 1).all()


@needs_landmarker
def test_sides_are_those_of_the_person_and_swap_in_a_mirror(network: Blendshapes, smiling: np.ndarray) -> None:
    winking = smiling.copy()
    winking[47:58, 29:48] = smiling[64, 29:48]  # the lid in the colour of the cheek
    winking[55:57, 29:48] = 60  # lashes
    left, right = column("eyeBlinkLeft"), column("eyeBlinkRight")
    plain, mirrored = rows(network, winking, winking[:, ::-1])
    assert plain[right] > plain[left] + 0.2
    assert mirrored[left] > mirrored[right] + 0.2
    assert np.abs(mirrored[mirrored_columns()] - plain).mean() < 0.03


@needs_landmarker
def test_rows_are_the_same_alone_in_a_batch_and_next_to_other_encoders(
    network: Blendshapes, smiling: np.ndarray
) -> None:
    faces = np.stack([smiling, smiling[:, ::-1], np.roll(smiling, 3, axis=0)])
    together = rows(network, *faces)
    np.testing.assert_array_equal(together, np.concatenate([rows(network, face) for face in faces]))
    encoder, _ = build_encoders(EmbeddingConfig(visual="mini_xception+blendshapes", device="cpu"))
    np.testing.assert_array_equal(encoder.encode(faces)[:, 135:], together)


@needs_landmarker
@pytest.mark.parametrize("shade", [0, 128])
def test_an_empty_picture_has_no_face(network: Blendshapes, shade: int) -> None:
    row = rows(network, np.full((112, 112, 3), shade, np.uint8))[0]
    assert row[0] < 0.01
    assert not row[1:].any()


EYES = {
    "left_eye_outer": 33, "left_eye_inner": 133, "right_eye_inner": 362, "right_eye_outer": 263,
    "left_eye_top": 159, "left_eye_bottom": 145, "right_eye_top": 386, "right_eye_bottom": 374,
}  # fmt: skip
"""Groups of the reference, left and right in the picture, and their points."""


@needs_landmarker
@needs_shared("reference/astronaut_landmarks.json")
def test_points_are_where_a_face_mesh_on_the_whole_picture_has_them(network: Blendshapes, smiling: np.ndarray) -> None:
    reference = json.loads((SHARED / "reference/astronaut_landmarks.json").read_text())
    points = apply(similarity(TEMPLATE, LANDMARKS), network.mesh(smiling)[0][:, :2].astype(np.float64))
    distances = [np.linalg.norm(points[point] - reference[group][0]) for group, point in EYES.items()]
    assert np.mean(distances) < 2  # px, the tolerance of the reference


def test_the_opening_of_the_mouth_is_that_of_the_jaw_where_the_landmarker_sees_a_face() -> None:
    config = EmbeddingConfig(visual="mini_xception+blendshapes")
    visual = np.zeros((4, 135 + 52), np.float32)
    visual[:, 135], visual[:, 135 + column("jawOpen")] = (0.9, 0.9, 0.2, 0.9), (0.1, 0.6, 0.0, 0.3)
    visual[:, column("jawOpen")] = 7.0  # of the other encoder
    opening = jaw_opening(visual, np.array([True, True, True, False]), config)["mouth_opening"]
    np.testing.assert_allclose(opening, [0.1, 0.6, np.nan, np.nan], atol=1e-6)
    assert jaw_opening(visual, np.ones(4, bool), EmbeddingConfig()) == {}
    assert describe_without_weights(config) != describe_without_weights(EmbeddingConfig())


def describe_without_weights(config: EmbeddingConfig) -> list[str]:
    return [choice.entry("visual").version for choice in config.visual]


@needs_landmarker
def test_synchrony_follows_the_jaw_and_other_sound_or_faces_keep_it(smiling: np.ndarray) -> None:
    config = EmbeddingConfig(visual="blendshapes", device="cpu")
    steps = 12
    jpegs = [encode_face(np.roll(smiling, i % 3, axis=0), 95) for i in range(steps)]
    table = pd.DataFrame({"time_s": np.arange(steps) / 25, "face_found": True}).assign(
        **dict.fromkeys([name for name in FACE_NUMBERS if name not in ("time_s", "face_found")], np.float32(1))
    )
    tone = (0.1 * np.sin(np.arange(8000) / 5)).astype(np.float32)
    sound = AudioTrack(tone, 16_000, ((0.0, 0.5),))
    clip = embed(table, jpegs, sound, config)
    opening = clip.quality[:, CUES.index("mouth_opening")]
    np.testing.assert_array_equal(opening, clip.visual[:, column("jawOpen")])
    assert opening.std() > 0
    np.testing.assert_array_equal(with_faces(clip, table, jpegs, config).quality, clip.quality)
    np.testing.assert_array_equal(with_sound(clip, sound, config).quality, clip.quality)


@needs_landmarker
def test_other_faces_keep_the_jaw_where_there_is_no_sound_and_nothing_where_there_is_no_face(
    smiling: np.ndarray,
) -> None:
    config = EmbeddingConfig(visual="blendshapes", device="cpu")
    found = np.array([True, True, False, True, False, True])  # sound: in the first half
    jpegs = [encode_face(np.roll(smiling, i, axis=0), 95) if seen else None for i, seen in enumerate(found)]
    table = pd.DataFrame({"time_s": np.arange(6) / 25, "face_found": found}).assign(
        **dict.fromkeys([name for name in FACE_NUMBERS if name not in ("time_s", "face_found")], np.float32(1))
    )
    sound = AudioTrack(0.1 * np.sin(np.arange(1920) / 5).astype(np.float32), 16_000, ((0.0, 0.12),))
    clip = embed(table, jpegs, sound, config)
    assert clip.audio_present.tolist() == [True] * 3 + [False] * 3
    for other in (clip, with_faces(clip, table, jpegs, config), with_sound(clip, sound, config)):
        opening = other.quality[:, CUES.index("mouth_opening")]
        np.testing.assert_array_equal(opening, np.where(found, clip.visual[:, column("jawOpen")], np.nan))


@needs_landmarker
def test_a_stream_takes_the_jaw_as_a_recording_does(smiling: np.ndarray) -> None:
    stream = StreamEmbedder(EmbeddingConfig(visual="blendshapes", device="cpu", causal=True))
    stream.sound.hear(np.zeros(8000, np.float32))
    numbers = np.ones(len(FACE_STORE), np.float32)
    for number in range(2):
        step = stream.step(FaceRow(number, number / 25, numbers, 0, encode_face(smiling, 95)), audio_present=True)
        assert step.quality[0, CUES.index("mouth_opening")] == step.visual[0, column("jawOpen")]
    assert np.isnan(stream.step(FaceRow(2, 0.08), audio_present=True).quality[0, CUES.index("mouth_opening")])
