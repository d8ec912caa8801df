"""Models that start from readings: late fusion and ridge are fitted, `iaca_plus` learns from unseen readings only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from short_runs import PLUS, SHORT
from synthetic_clips import AUDIO_DIM, VISUAL_DIM, annotated_clips, blind, clip

from iaca.encoders.embedding import ClipEmbedding, embeddings_of
from iaca.fusion import FusionModel, preset
from iaca.fusion.iaca_plus import Readings
from iaca.training import readings as readings_module
from iaca.training.config import CorruptionConfig
from iaca.training.data import WindowDataset, validation_loaders, windows_of
from iaca.training.model_file import TrainedModel, load_model, save_model
from iaca.training.predict import held_back, predict_clip, prediction_table
from iaca.training.readings import fit_fusion_readings, local_mean, rate_of
from iaca.training.sample import Normalisation, WindowSpec
from iaca.training.train import FusionTraining, TrainingRun, train

TRAIN, VALIDATION = annotated_clips(8, steps=150), annotated_clips(4, first=100, steps=150)
SUBJECTS = {name: f"subject{i // 2}" for i, name in enumerate(TRAIN)}
ONE = clip(30, 150)


def fitted(name: str, folder: Path, **changes: object) -> TrainedModel:
    fusion = preset(name, AUDIO_DIM, VISUAL_DIM, averages_s=(0.5, 2.0))
    run = SHORT.model_copy(update=changes)
    return train(TrainingRun(fusion, run, TRAIN, VALIDATION, folder / "checkpoints", subjects=SUBJECTS))[0]


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return fitted("late", tmp_path_factory.mktemp("late"))


@pytest.fixture(scope="module")
def ridge(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return fitted("ridge", tmp_path_factory.mktemp("ridge"))


def readings_by_hand(model: TrainedModel, one: ClipEmbedding) -> np.ndarray:
    """(t, modality, dimension): the products of each step and of each average with their weights."""
    parts = []
    for m, name in enumerate(("audio", "visual")):
        present = one.present[name]
        x = model.normalisation.apply(one.features[name], present, name).astype(np.float64)
        weights = model.weights[f"readings.{name}_weights"].double().numpy()
        means = [x, *(local_mean(x, present, 25.0 * seconds) for seconds in (0.5, 2.0))]
        products = sum(mean @ weights[:, i] for i, mean in enumerate(means))
        parts.append(products + model.weights["readings.constant"][m].double().numpy())
    return np.stack(parts, axis=1)


def test_late_fusion_predicts_by_its_formula_with_absence(late: TrainedModel) -> None:
    readings, presence = readings_by_hand(late, ONE), np.stack([ONE.audio_present, ONE.face_found], axis=1)
    mean, correlation, prior = (
        late.weights[f"readings.{n}"].double().numpy() for n in ("mean", "correlation", "prior")
    )
    weights = np.exp(prior)[None] * presence[:, :, None]
    weights /= weights.sum(axis=1, keepdims=True)
    spread = np.sqrt((weights**2).sum(axis=1) + 2 * correlation * weights.prod(axis=1))
    expected = mean + (weights * (readings - mean)).sum(axis=1) / spread
    found = predict_clip(late, ONE, window=60, hop=40)
    assert not presence.all()
    np.testing.assert_allclose(found.prediction, expected.clip(-1, 1), atol=1e-5)
    for i, name in enumerate(("valence", "arousal")):
        np.testing.assert_allclose(found.gates[f"readings_{name}"], weights[:, :, i], atol=1e-6)


def test_the_weights_are_a_power_of_the_ccc_out_of_fold(late: TrainedModel) -> None:
    """The face knows valence and the voice arousal."""
    prior = late.weights["readings.prior"]
    assert prior[1, 0] > prior[0, 0] + 0.5
    assert prior[0, 1] > prior[1, 1] + 0.5
    assert (prior < 0).all()


def test_ridge_predicts_the_sum_of_both_parts(ridge: TrainedModel) -> None:
    found = predict_clip(ridge, ONE)
    np.testing.assert_allclose(found.prediction, readings_by_hand(ridge, ONE).sum(axis=1).clip(-1, 1), atol=1e-5)
    assert found.gates == {}


@pytest.mark.parametrize("name", ["late", "ridge"])
def test_what_is_learned_holds_for_others(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    assert float(model.metadata["validation_clean_valence"]) > 0.8
    assert float(model.metadata["validation_clean_arousal"]) > 0.8


def test_the_history_has_one_row_with_every_column(tmp_path: Path) -> None:
    fusion = preset("late", AUDIO_DIM, VISUAL_DIM)
    _, history = train(TrainingRun(fusion, SHORT, TRAIN, VALIDATION, tmp_path / "checkpoints", subjects=SUBJECTS))
    columns = ["epoch", "train_loss", "learning_rate", "score"]
    assert list(history.columns[:4]) == columns
    assert history["epoch"].tolist() == [0]
    assert np.isfinite(history.to_numpy()).all()
    assert not (tmp_path / "checkpoints").exists()


def test_the_window_has_no_influence_on_late_fusion(late: TrainedModel) -> None:
    whole, parts = (predict_clip(late, ONE, *sizes).prediction for sizes in ((150, 150), (40, 7)))
    np.testing.assert_allclose(whole, parts, atol=1e-6)


def test_what_is_under_a_mask_has_no_influence_and_an_absent_modality_has_no_weight(late: TrainedModel) -> None:
    noise = replace(ONE, visual=np.where(ONE.face_found[:, None], ONE.visual, 1e6).astype(np.float32))
    np.testing.assert_array_equal(predict_clip(late, noise).prediction, predict_clip(late, ONE).prediction)
    heard = predict_clip(late, blind(ONE, visual=True))
    there = ONE.audio_present
    expected = readings_by_hand(late, ONE)[there, 0].clip(-1, 1)
    np.testing.assert_allclose(heard.prediction[there], expected, atol=1e-5)


def test_a_model_file_brings_the_readings_back(late: TrainedModel, tmp_path: Path) -> None:
    save_model(late, tmp_path / "late.safetensors")
    loaded = load_model(tmp_path / "late.safetensors")
    np.testing.assert_array_equal(predict_clip(loaded, ONE).prediction, predict_clip(late, ONE).prediction)
    table = prediction_table("a", ONE, predict_clip(loaded, ONE), loaded.build().gate_labels)
    assert {f"gate_readings_{d}_{m}" for d in ("valence", "arousal") for m in ("audio", "visual")} < set(table)


def test_one_model_per_dimension_is_the_same_late_fusion(late: TrainedModel, tmp_path: Path) -> None:
    pair = predict_clip(fitted("late", tmp_path, per_dimension=True), ONE)
    np.testing.assert_allclose(pair.prediction, predict_clip(late, ONE).prediction, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_one_subject_and_even_one_clip_give_a_model(count: int, tmp_path: Path) -> None:
    some = dict([*TRAIN.items()][:count])
    for name in ("late", "ridge"):
        fusion = preset(name, AUDIO_DIM, VISUAL_DIM)
        model, _ = train(
            TrainingRun(fusion, SHORT, some, VALIDATION, tmp_path / name, subjects=dict.fromkeys(some, "one"))
        )
        assert np.isfinite(predict_clip(model, ONE).prediction).all()


def test_a_modality_that_is_never_there_leaves_the_weight_to_the_other(tmp_path: Path) -> None:
    silent = {n: replace(c, embedding=blind(c.embedding, audio=True)) for n, c in TRAIN.items()}
    model, _ = train(
        TrainingRun(preset("late", AUDIO_DIM, VISUAL_DIM), SHORT, silent, VALIDATION, tmp_path, subjects=SUBJECTS)
    )
    assert float(model.metadata["validation_clean_valence"]) > 0.7
    assert (predict_clip(model, ONE).gates["readings_valence"][ONE.face_found, 1] > 0.99).all()


# --- iaca_plus ---


def noise_labels() -> dict:
    """Clips whose annotation has nothing to do with them: only a reading of a seen clip can know it."""
    rng = np.random.default_rng(0)
    wide = {n: replace(c, labels=rng.uniform(-1, 1, c.labels.shape).astype(np.float32)) for n, c in TRAIN.items()}
    return {n: replace(c, labels=np.repeat(c.labels[::50], 50, axis=0)) for n, c in wide.items()}


@pytest.mark.slow
def test_training_sees_readings_of_readers_that_have_not_seen_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, step = [], FusionTraining.training_step

    def recorded(self: FusionTraining, batch: dict, index: int) -> torch.Tensor:
        seen.append((batch["readings"], batch["labels"], batch["valid"]))
        return step(self, batch, index)

    monkeypatch.setattr(FusionTraining, "training_step", recorded)
    clips = noise_labels()
    once = SHORT.model_copy(update={"epochs": 1, "corruption": CorruptionConfig(share=0.0)})
    model, _ = train(TrainingRun(PLUS, once, clips, VALIDATION, tmp_path, subjects=SUBJECTS))

    def agreement(read: np.ndarray, gold: np.ndarray) -> float:
        return float(np.mean([np.corrcoef(read[:, m, d], gold[:, d])[0, 1] for m in range(2) for d in range(2)]))

    readings, gold, valid = (torch.cat(x).numpy() for x in zip(*seen, strict=True))
    hand = [readings_of_model(model, c.embedding) for c in clips.values()]
    annotated = np.concatenate([c.labels for c in clips.values()])
    in_sample = agreement(np.concatenate(hand), annotated)
    assert in_sample > 0.15  # readers that have seen the clip know its annotation, though there is nothing to know
    assert agreement(readings[valid], gold[valid]) < in_sample - 0.15


def test_who_a_person_is_teaches_nothing_about_others() -> None:
    """Embeddings show who it is, and everybody feels what only they feel: known of other clips of the same subject."""
    rng = np.random.default_rng(0)
    people = {f"subject{i}": (rng.standard_normal(AUDIO_DIM), rng.uniform(-0.8, 0.8, 2)) for i in range(4)}
    clips = {}
    for name, one in TRAIN.items():
        who, felt = people[SUBJECTS[name]]
        audio = 3 * who + one.embedding.audio
        labels = felt + 0.05 * np.nan_to_num(one.labels)
        embedding = replace(one.embedding, audio=audio.astype(np.float32), face_found=np.zeros(len(one), np.bool_))
        clips[name] = replace(one, embedding=embedding, labels=labels.astype(np.float32))
    normalisation = Normalisation.fit(embeddings_of(clips))
    fusion = preset("late", AUDIO_DIM, VISUAL_DIM, averages_s=(0.5, 2.0))
    of_people, of_clips = (fit_fusion_readings(fusion, clips, s, normalisation).ccc for s in (SUBJECTS, {}))
    assert of_clips.min() > 0.8  # another clip of the same subject was learned from
    assert of_people.max() < 0.4


def test_a_spread_is_enlarged_so_far_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = noise_labels()
    normalisation = Normalisation.fit(embeddings_of(clips))
    fusion = preset("late", AUDIO_DIM, VISUAL_DIM, averages_s=(0.5, 2.0))

    def size(most: float) -> float:
        monkeypatch.setattr(readings_module, "LARGEST_SCALE", most)
        return float(fit_fusion_readings(fusion, clips, SUBJECTS, normalisation).whole["visual_weights"].norm())

    assert size(0.5) < 0.9 * size(1e9)


def readings_of_model(model: TrainedModel, one: ClipEmbedding) -> np.ndarray:
    """Readings of a clip by the readers of the model, which were fitted to all clips."""
    x = {m: model.normalisation.apply(one.features[m], one.present[m], m) for m in ("audio", "visual")}
    present = torch.from_numpy(np.stack([one.audio_present, one.face_found], axis=1))[None]
    features = {m: torch.from_numpy(values)[None] for m, values in x.items()}
    return model.build().read([features], present, torch.tensor([rate_of(one)]))[0].numpy()


def readers_of(fusion, normalisation: Normalisation) -> dict[str, Readings]:
    found = fit_fusion_readings(fusion, TRAIN, SUBJECTS, normalisation)
    readers = {}
    for name, buffers in found.of_clip.items():
        readers[name] = Readings(fusion)
        readers[name].load_state_dict(buffers, strict=False)
    return readers


@pytest.mark.parametrize("kind", ["absent", "zeros"])
def test_readings_are_those_of_the_corrupted_window(kind: str) -> None:
    """As if the whole clip had been corrupted there, and then been read."""
    fusion = preset("late", AUDIO_DIM, VISUAL_DIM, averages_s=(0.5, 2.0))
    normalisation = Normalisation.fit(embeddings_of(TRAIN))
    readers, spec = readers_of(fusion, normalisation), WindowSpec(60, normalisation)
    windows = windows_of(TRAIN, 60, 40)
    corruption = CorruptionConfig(share=1.0, whole=0.0, kinds=(kind,))
    dataset = WindowDataset(TRAIN, windows, spec, corruption, readers)
    for index in range(0, len(windows), 3):
        sample, window = dataset[0, index], windows[index]
        one = TRAIN[window.clip].embedding
        steps = slice(window.start, window.start + 60)
        features, present = {}, np.stack([one.audio_present, one.face_found], axis=1)
        present[steps] = sample.present
        for i, m in enumerate(("audio", "visual")):
            x = normalisation.apply(one.features[m], one.present[m], m)
            x[steps] = getattr(sample, m)
            features[m] = torch.from_numpy(np.where(present[:, i : i + 1], x, np.float32(0)))[None]
        expected = readers[window.clip]([features], torch.from_numpy(present)[None], torch.tensor([25.0]))
        np.testing.assert_allclose(sample.readings, expected[0, steps].numpy(), atol=1e-5)
        clean = WindowDataset(TRAIN, windows, spec, None, readers)[0, index].readings
        assert np.abs(clean - sample.readings).max() > 0.01


HELD = annotated_clips(10, first=200, steps=150)


def moved_plus(strength: float) -> tuple[FusionModel, list, Normalisation]:
    normalisation = Normalisation.fit(embeddings_of(TRAIN), PLUS.cues)
    torch.manual_seed(3)
    model = FusionModel(PLUS)
    found = fit_fusion_readings(PLUS, TRAIN, SUBJECTS, normalisation)
    assert model.readings is not None
    model.readings.load_state_dict(found.whole, strict=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(strength * torch.randn_like(parameter))
    readers = dict.fromkeys(HELD, model.readings)
    config = SHORT.model_copy(update={"length": 75, "hop": 75})
    loaders = validation_loaders(HELD, config, WindowSpec(75, normalisation, PLUS.cues), readers)
    return model, loaders, normalisation


@pytest.mark.slow
def test_a_network_that_only_harms_is_held_back_to_late_fusion() -> None:
    model, loaders, _ = moved_plus(0.5)
    weights, scores = held_back(PLUS, dict(model.state_dict()), loaders, ("valence", "arousal"), {})
    assert weights["readings.share"].tolist() == [0.0, 0.0]
    untrained, _, _ = moved_plus(0.0)
    alone, expected = held_back(PLUS, dict(untrained.state_dict()), loaders, ("valence", "arousal"), {})
    assert alone["readings.share"].tolist() == [0.0, 0.0]
    assert scores == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_a_network_that_helps_everybody_is_used() -> None:
    """Readings of valence that are exactly wrong, which the network corrects by preferring the voice's."""
    model, loaders, _ = moved_plus(0.0)
    assert model.readings is not None
    model.readings.get_buffer("audio_weights")[..., 0] = 0.0
    model.readings.get_buffer("prior")[:, 1] = torch.tensor([-20.0, 0.0])  # arousal by the face, which knows little
    with torch.no_grad():
        model.reading_gate.logits.bias.copy_(torch.tensor([0.0, 40.0, 0.0, 0.0]))  # (modality, dimension)
    weights, _ = held_back(PLUS, dict(model.state_dict()), loaders, ("valence", "arousal"), {})
    assert weights["readings.share"][1] >= 0.5
    assert weights["readings.share"][0] == 0.0

    for people, used in ((4, False), (5, True)):
        subjects = {name: f"subject{i % people}" for i, name in enumerate(HELD)}
        weights, _ = held_back(PLUS, dict(model.state_dict()), loaders, ("valence", "arousal"), subjects)
        assert (weights["readings.share"][1] > 0) == used  # of four, nothing can be shown


@pytest.mark.slow
def test_a_trained_iaca_plus_says_how_far_its_network_is_used(tmp_path: Path) -> None:
    model, _ = train(TrainingRun(PLUS, SHORT, TRAIN, VALIDATION, tmp_path, subjects=SUBJECTS))
    shares = [float(text) for text in model.metadata["correction"].split(", ")]
    assert shares == pytest.approx(model.weights["readings.share"].tolist())
    gates = predict_clip(model, ONE).gates
    assert {"readings_valence", "readings_arousal", "reliability_audio", "modalities"} < gates.keys()
