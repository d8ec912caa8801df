"""The picture of a video shows the curves, the gates, and where something was missing."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from iaca.errors import InputError
from iaca.evaluation import style
from iaca.inference.plot import prediction_plot


@pytest.fixture
def table():
    time_s = np.arange(250) / 25
    return pd.DataFrame(
        {
            "time_s": time_s,
            "valence": np.sin(time_s) * 0.5,
            "arousal": np.cos(time_s) * 0.5,
            "face_found": (time_s < 3) | (time_s >= 5),
            "audio_present": True,
            "gate_modalities_audio": 0.4,
            "gate_modalities_visual": 0.6,
        }
    )


def words(figure):
    style.png(figure)
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible()]


def test_it_names_the_video_and_what_was_found(table):
    figure = prediction_plot(table, "interview.mp4")
    assert figure.texts[0].get_text() == "interview.mp4"
    assert "relies on the voice for 40 %" in figure.texts[1].get_text()


def test_the_stretch_without_a_face_is_a_bar_of_its_length(table):
    figure = prediction_plot(table, "a")
    bars = [patch for patch in figure.axes[-1].patches if patch.get_width() > 0]
    assert [(round(bar.get_x(), 2), round(bar.get_width(), 2)) for bar in bars] == [(3.0, 2.0)]


def test_no_words_lie_over_the_traces(table):
    figure = prediction_plot(table.assign(valence=0.99), "a")  # a trace at the top, where "no face" was written
    style.png(figure)
    assert [text.get_text() for text in figure.axes[0].texts] == []
    assert "no face" in [label.get_text() for label in figure.axes[-1].get_yticklabels()]


def test_the_means_are_those_of_the_summary_and_no_zero_is_negative(table):
    table = table.assign(valence=np.where(table["face_found"], 0.5, -0.9), arousal=-0.001)
    said = prediction_plot(table, "a").texts[1].get_text()
    assert said.startswith("Mean valence +0.50 (in 80 % of frames), mean arousal 0.00 (in 80 % of frames); strongest")
    unread = prediction_plot(table.assign(valence=np.nan), "a").texts[1].get_text()
    assert unread.startswith("Valence not read, mean arousal 0.00")
    flat = prediction_plot(table.assign(valence=np.nan, arousal=0.0), "a").texts[1].get_text()
    assert "strongest" not in flat


def test_one_modality_needs_one_panel_less(table):
    alone = table.drop(columns=["gate_modalities_audio", "gate_modalities_visual"])
    assert len(prediction_plot(alone, "a").axes) == len(prediction_plot(table, "a").axes) - 1


def test_events_are_labelled_by_their_kind(table):
    events = pd.DataFrame({"modality": ["audio"], "kind": ["noisy"], "start_s": [1.0], "end_s": [4.0]})
    assert "noisy" in words(prediction_plot(table, "a", events))


def test_a_video_without_any_prediction_is_still_a_picture(table):
    nothing = table.assign(valence=np.nan, arousal=np.nan, gate_modalities_audio=np.nan, gate_modalities_visual=np.nan)
    assert "Neither face nor sound" in " ".join(words(prediction_plot(nothing, "a")))


def test_a_single_frame_is_a_picture_and_none_is_an_error(table):
    assert "a" in words(prediction_plot(table.head(1), "a"))
    with pytest.raises(InputError, match="no predictions"):
        prediction_plot(table.head(0), "a")


@pytest.mark.slow
def test_inconsistency_is_a_band_and_says_how_often_it_is_unusual(table):
    figure = prediction_plot(table.assign(inconsistency=np.where(table["face_found"], 0.4, 0.99)), "a")
    assert len(figure.axes) == len(prediction_plot(table, "a").axes) + 1
    assert "above 0.95 in 20 % of the time they are both known" in words(figure)
    assert len(prediction_plot(table.assign(inconsistency=np.nan), "a").axes) == len(prediction_plot(table, "a").axes)
    (panel,) = (axes for axes in figure.axes if axes.get_title("left") == "Voice and face disagree")
    whole, unusual = (np.concatenate([path.vertices for path in band.get_paths()]) for band in panel.collections)
    assert (whole[:, 0].min(), whole[:, 0].max()) == pytest.approx((table["time_s"].min(), table["time_s"].max()))
    assert sorted(set(whole[:, 1].round(6))) == [0.0, 0.4, 0.99]
    assert sorted(set(unusual[:, 1].round(6))) == [0.0, 0.99]


def test_intervals_are_bands_around_the_traces(table):
    ends = {f"{name}_{end}": table[name] + shift for name in ("valence", "arousal")
            for end, shift in (("low", -0.2), ("high", 0.3))}  # fmt: skip
    with_bands, without = (prediction_plot(one, "a").axes for one in (table.assign(**ends), table))
    assert len(with_bands) == len(without) + 1  # overlapping bands could not be told apart: a panel for each dimension
    for axes, name in zip(with_bands, ("valence", "arousal"), strict=False):
        bands = axes.collections
        assert len(bands) == 1
        drawn = bands[0].get_paths()[0].vertices[:, 1]
        assert (drawn.min(), drawn.max()) == pytest.approx((table[name].min() - 0.2, table[name].max() + 0.3), abs=1e-6)


def test_the_weights_that_act_are_drawn_for_valence_and_for_arousal(table):
    acting = {"gate_readings_valence_audio": 0.25, "gate_readings_valence_visual": 0.75,
              "gate_readings_arousal_audio": 0.625, "gate_readings_arousal_visual": 0.375}  # fmt: skip
    figure = prediction_plot(table.assign(**acting), "a")  # it has a gate `modalities` as well, which does not act
    said = words(figure)
    assert "What the model relied on for valence: voice 25 %" in said
    assert "What the model relied on for arousal: voice 62 %" in said
    drawn = [axes.collections[0].get_paths()[0].vertices[:, 1].max() for axes in figure.axes[1:3]]
    assert drawn == pytest.approx([0.25, 0.625])


@pytest.mark.slow
def test_several_people_have_panels_of_their_own_and_a_crowd_is_cut(table):
    alone = len(prediction_plot(table, "a").axes)
    figure = prediction_plot([table, table.assign(face_found=table["time_s"] < 5)], "a")
    assert len(figure.axes) == 2 * alone
    said = " ".join(words(figure))
    assert "2 people" in said
    assert "Person 2, 0.0 to 5.0 s, 50 % of frames" in said
    crowd = prediction_plot([table] * 8, "a")
    assert len(crowd.axes) == 6 * alone
    assert "8 people; the 6 largest are drawn" in " ".join(words(crowd))
