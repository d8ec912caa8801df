"""Zero-shot models whose face is read by blendshapes, or by an encoder's own valence and arousal."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from zero_shot_clips import clip

from iaca.encoders.blendshapes import NAMES as BLENDSHAPES
from iaca.encoders.config import EncoderChoice
from iaca.encoders.embedding import ClipEmbedding
from iaca.encoders.networks import build_network
from iaca.errors import InputError
from iaca.inference import Predictor
from iaca.inference.config import NAMED
from iaca.inference.members import FIRST, AdaptedModel
from iaca.inference.zero_shot import CLASSES, FaceRules, ZeroShot, ZeroShotConfig, joined, read_face

PLAIN, SHAPES, HEADS = (
    ZeroShot.read(NAMED[name]) for name in ("zero_shot", "zero_shot_blendshapes", "zero_shot_heads")
)
STEPS = 100


def with_head(valence: object, arousal: object, **changes: object) -> ClipEmbedding:
    """A clip as `enet_b0_8_va_mtl` embeds it, with these outputs of its head."""
    made = clip(sound=False, **changes)
    visual = np.zeros((STEPS, 1290), np.float32)
    visual[:, :-2] = 3.0  # features and expressions are not read
    visual[:, -2], visual[:, -1] = valence, arousal
    return replace(made, visual=visual)


def with_shapes(presence: float = 1.0, expression: str = "neutral", **coefficients: float) -> ClipEmbedding:
    """A clip as `mini_xception+blendshapes` embed it; a coefficient without a side is that of both."""
    made = clip(expression, sound=False)
    rows = np.zeros((STEPS, len(BLENDSHAPES)), np.float32)
    rows[:, 0] = presence
    for name, value in coefficients.items():
        for column in (i for i, other in enumerate(BLENDSHAPES) if other in (name, f"{name}Left", f"{name}Right")):
            rows[:, column] = value
    return replace(made, visual=np.concatenate([made.visual, rows], axis=1))


def middle(model: ZeroShot, made: ClipEmbedding) -> np.ndarray:
    """Valence and arousal in the middle of a clip."""
    return model.predict(made).prediction[STEPS // 2]


def faces_rules(**changes: object) -> dict[str, object]:
    return {**SHAPES.config.face.model_dump(), **changes}


def test_each_model_reads_the_embeddings_of_its_encoders_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iaca.inference.zero_shot.identity", lambda config: {"visual": str(config.visual)})
    read = {name: [choice.name for choice in ZeroShot.read(NAMED[name]).config.embedding.visual] for name in NAMED}
    assert read == {
        "zero_shot": ["mini_xception"],
        "zero_shot_blendshapes": ["mini_xception", "blendshapes"],
        "zero_shot_heads": ["enet_b0_8_va_mtl"],
    }
    for name in NAMED:
        origin = ZeroShot.read(NAMED[name]).metadata
        assert origin["preset"] == name
        assert origin["caveat"].startswith("HEURISTIC")
        others = [encoder for encoder in read[name] if encoder != "mini_xception"]
        assert all(encoder in origin["kind"] for encoder in others)
    assert PLAIN.kind == "zero-shot heuristic"
    assert "trained on still pictures (AffectNet)" in HEADS.metadata["caveat"]
    assert "Never fitted to valence or arousal" in SHAPES.metadata["caveat"]
    assert "Never fitted to valence" not in HEADS.metadata["caveat"]


def test_a_head_takes_the_place_of_the_facial_rule() -> None:
    np.testing.assert_allclose(middle(HEADS, with_head(0.6, -0.4)), (0.6, -0.4), atol=1e-3)
    np.testing.assert_allclose(middle(HEADS, with_head(7.0, -7.0)), (1, -1), atol=1e-3)
    rising = HEADS.predict(with_head(np.linspace(-1, 1, STEPS), 0.0)).prediction[:, 0]
    assert (np.diff(rising[15:-15]) > 0).all()


def test_a_head_counts_as_far_as_the_face_is_trusted() -> None:
    """Half of the faces are too small to be read; the other half says the opposite."""
    halves = np.where(np.arange(STEPS) < 50, 0.8, -0.8)
    small = {"face_size": np.where(np.arange(STEPS) < 50, 150.0, 10.0)}
    said = HEADS.predict(with_head(halves, 0.0, cues=small)).prediction[:, 0]
    assert said[25] == pytest.approx(0.8, abs=0.01)
    assert said.min() >= 0
    assert not HEADS.predict(with_head(0.8, 0.8, face=False)).prediction.any()


def test_a_voice_is_joined_to_a_head_as_to_the_rule() -> None:
    aroused = {"pitch_median": 1.8}
    heard = replace(with_head(0.5, 0.5), audio=clip(voice=aroused).audio, audio_present=np.ones(STEPS, bool))
    assert middle(HEADS, heard)[1] > middle(HEADS, with_head(0.5, 0.5))[1] + 0.1
    assert middle(HEADS, heard)[0] == pytest.approx(0.5, abs=1e-3)


def listening(**changes: object) -> ZeroShot:
    """The model of the default face whose voice is read by the head of `wav2vec2_vad`, taken at its word."""
    rules = PLAIN.config.model_dump()
    voice = {**rules["voice"], "encoders": ["prosody", "wav2vec2_vad"], "rest": {"share": 0, "half_s": 60}, **changes}
    return ZeroShot(ZeroShotConfig.model_validate({**rules, "voice": voice}))


def heard(valence: object, arousal: object, **changes: object) -> ClipEmbedding:
    """A clip as `mini_xception` and `prosody+wav2vec2_vad` embed it, with these outputs of the head."""
    made = clip(**changes)
    rows = np.full((STEPS, 1027), 3.0, np.float32)  # hidden states and dominance are not read
    rows[:, -2], rows[:, -1] = valence, arousal
    return replace(made, audio=np.concatenate([made.audio, rows], axis=1))


def test_a_head_takes_the_place_of_the_vocal_rule_for_both_dimensions() -> None:
    model = listening()
    assert [choice.name for choice in model.config.embedding.audio] == ["prosody", "wav2vec2_vad"]
    assert model.sources == {"valence": ("audio", "visual"), "arousal": ("audio", "visual")}
    shrill = {"pitch_median": 2.5}
    np.testing.assert_allclose(
        middle(model, heard(-0.6, 0.3, face=False, voice=shrill)), (-0.6, 0.3), atol=1e-3
    )  # the effort of the voice is not read
    face = middle(PLAIN, clip("happy", sound=False))
    both = middle(model, heard(-0.6, 0.3, expression="happy"))
    np.testing.assert_allclose(both, joined(np.array([-0.6, 0.3]), face), atol=1e-3)
    assert "voice by wav2vec2_vad" in model.kind


def test_a_head_of_the_voice_counts_where_there_is_a_voice() -> None:
    model, quiet = listening(), {"voice_activity": np.where(np.arange(STEPS) < 50, 1.0, 0.0)}
    said = model.predict(heard(0.8, 0.8, face=False, cues=quiet)).prediction
    assert said[25] == pytest.approx((0.8, 0.8), abs=0.01)
    assert np.abs(said[95]).max() < 0.05
    gates = model.predict(heard(0.8, 0.8)).gates["modalities"]
    plain = PLAIN.predict(clip()).gates["modalities"]
    assert gates[50, 0] > plain[50, 0] + 0.1  # the voice informs two dimensions


def test_the_voice_is_read_by_prosody_and_perhaps_by_a_head() -> None:
    for encoders in (["wav2vec2_vad"], ["wav2vec2_vad", "prosody"], ["prosody", "prosody"]):
        with pytest.raises(ValidationError, match="prosody, or prosody and wav2vec2_vad"):
            listening(encoders=encoders)


@pytest.mark.parametrize("name", ["mbf_va_mtl", "mobilevit_va_mtl"])
def test_other_heads_are_named_in_a_file_of_rules(name: str, tmp_path: Path) -> None:
    rules = json.loads(NAMED["zero_shot_heads"].read_text())
    rules["face"]["encoders"] = [name]
    (tmp_path / "own.json").write_text(json.dumps(rules))
    model = ZeroShot.read(tmp_path / "own.json")
    width = {"mbf_va_mtl": 522, "mobilevit_va_mtl": 778}[name]
    made = replace(clip(sound=False), visual=np.full((STEPS, width), 0.25, np.float32))
    assert middle(model, made) == pytest.approx((0.25, 0.25), abs=1e-3)
    assert name in model.kind


def test_the_columns_are_those_of_the_network() -> None:
    torch.manual_seed(0)
    network = build_network(EncoderChoice(name="enet_b0_8_va_mtl"), "visual", None)
    network.backbone.classifier.weight.data *= 5  # so that the outputs differ from face to face
    with torch.inference_mode():
        faces = torch.randint(0, 255, (2, 112, 112, 3), dtype=torch.uint8)
        rows, features = network(faces), network.backbone.features(network.prepare(faces)).mean((2, 3))
        valence_and_arousal = network.backbone.classifier(features)[:, 8:10]
    value = read_face("enet_b0_8_va_mtl", rows.numpy(), HEADS.config.face).value
    np.testing.assert_allclose(value, valence_and_arousal.numpy().clip(-1, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("coefficients", "signs"),
    [
        ({"mouthSmile": 0.8, "mouthUpperUp": 0.4}, (1, 1)),
        ({"browDown": 0.7, "mouthStretch": 0.3, "jawOpen": 0.3}, (-1, 1)),
        ({"mouthFrown": 0.4, "browInnerUp": 0.5, "eyeBlink": 0.4}, (-1, -1)),
        ({"noseSneer": 0.2, "mouthUpperUp": 0.5, "browDown": 0.4}, (-1, 1)),
        ({"browInnerUp": 0.6, "mouthStretch": 0.4, "eyeWide": 0.5}, (-1, 1)),
    ],
    ids=["happy", "angry", "sad", "disgusted", "afraid"],
)
def test_the_action_units_of_an_expression_land_in_its_quadrant(
    coefficients: dict[str, float], signs: tuple[int, int]
) -> None:
    alone = read_face("blendshapes", with_shapes(**coefficients).visual[:, 135:], SHAPES.config.face).value[0]
    assert tuple(np.sign(alone)) == signs
    assert np.abs(alone).min() > 0.02


def test_a_face_at_rest_is_neutral_and_surprise_is_aroused() -> None:
    assert not middle(SHAPES, with_shapes()).any() or np.abs(middle(SHAPES, with_shapes())).max() < 0.01
    surprised = middle(SHAPES, with_shapes(jawOpen=0.6, eyeWide=0.4, browOuterUp=0.6, browInnerUp=0.5))
    assert surprised[1] > 0.3
    assert abs(surprised[0]) < 0.1


def test_both_readings_count_alike_and_an_encoder_that_sees_no_face_does_not() -> None:
    smile = {"mouthSmile": 0.8}
    rule = read_face("mini_xception", with_shapes(expression="sad").visual[:, :135], SHAPES.config.face).value[0]
    shapes = read_face("blendshapes", with_shapes(**smile).visual[:, 135:], SHAPES.config.face).value[0]
    kept = 1 - 0.5 * 4 / (4 + 30)  # of 4 s of face, `rest` subtracts this share of the mean
    both = middle(SHAPES, with_shapes(expression="sad", **smile))
    np.testing.assert_allclose(both, kept * (rule + shapes) / 2, atol=5e-3)
    unseen = middle(SHAPES, with_shapes(0.0, "sad", **smile))
    np.testing.assert_allclose(unseen, middle(PLAIN, clip("sad", sound=False)), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoders": []}, "at least 1 item"),
        ({"encoders": ["resnet18"]}, "mini_xception.*blendshapes"),
        ({"encoders": ["mini_xception", "blendshapes", "blendshapes"]}, "named twice"),
        ({"encoders": ["blendshapes"]}, "coordinates are needed.*only for mini_xception"),
        ({"coordinates": {}}, f"coordinates are needed of exactly {CLASSES[0]}"),
        ({"encoders": ["mini_xception"]}, "weights of blendshapes are needed if"),
        ({"blendshapes": None}, "weights of blendshapes are needed if"),
        ({"blendshapes": {"valence": {"smile": 1.0}, "arousal": {"jawOpen": 1.0}}}, "no blendshape named 'smile'"),
        ({"blendshapes": {"valence": {"face_presence": 1.0}, "arousal": {"jawOpen": 1.0}}}, "no blendshape named"),
        ({"blendshapes": {"valence": {}, "arousal": {"jawOpen": 1.0}}}, "at least 1 item"),
    ],
)
def test_rules_that_do_not_fit_are_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FaceRules.model_validate(faces_rules(**changes))


def test_one_side_of_the_face_can_be_named_alone() -> None:
    rules = {"valence": {"mouthSmileLeft": 2.0}, "arousal": {"mouthSmile": 1.0}}
    matrix = FaceRules.model_validate(faces_rules(blendshapes=rules)).blendshapes.matrix()
    left, right = (BLENDSHAPES.index(f"mouthSmile{side}") for side in ("Left", "Right"))
    np.testing.assert_array_equal(matrix[[left, right]], [[2.0, 0.5], [0.0, 0.5]])
    assert np.count_nonzero(matrix) == 3


@pytest.mark.parametrize("name", NAMED)
def test_an_adapted_model_keeps_the_rules_as_they_are_in_the_file(name: str, tmp_path: Path) -> None:
    config = ZeroShot.read(NAMED[name]).config
    width = FIRST + 2 + config.embedding.dim("audio") + config.embedding.dim("visual")
    model = AdaptedModel(config, np.ones((width, 2)), {"clips": "1"})
    model.save(tmp_path / "a.safetensors")
    loaded = AdaptedModel.load(tmp_path / "a.safetensors")
    assert loaded is not None
    assert loaded.zero_shot == config
    assert model._rules() == json.loads(NAMED[name].read_text())
    assert set(loaded.sources["valence"]) == {"audio", "visual"}


def test_weights_that_are_missing_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IACA_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError, match=r"python -m iaca\.encoders get enet_b0_8_va_mtl"):
        Predictor.load("zero_shot_heads")
