"""Figures say their finding, keep their text readable, and are the same each time."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from iaca.errors import InputError
from iaca.evaluation import style
from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.errors import calibration, quadrant_confusion, region_errors
from iaca.evaluation.events import event_response
from iaca.evaluation.figures import (
    analysis_figures,
    comparison_dots,
    gates_beside_events,
    learning_curve,
    report_figures,
)
from iaca.evaluation.metrics import join_labels
from iaca.evaluation.report import FIGURES
from iaca.evaluation.tables import comparison


@pytest.fixture(scope="module")
def history():
    rise = 1 - np.exp(-np.arange(1, 21) / 5)
    return pd.DataFrame(
        {
            "epoch": np.arange(1, 21),
            "train_loss": 1 - rise,
            "validation_ccc_valence": rise,
            "validation_ccc_arousal": 0.5 * rise,
        }
    )


@pytest.fixture(scope="module")
def figures(models, predictions, labels, events, history):
    table = comparison(models, labels, replicates=50)
    drawn = report_figures(predictions, labels, table, "validation", events, history)
    gold = labels[labels["partition"] == "validation"]
    joined = join_labels(predictions, gold)
    config = AnalysisConfig(few_frames=20)
    analysed = (calibration(joined, config), region_errors(joined, config), quadrant_confusion(joined, config))
    return drawn | analysis_figures(*analysed, event_response(predictions, events, config), config)


def _texts(figure):
    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def test_all_figures_of_a_report_are_drawn(figures):
    assert set(figures) == set(FIGURES)
    for figure in figures.values():
        assert style.png(figure).startswith(b"\x89PNG")


def test_no_text_is_smaller_than_nine_points(figures):
    for slot, figure in figures.items():
        style.png(figure)
        assert min(text.get_fontsize() for text in _texts(figure)) >= 9, slot


def test_no_text_runs_out_of_the_picture(figures):
    for slot, figure in figures.items():
        style.png(figure)
        drawn = figure.get_tightbbox()
        assert (drawn.x0, drawn.y0) >= (-0.01, -0.01), slot
        assert drawn.x1 <= figure.get_figwidth() + 0.01, slot
        assert drawn.y1 <= figure.get_figheight() + 0.01, slot


def test_the_title_tells_the_finding(figures, history):
    assert "iaca agrees best" in figures["comparison"].texts[0].get_text()
    assert "0.736 in epoch 20" in figures["learning_curve"].texts[0].get_text()
    assert "Best agreement: " in figures["best_traces"].texts[0].get_text()
    assert "RMSE" in figures["regions"].texts[0].get_text()
    assert "face occluded" in figures["event_response"].texts[0].get_text()
    assert "3 of 3" in figures["gate_distribution"].texts[0].get_text()  # the fourth kind lies in the train partition


@pytest.mark.parametrize("clips", ["a", "ab"])
def test_too_few_clips_are_not_ranked_in_any_title(models, labels, clips):
    known = labels[labels["clip"].isin(list(clips))]
    turned = dict(reversed(models.items()))  # the main model is the worst
    drawn = report_figures(turned["audio only"], known, comparison(turned, known, replicates=50))
    title, subtitle = (text.get_text() for text in drawn["comparison"].texts[:2])
    assert title == "Too few clips or subjects to rank the models"
    assert f"{len(clips)} clip{'s' * (len(clips) > 1)} of" in subtitle
    assert "interval over" not in subtitle
    assert not [slot for slot in drawn if slot == "worst_traces"]
    assert "agreement" not in drawn["best_traces"].texts[0].get_text()
    style.png(drawn["comparison"])
    for axes in drawn["comparison"].axes:
        inside = axes.get_window_extent()
        assert all(inside.x0 <= text.get_window_extent().x0 for text in axes.texts)
    assert drawn["comparison"].get_tightbbox().x1 <= drawn["comparison"].get_figwidth() + 0.01


def test_a_figure_is_the_same_file_each_time(history):
    assert style.png(learning_curve(history)) == style.png(learning_curve(history))


def test_a_history_with_less_in_it_is_drawn_too():
    figure = learning_curve(pd.DataFrame({"train_loss": [1.0, 0.5]}))
    assert figure.texts[0].get_text() == "Training history"


def test_no_legend_lies_over_a_curve(history):
    figure = learning_curve(history)
    style.png(figure)
    for axes in figure.axes:
        assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1


def test_a_model_without_gates_gets_no_gate_figure(models, labels, events, history):
    table = comparison(models, labels, replicates=20)
    drawn = report_figures(models["audio only"], labels, table, "validation", events, history)
    assert not {"gates", "gate_distribution"} & set(drawn)
    with pytest.raises(InputError, match="no gate across modalities"):
        gates_beside_events(models["audio only"], events, ["a"])


def test_a_clip_that_is_not_there_is_named(predictions, events):
    with pytest.raises(InputError, match="clip z"):
        gates_beside_events(predictions, events, ["z"])


@pytest.mark.parametrize(("given", "best", "worst"), [({}, "cfa", "ebg"), ({"shown_videos": 2}, "cf", "eb")])
def test_the_best_and_the_worst_clips_are_drawn_from_top_to_bottom_as_many_as_wished(given, best, worst):
    steps, noise = 50, {"c": 0.0, "f": 0.1, "a": 0.2, "d": 0.3, "g": 0.5, "b": 0.8, "e": 2.0}
    wave, turns = np.sin(np.arange(steps) / 4) / 2, (-1) ** np.arange(steps)
    rows = [pd.DataFrame({"clip": clip, "frame": np.arange(steps), "valence": wave, "arousal": wave}) for clip in noise]
    gold = pd.concat(rows, ignore_index=True).assign(partition="validation")
    off = gold["clip"].map(noise) * np.tile(turns, len(noise)) / 4
    table = gold.drop(columns="partition").assign(time_s=gold["frame"] / 25)
    table = table.assign(valence=gold["valence"] + off, arousal=gold["arousal"] - off)
    drawn = report_figures(table, gold, comparison({"iaca": table}, gold, replicates=20), **given)
    for end, clips in (("best", best), ("worst", worst)):
        titles = [text.get_text() for text in _texts(drawn[f"{end}_traces"])]
        found = [title.removesuffix("  valence") for title in titles if title.endswith("  valence")]
        assert found == list(clips)


def test_stretches_are_the_runs_of_a_mask_in_seconds():
    time_s = np.arange(6) / 10
    found = list(style.stretches(np.array([1, 1, 0, 0, 1, 1], bool), time_s))
    assert np.allclose(found, [(0, 0.2), (0.4, 0.6)])
    assert list(style.stretches(np.zeros(6, bool), time_s)) == []


def test_nothing_is_drawn_of_empty_tables(figures):
    nothing = [pd.DataFrame(columns=["few"])] * 4
    assert analysis_figures(*nothing, AnalysisConfig()) == {}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"voice": 0.1, "face": 0.2}, r"The gates detect '\w+ \w+' best \(AUROC 1.00\), '\w+ \w+' worst \(1.00\)"),
        (
            {"voice": 0.1, "face": 0.5},
            r"detect 'voice \w+' best \(AUROC 1.00\), but not 'face \w+' \(0.50; chance is 0.5",
        ),
        (
            {"voice": 0.5, "face": 0.5},
            r"The gates detect no kind of corruption: at best .* \(AUROC 0.50; chance is 0.5",
        ),
    ],
)
def test_gates_at_chance_are_not_said_to_detect(weights, said):
    time_s = np.arange(200) / 10
    events = pd.DataFrame(
        [("a", "audio", "noisy", 2.0, 4.0), ("a", "visual", "occluded", 10.0, 12.0)],
        columns=["clip", "modality", "kind", "start_s", "end_s"],
    )
    audio = np.full(200, 0.5)
    audio[20:40] = weights["voice"]
    audio[100:120] = 1 - weights["face"]
    table = pd.DataFrame({"clip": "a", "frame": np.arange(200), "time_s": time_s, "gate_modalities_audio": audio})
    figure = gates_beside_events(table.assign(gate_modalities_visual=1 - audio), events, ["a"])
    assert re.search(said, figure.texts[0].get_text())


def test_a_lead_within_its_interval_is_not_called_one(models, labels):
    table = comparison(models, labels, replicates=100)
    rows = table["partition"] == "validation"
    for high, said in ((0.01, "; the interval of its lead over "), (-0.01, None)):
        changed = table.assign(difference_ccc_mean_high=table["difference_ccc_mean_high"].where(table["main"], high))
        title = comparison_dots(changed[rows]).texts[0].get_text()
        assert (said in title) if said else title.startswith("iaca agrees best") and "lead" not in title
