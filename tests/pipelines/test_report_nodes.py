"""The evaluation pipeline's pictures: one for every slot, whatever could be drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io.core import DatasetError
from matplotlib.figure import Figure

from iaca.datasets.files import BenchmarkOutput
from iaca.encoders.embedding import ClipEmbedding, write_embedding
from iaca.engine import ClipPaths
from iaca.errors import InputError
from iaca.evaluation.benchmark_page import NO_BENCHMARK
from iaca.evaluation.certainty import COVERAGE_COLUMNS
from iaca.evaluation.config import EvaluationConfig
from iaca.evaluation.errors import CALIBRATION_COLUMNS, QUADRANT_COLUMNS, REGION_COLUMNS
from iaca.evaluation.events import RESPONSE_COLUMNS
from iaca.evaluation.report import FIGURES
from iaca.evaluation.tables import comparison
from iaca.faces.detect import FaceConfig
from iaca.fusion import preset
from iaca.fusion.model import FusionModel
from iaca.pipelines.evaluation import create_pipeline, nodes
from iaca.pipelines.evaluation.nodes import (
    ANALYSIS_FIGURES,
    SCORE_FIGURES,
    analyse_errors,
    analyse_events,
    draw_analysis,
    draw_figures,
    find_failures,
    model_facts,
    predict_baselines,
    predict_partitions,
    require_unseen,
    score_certainty,
    score_models,
    write_report,
)
from iaca.training.calibration import Calibration
from iaca.training.config import TrainingConfig
from iaca.training.model_file import (
    TrainedBaselines,
    TrainedModel,
    model_name,
    weights_digest,
    with_clips,
    with_history,
    with_training_settings,
)
from iaca.training.predict import predict_clip
from iaca.training.sample import Normalisation

MAPS = Path("/proc/self/maps")
CONFIG = EvaluationConfig(replicates=100)
EVENTS = pd.DataFrame(columns=["clip", "modality", "kind", "start_s", "end_s"])
NO_COVERAGE = pd.DataFrame(columns=list(COVERAGE_COLUMNS))
INDEX = pd.DataFrame({"clip": ["a"], "subject": ["p"], "partition": ["validation"]})


@pytest.fixture(scope="module")
def labels():
    swing = np.sin(np.arange(40) / 6)
    values = {"valence": 0.8 * swing, "arousal": -0.5 * swing}
    return pd.DataFrame({"clip": "a", "partition": "validation", "frame": np.arange(40), **values})


@pytest.fixture(scope="module")
def model():
    """Of one modality: no gate."""
    normalisation = Normalisation(*[np.zeros(4, np.float32)] * 4)
    history = pd.DataFrame({"epoch": [1], "train_loss": [0.5]})
    return with_history(TrainedModel(preset("audio", 4, 4), {}, normalisation, {"preset": "audio"}), history)


@pytest.fixture(scope="module")
def predictions(labels, model):
    table = labels.drop(columns="partition").assign(time_s=labels["frame"] / 25)
    table.attrs = {"name": "audio", "model": weights_digest(model)}
    return table.assign(valence=0.5 * table["valence"], arousal=0.9 * table["arousal"])


def test_every_slot_of_the_report_is_an_output_of_the_pipeline():
    assert set(SCORE_FIGURES + ANALYSIS_FIGURES) == set(FIGURES)
    assert {f"{slot}_figure" for slot in FIGURES} <= create_pipeline().all_outputs()


def test_the_headline_is_the_few_numbers_that_experiments_are_compared_by(model, predictions, labels):
    index = pd.DataFrame({"clip": ["a"], "subject": ["s"]})
    table, _, metrics, headline = score_models(model, predictions, {}, labels, index, NO_COVERAGE, CONFIG)
    assert list(headline) == [f"validation_ccc_{name}" for name in ("mean", "valence", "arousal")]
    assert headline["validation_ccc_mean"] == metrics["validation_ccc_mean"] == table["ccc_mean"].iloc[0]


def test_one_clip_without_events_gates_or_baselines_is_analysed_and_drawn(model, predictions, labels):
    regions_and_others = analyse_errors(predictions, labels, CONFIG)
    response, scores = analyse_events(predictions, {}, labels, EVENTS, INDEX, CONFIG)
    assert response.empty
    assert scores.empty
    table = comparison({"audio": predictions}, labels, replicates=100)
    videos = pd.DataFrame({"clip": ["a"], "partition": "validation", "ccc_mean": [0.8]})
    found = find_failures(table, videos, *regions_and_others[1:], scores, CONFIG)
    assert set(found["rule"]) <= {"regions", "quadrants"}
    drawn = draw_figures(model, predictions, labels, table, EVENTS, CONFIG)
    assert set(drawn) == {f"{slot}_figure" for slot in SCORE_FIGURES}
    assert all(isinstance(figure, Figure) for figure in drawn.values())
    assert "Not drawn" in drawn["gates_figure"].texts[1].get_text()
    assert "Not drawn" in drawn["worst_traces_figure"].texts[1].get_text()  # one clip is the best, and no other is left


@pytest.fixture(scope="module")
def corpus():
    """Labels, index and predictions of four clips of four people; 3 of 4 frames are in the interval."""
    frames = pd.DataFrame([(clip, frame) for clip in "abcd" for frame in range(40)], columns=["clip", "frame"])
    partition = frames["clip"].map(dict(zip("abcd", ["validation"] * 3 + ["test"], strict=True)))
    swing = np.sin(frames["frame"] / 6)
    labels = frames.assign(partition=partition, valence=0.8 * swing, arousal=-0.5 * swing)
    table = frames.assign(time_s=frames["frame"] / 10.0, valence=labels["valence"], arousal=labels["arousal"])
    high = np.where(frames["frame"] % 4 == 0, -0.1, 0.1)
    bounds = {f"{name}_{end}": table[name] + shift for name in ("valence", "arousal")
              for end, shift in (("low", -0.3), ("high", high))}  # fmt: skip
    index = pd.DataFrame({"clip": list("abcd"), "subject": list("wxyz")})
    inconsistency = (frames["frame"] < 20).astype(float)
    return labels, index, table.assign(**bounds, inconsistency=inconsistency)


def test_the_coverage_of_every_partition_is_among_the_metrics(corpus, model):
    labels, index, predictions = corpus
    events = pd.DataFrame([(clip, "audio", "noisy", 0.0, 2.0) for clip in "ad"], columns=EVENTS.columns)
    covered, scores = score_certainty(predictions, labels, events, index, CONFIG)
    assert set(covered.loc[covered["kind"] == "noisy", "partition"]) == {"validation"}
    (row,) = scores.to_dict("records")  # of the shown partition: half of the 100 clean frames are as high as the event
    assert (row["event_clips"], row["event_frames"], row["clean_frames"]) == (1, 20, 100)
    assert row["auroc"] == pytest.approx((60 + 40 / 2) / 100)
    own = predictions.copy()
    own.attrs = {"name": "audio", "model": weights_digest(model)}
    for table in (covered, covered.head(0)):
        *_, metrics, headline = score_models(model, own, {}, labels, index, table, CONFIG)
        expected = {f"{p}_coverage_{d}": 0.75 for p in ("validation", "test") for d in ("valence", "arousal")}
        assert {k: v for k, v in metrics.items() if "coverage" in k} == (expected if len(table) else {})
        assert not [name for name in headline if "coverage" in name]
        assert "test_ccc_mean" in headline


def test_empty_tables_give_pictures_that_say_so():
    columns = (CALIBRATION_COLUMNS, REGION_COLUMNS, QUADRANT_COLUMNS, RESPONSE_COLUMNS)
    drawn = draw_analysis(*(pd.DataFrame(columns=list(names)) for names in columns), CONFIG)
    assert set(drawn) == {f"{slot}_figure" for slot in ANALYSIS_FIGURES}
    assert all("Not drawn" in figure.texts[1].get_text() for figure in drawn.values())


def test_a_benchmark_is_read_where_there_is_one_and_never_written(tmp_path):
    dataset = BenchmarkOutput(path=str(tmp_path / "none"))
    assert not dataset.exists()
    assert dataset.load().corpus == ""
    with pytest.raises(DatasetError, match="written by the pipeline"):
        dataset.save("anything")


def test_the_facts_of_a_model_include_the_settings_of_its_training():
    model = TrainedModel(
        preset("concat", 4, 4), {}, Normalisation(*[np.zeros(4)] * 4), {"seed": "3", "history": "{}", "caveat": "a toy"}
    )
    older, facts = model_facts(model), model_facts(with_training_settings(model, TrainingConfig(epochs=7)))
    assert (facts["seed"], facts["training.epochs"], facts["training.corruption.share"]) == ("3", 7, 0.6)
    assert not {"history", "caveat", "training", "calibration.intervals"} & facts.keys()
    judged = replace(model, calibration=Calibration(("audio",), None, None, None, {"intervals": "none: two clips"}))
    assert model_facts(judged) == older | {"calibration.intervals": "none: two clips"}
    assert older == {name: value for name, value in facts.items() if not name.startswith("training.")}


@pytest.mark.skipif(not MAPS.exists(), reason="needs Linux's /proc/self/maps")
def test_predictions_let_the_files_of_earlier_clips_go(tmp_path, monkeypatch):
    config, rows, there = preset("audio", 4, 4, width=16), np.ones((5, 4), np.float32), np.ones(5, np.bool_)
    scales = Normalisation(*[np.ones(4, np.float32)] * 4)
    trained = TrainedModel(config, FusionModel(config).state_dict(), scales, {})
    clips, mapped = [f"c{i}" for i in range(6)], []
    for clip in clips:
        table = ClipEmbedding(rows, rows, there, there, np.arange(5) / 5, np.zeros((5, 0), np.float32))
        write_embedding(table, tmp_path / clip)

    def predicted(*arguments):
        lines = MAPS.read_text().splitlines()
        mapped.append(len({line.split()[-1] for line in lines if str(tmp_path) in line}))
        return predict_clip(*arguments)

    monkeypatch.setattr(nodes, "predict_clip", predicted)
    index = pd.DataFrame({"clip": clips, "subject": clips, "partition": "test"})
    paths = ClipPaths({clip: tmp_path / clip for clip in clips}, {})
    found = predict_partitions(trained, paths, index, CONFIG)
    assert found.groupby("clip").size().to_dict() == dict.fromkeys(clips, 5)
    assert found["frame"].tolist() == [0, 1, 2, 3, 4] * 6
    assert 1 <= max(mapped) <= 2


# Model, baselines, history and predictions of one run belong together


def other(model: TrainedModel) -> TrainedModel:
    """The same architecture, trained to other weights."""
    return replace(model, normalisation=Normalisation(*[np.ones(4, np.float32)] * 4))


@pytest.mark.parametrize("node", ["score", "draw", "report"])
def test_predictions_of_another_model_are_refused(model, predictions, labels, node):
    table = comparison({"audio": predictions}, labels, replicates=100)
    calls = {
        "score": lambda of: score_models(of, predictions, {}, labels, INDEX, NO_COVERAGE, CONFIG),
        "draw": lambda of: draw_figures(of, predictions, labels, table, EVENTS, CONFIG),
        "report": lambda of: write_report(of, predictions, NO_BENCHMARK, FaceConfig(), CONFIG),
    }
    with pytest.raises(InputError, match=r"stored predictions are not those of the model .* run the whole evaluation"):
        calls[node](other(model))
    unmarked = predictions.copy()
    unmarked.attrs = {}
    with pytest.raises(InputError, match="not those of the model"):
        score_models(model, unmarked, {}, labels, INDEX, NO_COVERAGE, CONFIG)


def test_baselines_of_another_run_are_refused(model, predictions, labels, caplog):
    assert predict_baselines(model, TrainedBaselines(weights_digest(model), {}), {}, INDEX, CONFIG) == {}
    with pytest.raises(InputError, match="baselines were trained with another model"):
        predict_baselines(other(model), TrainedBaselines(weights_digest(model), {}), {}, INDEX, CONFIG)
    assert not caplog.records
    assert predict_baselines(model, None, {}, INDEX, CONFIG) == {}
    assert "audio is compared with nothing" in caplog.text
    foreign = predictions.copy()
    foreign.attrs = {"name": "concat", "model": weights_digest(other(model))}
    with pytest.raises(InputError, match="predictions of concat and of audio are from different runs"):
        score_models(model, predictions, {"concat": lambda: foreign}, labels, INDEX, NO_COVERAGE, CONFIG)


def test_the_main_model_is_named_by_what_it_is_not_by_the_parameters_of_the_day(model, predictions, labels):
    table, *_ = score_models(model, predictions, {}, labels, INDEX, NO_COVERAGE, CONFIG)
    assert table["model"].tolist() == ["audio"]
    narrow = replace(model, config=preset("audio", 4, 4, width=16))
    assert (model_name(model), model_name(narrow)) == ("audio", "audio (changed)")
    assert model_name(replace(model, metadata={})) == "model"


def test_the_learning_curve_is_the_models_own(model, predictions, labels):
    table = comparison({"audio": predictions}, labels, replicates=100)
    longer = with_history(model, pd.DataFrame({"epoch": [0, 1, 2], "validation_ccc_mean": [0.1, 0.625, 0.2]}))
    drawn = draw_figures(longer, predictions, labels, table, EVENTS, CONFIG)
    assert "0.625 in epoch 1 of 2" in drawn["learning_curve_figure"].texts[0].get_text()
    older = replace(model, metadata={"preset": "audio"})
    missing = draw_figures(older, predictions, labels, table, EVENTS, CONFIG)["learning_curve_figure"]
    assert "Not drawn" in missing.texts[1].get_text()


@pytest.mark.parametrize(
    ("train", "validation", "partition", "refused"),
    [
        (["a"], [], "validation", True),
        (["a"], [], "test", True),
        ([], ["a"], "test", True),
        ([], ["a"], "validation", False),
        (["b"], ["c"], "test", False),
        (["a"], [], "train", False),
    ],
)
def test_a_model_is_not_scored_on_what_it_learned_from(model, train, validation, partition, refused):
    """As an older model would be after the corpus was divided anew."""
    index, older = INDEX.assign(partition=partition), with_clips(model, train, validation)
    assert '"a"' not in older.metadata["learned_from"]  # names may be personal
    if not refused:
        require_unseen(older, index, CONFIG)
        return
    message = rf"audio learned from 1 clip of the {partition} partition, the first is a: .* another division"
    with pytest.raises(InputError, match=message):
        predict_partitions(older, {}, index, CONFIG)
    with pytest.raises(InputError, match=message):
        predict_baselines(model, TrainedBaselines(weights_digest(model), {"b": older}), {}, index, CONFIG)
