"""The evaluation pipeline's pictures: one for every slot, whatever could be drawn."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from kedro.io.core import DatasetError
from matplotlib.figure import Figure

from iaca.datasets.reports import BenchmarkOutput
from iaca.evaluation.config import EvaluationConfig
from iaca.evaluation.errors import CALIBRATION_COLUMNS, QUADRANT_COLUMNS, REGION_COLUMNS
from iaca.evaluation.events import RESPONSE_COLUMNS
from iaca.evaluation.report import FIGURES
from iaca.evaluation.tables import comparison
from iaca.fusion import preset
from iaca.pipelines.evaluation import create_pipeline
from iaca.pipelines.evaluation.nodes import (
    ANALYSIS_FIGURES,
    SCORE_FIGURES,
    analyse_errors,
    analyse_events,
    draw_analysis,
    draw_figures,
    find_failures,
    model_facts,
    score_certainty,
    score_models,
)
from iaca.training.calibration import Calibration
from iaca.training.choice import ModelChoice
from iaca.training.config import TrainingConfig
from iaca.training.model_file import TrainedModel, with_training_settings
from iaca.training.sample import Normalisation

CONFIG = EvaluationConfig(replicates=100)
EVENTS = pd.DataFrame(columns=["clip", "modality", "kind", "start_s", "end_s"])


@pytest.fixture(scope="module")
def labels():
    swing = np.sin(np.arange(40) / 6)
    values = {"valence": 0.8 * swing, "arousal": -0.5 * swing}
    return pd.DataFrame({"clip": "a", "partition": "validation", "frame": np.arange(40), **values})


@pytest.fixture(scope="module")
def predictions(labels):
    """Of a model of one modality: no gate."""
    table = labels.drop(columns="partition").assign(time_s=labels["frame"] / 25)
    return table.assign(valence=0.5 * table["valence"], arousal=0.9 * table["arousal"])


def test_every_slot_of_the_report_is_an_output_of_the_pipeline():
    assert set(SCORE_FIGURES + ANALYSIS_FIGURES) == set(FIGURES)
    assert {f"{slot}_figure" for slot in FIGURES} <= create_pipeline().all_outputs()


def test_one_clip_without_events_gates_or_baselines_is_analysed_and_drawn(predictions, labels):
    regions_and_others = analyse_errors(predictions, labels, CONFIG)
    response, scores = analyse_events(predictions, {}, labels, EVENTS, ModelChoice(preset="audio"), CONFIG)
    assert response.empty
    assert scores.empty
    table = comparison({"audio": predictions}, labels, replicates=100)
    videos = pd.DataFrame({"clip": ["a"], "partition": "validation", "ccc_mean": [0.8]})
    found = find_failures(table, videos, *regions_and_others[1:], scores, CONFIG)
    assert set(found["rule"]) <= {"regions", "quadrants"}
    history = pd.DataFrame({"model": ["main"], "epoch": [1], "train_loss": [0.5]})
    drawn = draw_figures(predictions, labels, table, EVENTS, history, CONFIG)
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


def test_the_coverage_of_every_partition_is_among_the_metrics_and_in_the_headline(corpus):
    labels, index, predictions = corpus
    events = pd.DataFrame([(clip, "audio", "noisy", 0.0, 2.0) for clip in "ad"], columns=EVENTS.columns)
    covered, scores = score_certainty(predictions, labels, events, index, CONFIG)
    assert set(covered.loc[covered["kind"] == "noisy", "partition"]) == {"validation"}
    (row,) = scores.to_dict("records")  # of the shown partition: half of the 100 clean frames are as high as the event
    assert (row["event_clips"], row["event_frames"], row["clean_frames"]) == (1, 20, 100)
    assert row["auroc"] == pytest.approx((60 + 40 / 2) / 100)
    choice = ModelChoice(preset="audio")
    for table in (covered, covered.head(0)):
        *_, metrics, headline = score_models(predictions, {}, labels, index, table, choice, CONFIG)
        expected = {f"{p}_coverage_{d}": 0.75 for p in ("validation", "test") for d in ("valence", "arousal")}
        for stored in (metrics, headline):
            assert {k: v for k, v in stored.items() if "coverage" in k} == (expected if len(table) else {})
            assert "test_ccc_mean" in stored


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
