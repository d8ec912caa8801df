"""Adaptation: what a few annotated clips teach, what it is worth on people left out, and its file."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from zero_shot_clips import MODEL, clip

from iaca.encoders.config import EmbeddingConfig, describe
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding
from iaca.errors import InputError
from iaca.inference import Predictor
from iaca.inference.adaptation import (
    ALL,
    CALIBRATION,
    NOTHING,
    AdaptationConfig,
    Fitter,
    Rows,
    Sums,
    adapt,
    annotated_rows,
    fit,
    leave_one_out,
    total,
    verdict,
)
from iaca.inference.members import FIRST, HEADER, AdaptedModel, Member, columns_of, widths

CONFIG = AdaptationConfig(replicates=200)
CARD = {"name": "mine", "caveat": ""}
Label = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def smile(rng: np.random.Generator, hidden: np.ndarray) -> np.ndarray:
    return hidden


def noise(rng: np.random.Generator, hidden: np.ndarray) -> np.ndarray:
    return np.convolve(rng.normal(0, 1, len(hidden)), np.ones(25) / 8, "same").clip(-1, 1)


def person(seed: int, label: Label = smile, steps: int = 250) -> AnnotatedClip:
    """Somebody whose annotation the expression encoder's features know and its classes do not."""
    rng = np.random.default_rng(seed)
    hidden = 0.8 * np.sin(np.arange(steps) / 25 * rng.uniform(0.8, 2) + rng.uniform(0, 6))
    made = clip(steps=steps, face=rng.random(steps) < 0.9)
    made.visual[:, :128] = rng.normal(0, 1, (steps, 128))
    made.visual[:, :3] += 5 * hidden[:, None]
    made.audio[:, 6:18] = rng.normal(0, 1, (steps, 12))
    labels = np.stack([label(rng, hidden), label(rng, -hidden)], axis=1).astype(np.float32)
    return AnnotatedClip(made, labels)


def people(label: Label, count: int = 5) -> list[tuple[str, str, AnnotatedClip]]:
    return [(f"p{i}", f"c{i}", person(i, label)) for i in range(count)]


def answer(model: Member, made: ClipEmbedding) -> np.ndarray:
    said = model.predict(made)
    return np.column_stack([said.prediction, said.gates["modalities"], said.inconsistency])


@pytest.fixture(scope="module")
def learned() -> tuple[AdaptedModel, pd.DataFrame]:
    return adapt(MODEL, people(smile), CARD, CONFIG)


def test_what_the_features_know_is_learned_and_holds_for_people_left_out(
    learned: tuple[AdaptedModel, pd.DataFrame],
) -> None:
    model, scores = learned
    pooled = scores.iloc[-1]
    assert scores["held_out"].tolist() == ["p0", "p1", "p2", "p3", "p4", ALL]
    assert min(pooled["ccc_adapted_valence"], pooled["ccc_adapted_arousal"]) > 0.8
    assert max(pooled["ccc_zero_shot_valence"], pooled["ccc_zero_shot_arousal"]) < 0.1
    assert all("it beats the zero-shot model" in sentence for sentence in verdict(scores))
    stranger = person(99)
    said = model.predict(stranger.embedding).prediction
    assert np.corrcoef(said[:, 0], stranger.labels[:, 0])[0, 1] > 0.9


def test_noise_teaches_nothing_and_that_is_said() -> None:
    strangers = [(f"p{i}", f"c{i}", person(5000 + i, noise)) for i in range(5)]
    model, scores = adapt(MODEL, strangers, CARD, CONFIG)
    assert not any("it beats" in sentence for sentence in verdict(scores))
    assert scores.iloc[-1][["ccc_adapted_valence", "ccc_adapted_arousal"]].abs().max() < 0.2
    assert "does not beat" in model.metadata["caveat"] or "WORSE" in model.metadata["caveat"]


def test_a_gain_for_too_few_subjects_is_called_too_few() -> None:
    _, scores = adapt(MODEL, people(smile, 3), CARD, CONFIG)
    assert scores.iloc[-1]["low_valence"] > 0
    assert "too few" in verdict(scores)[0]


def test_two_subjects_have_no_interval_and_their_number_is_told() -> None:
    model, scores = adapt(MODEL, people(smile, 2), CARD, CONFIG)
    assert "no interval over 2 subjects" in verdict(scores)[0]
    assert "2 annotated videos of 2 subjects" in model.metadata["caveat"]
    assert "nan" not in model.metadata["caveat"]


def test_an_adapted_model_reads_what_its_correction_has_weights_for() -> None:
    nothing = np.zeros((width := len(adapt(MODEL, people(smile, 2), CARD, CONFIG)[0].weights), 2))
    whole = ("audio", "visual")
    assert AdaptedModel(MODEL.config, nothing, {}).sources == {"valence": ("visual",), "arousal": whole}
    for row in (FIRST + 1, 2):  # a column of the voice, and the zero-shot arousal, which the voice has a part in
        changed = nothing.copy()
        changed[row, 0] = 0.1
        assert AdaptedModel(MODEL.config, changed, {}).sources == {"valence": whole, "arousal": whole}
    level = nothing.copy()
    level[0] = 0.3
    level[width - 1, 1] = 0.1  # of the face
    assert AdaptedModel(MODEL.config, level, {}).sources == {"valence": ("visual",), "arousal": whole}


def rows_of(subject: str, name: str, made: AnnotatedClip) -> Rows:
    rows = annotated_rows(subject, name, MODEL, made, 0.2)
    assert rows is not None
    return rows


def fitter(groups: dict[str, list[Rows]]) -> Fitter:
    defaults = EmbeddingConfig()
    return Fitter(groups, widths(defaults.dim("audio"), defaults.dim("visual")), CONFIG)


def test_a_subject_left_out_has_no_part_in_its_own_prediction() -> None:
    groups = {f"p{i}": [rows_of(f"p{i}", f"c{i}", person(i))] for i in range(4)}
    groups["p0"].append(rows_of("p0", "c0 again", person(10)))
    before = leave_one_out(fitter(groups))
    groups["p0"] = [replace(rows, gold=-rows.gold) for rows in groups["p0"]]
    after = leave_one_out(fitter(groups))
    own = before["subject"] == "p0"
    assert set(before.loc[own, "clip"]) == {"c0", "c0 again"}
    np.testing.assert_array_equal(before.loc[own, "valence"], after.loc[own, "valence"])
    assert (before.loc[~own, "valence"] != after.loc[~own, "valence"]).mean() > 0.9


def test_the_fit_is_ridge_regression_on_standardised_columns() -> None:
    rows = [rows_of("a", str(i), person(i, noise)) for i in range(3)]
    modalities = widths(44, 135)
    weights = fit(total(Sums.of(clip) for clip in rows), modalities, 3.0, 0.1)
    x, gold = np.concatenate([r.columns for r in rows]), np.concatenate([r.gold for r in rows])
    feature = np.ones_like(x)
    for presence, start, stop in ((0, 1, FIRST), *((m.start, m.start, m.stop) for m in modalities)):
        there = x[:, [presence]]
        part = x[:, start:stop]
        mean = part.sum(0) / there.sum()
        spread = np.square(part).sum(0) / there.sum() - mean**2
        useful = spread > 1e-10 * np.square(part).mean(0).clip(1e-6)
        feature[:, start:stop] = np.where(useful, (part - there * mean) / np.sqrt(np.where(useful, spread, 1)), 0)
    for m in modalities:
        feature[:, m.start] = 0
    penalty = np.diag([0.1] * FIRST + [3.0] * (x.shape[1] - FIRST))
    direct = np.linalg.solve(feature.T @ feature / len(x) + penalty, feature.T @ (gold - x[:, 1:FIRST]) / len(x))
    np.testing.assert_allclose(x @ weights, feature @ direct, atol=1e-8)


def test_the_strongest_choice_is_the_zero_shot_model_and_a_calibration_touches_no_embedding() -> None:
    sums, modalities = Sums.of(rows_of("a", "a", person(0))), widths(44, 135)
    weights = fit(sums, modalities, NOTHING, 0.1)
    made = person(5)
    said = (answer(model, made.embedding) for model in (AdaptedModel(MODEL.config, weights, {}), MODEL))
    assert np.array_equal(*said)
    calibrated = fit(sums, modalities, CALIBRATION, 0.1)
    assert (calibrated[FIRST:] == 0).all()
    assert (calibrated[:FIRST] != 0).any()
    far = fit(sums, modalities, 1e12, 0.1)
    np.testing.assert_allclose(rows_of("a", "a", made).columns @ (far - calibrated), 0, atol=1e-6)


def test_rows_without_face_or_sound_add_nothing_whatever_they_hold() -> None:
    made = person(0).embedding
    spoilt = replace(made, visual=np.where(made.face_found[:, None], made.visual, np.nan))
    np.testing.assert_array_equal(columns_of(MODEL, made), columns_of(MODEL, spoilt))


def test_a_weaker_penalty_has_to_be_better_by_the_margin() -> None:
    groups = {f"s{i}": [rows_of(f"s{i}", f"c{i}", person(i))] for i in range(5)}
    chosen = [
        replace(fitter(groups), config=CONFIG.model_copy(update={"margin": margin})).choose(list(groups))
        for margin in (0.0, 2.0)
    ]
    assert NOTHING not in chosen[0]
    assert chosen[1] == (NOTHING, NOTHING)


def test_steps_are_taken_apart_and_only_where_annotated() -> None:
    made = person(0)
    made.labels[:100] = np.nan
    assert len(rows_of("a", "a", made).gold) == pytest.approx(150 / 5, abs=1)
    assert annotated_rows("a", "a", MODEL, unannotated(), 0.2) is None
    hidden = replace(made, embedding=clip(steps=250, face=np.arange(250) < 200, sound=np.arange(250) < 150))
    assert len(rows_of("a", "a", hidden).gold) == pytest.approx(100 / 5, abs=1)  # with neither, nothing is learned


def unannotated() -> AnnotatedClip:
    made = clip()
    return AnnotatedClip(made, np.full((len(made), 2), np.nan, np.float32))


def test_one_subject_is_too_few_and_other_encoders_are_refused() -> None:
    with pytest.raises(InputError, match="1 annotated subject"):
        adapt(MODEL, [("a", "x", person(0)), ("a", "y", person(1)), ("b", "z", unannotated())], CARD, CONFIG)
    metadata = {**describe(EmbeddingConfig()), "visual_encoder": "resnet18"}
    strange = replace(person(0), embedding=replace(person(0).embedding, metadata=metadata))
    with pytest.raises(InputError, match="clip x is embedded with other encoders"):
        adapt(MODEL, [("a", "x", strange)], CARD, CONFIG)


def test_the_file_gives_the_same_model_and_says_what_it_is(
    learned: tuple[AdaptedModel, pd.DataFrame], tmp_path: Path
) -> None:
    model, made = learned[0], person(7).embedding
    for name in ("a", "b"):
        model.save(tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    predictor = Predictor.load(tmp_path / "a.safetensors")
    assert predictor.origin()["kind"] == "adapted heuristic"
    assert "5 annotated videos of 5 subjects (mine)" in predictor.origin()["caveat"]
    assert np.array_equal(answer(predictor.members[0], made), answer(model, made), equal_nan=True)


def test_a_faulty_file_is_named(learned: tuple[AdaptedModel, pd.DataFrame], tmp_path: Path) -> None:
    model, path = learned[0], tmp_path / "model.safetensors"
    for weights, header, problem in (
        (model.weights[:5], None, r"weights are float64 \(5, 2\)"),
        (model.weights, {"version": 9}, "version 9"),
        (model.weights, {"version": 1}, "version 1"),
        (model.weights, {"version": 2}, "version 2"),
        (model.weights, {"version": 3}, "not the header"),
    ):
        replace(model, weights=weights).save(path)
        if header is not None:
            save_file({"weights": weights}, path, {HEADER: json.dumps(header)})
        with pytest.raises(InputError, match=rf"model\.safetensors: .*{problem}"):
            Predictor.load(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="not a complete safetensors file"):
        Predictor.load(path)
