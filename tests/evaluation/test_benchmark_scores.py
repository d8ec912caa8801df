"""Scores of a run: every condition on the same steps, and gates against where the corruption is."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from benchmark_clips import annotated_clips, same
from benchmark_scores import save, untrained, write_clips
from sklearn.metrics import roc_auc_score

from iaca.encoders.embedding import embeddings_of
from iaca.evaluation import benchmark_scores as scoring
from iaca.evaluation.benchmark_scores import SCHEMA, read_scores, score_file
from iaca.evaluation.certainty import coverage, inconsistency_auroc
from iaca.evaluation.config import Condition, RobustnessConfig
from iaca.evaluation.corruption import Partition, corrupted
from iaca.evaluation.events import gate_auroc
from iaca.evaluation.metrics import ccc, join_labels, pooled_metrics
from iaca.training.calibration import Calibration, calibrate
from iaca.training.predict import BuiltModel, predict_clip, prediction_table

CONFIG = RobustnessConfig(
    block_s=1.0, levels={"missing_audio": [0, 0.5, 1.0], "frame_drop": [0.5], "conflict": [0.5], "time_shift": [1.0]}
)
EVENTS = [
    {"clip": "clip0", "modality": "audio", "kind": "noisy", "start_s": 0.5, "end_s": 1.5},
    {"clip": "clip1", "modality": "visual", "kind": "absent", "start_s": 1.2, "end_s": 1.8},
]
WINDOW, HOP = 50, 40
ACTING = ("readings_valence", "readings_arousal")
"""The gates of `iaca_plus` that weigh voice against face in the prediction; its gate `modalities` does so inside."""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Clips, their files, and a model with gates across modalities."""
    clean = annotated_clips([70, 60, 80])
    folder = tmp_path_factory.mktemp("scores")
    return clean, write_clips(clean, folder / "clips"), untrained("iaca_plus", embeddings_of(clean)), folder


def run(given, model=None, config=CONFIG, events=EVENTS):
    _, paths, default, folder = given
    target = folder / "scores.parquet"
    file = save(model or default, folder / "model.safetensors")
    score_file(file, *paths, target=target, corruption=config, events=events, window=WINDOW, hop=HOP)
    return {(row["corruption"], row["level"]): row for row in read_scores(target)}


@pytest.fixture(scope="module")
def rows(given):
    return run(given)


def predictions(given, condition):
    """(annotated clip, corrupted, prediction) of each clip, computed without the benchmark."""
    annotated, _, model, _ = given
    clean = embeddings_of(annotated)
    deviation = {m: getattr(model.normalisation, f"{m}_std") for m in ("audio", "visual")}
    partition = Partition.of(clean, deviation)
    built = BuiltModel.of(model)
    for name in partition.steps:
        made = corrupted(condition, name, clean[name], partition, CONFIG)
        yield annotated[name], made, predict_clip(built, made.clip, WINDOW, HOP)


def test_there_is_a_row_for_every_condition(rows):
    assert list(rows) == [tuple(condition) for condition in CONFIG.conditions()]


def test_clean_scores_are_those_of_the_evaluation(given, rows):
    clean, _, model, _ = given
    labels, tables = [], []
    for name, one in clean.items():
        prediction = predict_clip(model, one.embedding, WINDOW, HOP)
        tables.append(prediction_table(name, one.embedding, prediction, {}))
        gold = {"clip": name, "frame": np.arange(len(one)), "valence": one.labels[:, 0], "arousal": one.labels[:, 1]}
        labels.append(pd.DataFrame({**gold, "partition": "test"}))
    expected = pooled_metrics(join_labels(pd.concat(tables), pd.concat(labels)))
    row = rows["clean", 0.0]
    for score in ("ccc_valence", "ccc_arousal", "ccc_mean"):
        assert row[score] == pytest.approx(expected[score], abs=1e-9)
    assert sum(part["n"] for part in row["clips"] if part["dimension"] == "valence") == expected["frames_valence"]


def test_level_0_of_every_corruption_is_the_clean_partition(rows):
    for (corruption, level), row in rows.items():
        if level == 0 and corruption != "clean":
            assert row["clips"] == rows["clean", 0.0]["clips"]
            assert row["ccc_mean"] == rows["clean", 0.0]["ccc_mean"]


@pytest.mark.parametrize("condition", [("missing_audio", 1.0), ("frame_drop", 0.5), ("conflict", 0.5)])
def test_corrupted_scores_count_the_steps_that_the_clean_clip_had(given, rows, condition):
    predicted, gold = [], []
    for clean, _, prediction in predictions(given, Condition(*condition)):
        counts = clean.embedding.observed & np.isfinite(clean.labels).all(axis=1)
        predicted.append(prediction.prediction[counts])
        gold.append(clean.labels[counts])
    predicted, gold = np.concatenate(predicted), np.concatenate(gold)
    row = rows[condition]
    assert row["ccc_valence"] == pytest.approx(ccc(predicted[:, 0], gold[:, 0]), abs=1e-9)
    assert row["ccc_arousal"] == pytest.approx(ccc(predicted[:, 1], gold[:, 1]), abs=1e-9)
    steps = [part["n"] for part in row["clips"]]
    assert steps == [part["n"] for part in rows["clean", 0.0]["clips"]]


def test_the_corrupted_share_is_recorded(rows):
    assert rows["clean", 0.0]["corrupted_audio"] == 0
    assert rows["missing_audio", 0.5]["corrupted_audio"] == pytest.approx(0.5, abs=0.01)
    assert rows["missing_audio", 0.5]["corrupted_visual"] == 0
    both = rows["conflict", 0.5]
    assert both["corrupted_audio"] + both["corrupted_visual"] == pytest.approx(0.5, abs=0.03)


def in_event(name, clip):
    inside = np.zeros(len(clip), bool)
    for event in EVENTS:
        inside |= (event["clip"] == name) & (clip.time_s >= event["start_s"]) & (clip.time_s < event["end_s"])
    return inside


@pytest.mark.parametrize(("corruption", "modality"), [("conflict", 0), ("conflict", 1), ("missing_audio", 0)])
def test_gates_are_scored_where_the_truth_is_known_and_no_event_interferes(given, rows, corruption, modality):
    names = iter(sorted(given[0]))
    weights, truth = {**{gate: [] for gate in ACTING}, "reliability": []}, []
    for annotated, made, prediction in predictions(given, Condition(corruption, 0.5)):
        clean = annotated.embedding
        observed = np.stack([clean.audio_present, clean.face_found], axis=1)
        usable = prediction.observed & ~in_event(next(names), clean)
        corrupted_here = made.truth[:, modality] & observed[:, modality] & usable
        fine = ~made.truth.any(axis=1) & observed.all(axis=1) & usable
        either = corrupted_here | fine
        truth.append(corrupted_here[either])
        for gate in ACTING:
            weights[gate].append(prediction.gates[gate][either, modality])
        weights["reliability"].append(prediction.gates[f"reliability_{('audio', 'visual')[modality]}"][either, 0])
    found = {(g["gate"], g["modality"]): g for g in rows[corruption, 0.5]["gates"]}
    if corruption == "missing_audio":  # an absent modality is in the mask: there is nothing to judge
        assert not any(gate == "reliability" for gate, _ in found)
        del weights["reliability"]
    for gate, values in weights.items():
        expected = roc_auc_score(np.concatenate(truth), -np.concatenate(values))
        row = found[gate, ("audio", "visual")[modality]]
        assert row["auroc"] == pytest.approx(expected, abs=1e-9)
        assert row["kind"] == corruption
        assert row["event_frames"] == np.concatenate(truth).sum()


def test_an_uncorrupted_modality_has_no_auroc(rows):
    found = {(g["gate"], g["modality"]) for g in rows["missing_audio", 0.5]["gates"]}
    assert found == {(gate, "audio") for gate in ACTING}


def test_without_clean_steps_there_is_no_auroc(rows):
    assert rows["missing_audio", 1.0]["gates"] == []
    assert rows["time_shift", 1.0]["gates"] == []
    assert rows["conflict", 0.0]["gates"] == []


def test_on_the_clean_partition_gates_are_scored_against_the_known_events(given, rows):
    clean, _, model, _ = given
    built = BuiltModel.of(model)
    tables = []
    for name, one in clean.items():
        prediction = predict_clip(built, one.embedding, WINDOW, HOP)
        table = prediction_table(name, one.embedding, prediction, built.model.gate_labels)
        tables.append(table[prediction.observed])
    predictions = pd.concat(tables, ignore_index=True)
    for gate in ACTING:
        names = {f"gate_{gate}_{m}": f"gate_modalities_{m}" for m in ("audio", "visual")}
        alone = predictions[["clip", "time_s", *names]].rename(columns=names)
        expected = gate_auroc(alone, pd.DataFrame(EVENTS)).set_index(["modality", "kind"])["auroc"]
        found = {(g["modality"], g["kind"]): g["auroc"] for g in rows["clean", 0.0]["gates"] if g["gate"] == gate}
        assert found == pytest.approx(expected.to_dict(), abs=1e-9)
    assert {g["gate"] for g in rows["clean", 0.0]["gates"]} == {*ACTING, "reliability"}


def test_a_model_without_readings_is_scored_by_its_gate_across_modalities(given):
    few = RobustnessConfig(levels={"conflict": [0.5]})
    rows = run(given, untrained("iaca", embeddings_of(given[0])), few)
    for condition in (("clean", 0.0), ("conflict", 0.5)):
        assert {g["gate"] for g in rows[condition]["gates"]} == {"modalities"}


@pytest.mark.parametrize("name", ["concat", "audio", "jca", "dca"])
def test_a_model_without_gates_of_modalities_has_no_gate_rows(given, name):
    few = RobustnessConfig(levels={"conflict": [0.5]})
    assert all(row["gates"] == [] for row in run(given, untrained(name, embeddings_of(given[0])), few).values())


def test_a_corpus_without_events_is_scored(given):
    rows = run(given, config=RobustnessConfig(levels={"conflict": [0.5]}), events=[])
    assert rows["clean", 0.0]["gates"] == []
    assert rows["conflict", 0.5]["gates"]


# Intervals and inconsistency


@pytest.fixture(scope="module")
def calibrated(given):
    """The model, calibrated on other clips."""
    model = given[2]
    built = BuiltModel.of(model)
    clips = annotated_clips([60] * 17)
    train, validation = ({n: clips[n] for n in names} for names in (list(clips)[3:7], list(clips)[7:]))
    parts = (model.config.modalities, model.normalisation, lambda clip: predict_clip(built, clip).prediction)
    return replace(model, calibration=calibrate(*parts, train, validation, {}))


@pytest.mark.slow
def test_the_clean_partition_has_the_coverage_and_the_auroc_of_the_evaluation(given, calibrated):
    clean = run(given, calibrated)["clean", 0.0]
    tables, labels = [], []
    for name, one in given[0].items():
        prediction = predict_clip(calibrated, one.embedding, WINDOW, HOP)
        tables.append(prediction_table(name, one.embedding, prediction, BuiltModel.of(calibrated).model.gate_labels))
        gold = dict(zip(("valence", "arousal"), one.labels.T, strict=True))
        labels.append(pd.DataFrame({"clip": name, "frame": np.arange(len(one)), "partition": "test", **gold}))
    predictions = pd.concat(tables, ignore_index=True)
    covered = coverage(predictions, pd.concat(labels, ignore_index=True), replicates=0)
    names = ["dimension", "coverage", "width", "width_error_correlation", "frames"]
    assert clean["coverage"] == covered[names].to_dict("records")
    assert 0 < clean["coverage"][0]["coverage"] <= 1
    judged = inconsistency_auroc(predictions, pd.DataFrame(EVENTS), replicates=0)
    assert [(r["modality"], r["kind"]) for r in clean["inconsistency"]] == [
        ("audio", "noisy"), ("visual", "absent"), ("either", "any"),
    ]  # fmt: skip
    for name in ("auroc", "gate_auroc", "event_frames", "unknown_event"):
        assert [r[name] for r in clean["inconsistency"]] == pytest.approx(judged[name].tolist(), abs=1e-9)


def test_intervals_are_computed_for_clean_clips_alone_and_change_no_score(given, rows, calibrated, monkeypatch):
    judged, judge = [], Calibration.judge
    monkeypatch.setattr(Calibration, "judge", lambda self, *given: judged.append(1) or judge(self, *given))
    found = run(given, calibrated)
    assert len(judged) == len(given[0])
    for key, row in found.items():
        assert row["clips"] == rows[key]["clips"]
        assert row["gates"] == rows[key]["gates"]
    assert all(row["coverage"] is None and row["inconsistency"] is None for key, row in found.items() if key[1])


def test_a_model_without_calibration_has_neither(rows):
    assert rows["clean", 0.0]["coverage"] == rows["clean", 0.0]["inconsistency"] == []


def test_every_model_gets_the_same_corruption(given, monkeypatch):
    seen = []

    def spy(built, clip, window, hop):
        seen[-1].append(clip)
        return predict_clip(built, clip, window, hop)

    monkeypatch.setattr(scoring, "predict_clip", spy)
    for name in ("iaca", "visual"):
        seen.append([])
        run(given, untrained(name, embeddings_of(given[0]), seed=5))
    assert len(seen[0]) == len(seen[1]) == 3 * (len(CONFIG.conditions()) - 4)  # clips x (conditions, clean ones once)
    assert all(same(one, other) for one, other in zip(*seen, strict=True))


def test_a_score_file_is_reproducible_and_has_its_schema(given):
    import pyarrow.parquet as pq

    few = RobustnessConfig(levels={"conflict": [0.5]})
    run(given, config=few)
    target = given[3] / "scores.parquet"
    first = target.read_bytes()
    run(given, config=few)
    assert target.read_bytes() == first
    assert pq.read_schema(target).names == SCHEMA.names
