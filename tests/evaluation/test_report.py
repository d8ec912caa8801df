"""The report is self-contained, and its numbers are those of the tables on disk."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from report_tables import EMPTY, FILES, data_of, read_back

from iaca.evaluation.events import event_response, gate_auroc
from iaca.evaluation.report import FIGURES, ReportData, render_report
from iaca.evaluation.tables import video_table


@pytest.fixture(scope="module")
def folder(models, labels, events, tmp_path_factory):
    """The tables as the catalog writes them."""
    made = data_of(models, labels, events)
    folder = tmp_path_factory.mktemp("reporting")
    for name, file in FILES.items():
        table = made.benchmark.summary if name == "summary" else getattr(made, name)
        table.to_csv(folder / file, index=False)
    return folder


@pytest.fixture(scope="module")
def data(models, labels, events, folder):
    return read_back(data_of(models, labels, events), folder)


@pytest.fixture(scope="module")
def page(data):
    return BeautifulSoup(render_report(data), "html.parser")


def _numbers(element):
    return [float(found["value"]) for found in element.find_all("data") if found["value"]]


@pytest.mark.slow
def test_every_number_on_the_page_is_in_the_file_it_names(page, folder, data):
    named = page.select("[data-from]")
    drawn_or_in_words = {"event_response.csv", "failures_found.csv"}
    assert {element["data-from"] for element in named} == set(FILES.values()) - drawn_or_in_words
    for element in named:
        table = pd.read_csv(folder / element["data-from"])
        held = set(table.select_dtypes("number").to_numpy().ravel().tolist())
        assert set(_numbers(element)) <= held, element["data-from"]
    outside = [found for found in page.find_all("data") if not found.find_parent(attrs={"data-from": True})]
    places = [found.find_parent("section") for found in outside]
    assert {place["id"] for place in places if place} == {"model"}
    counts = data.comparison.query("main and partition == 'validation'")[["clips", "frames_valence", "videos_scored"]]
    assert {float(f["value"]) for f, place in zip(outside, places, strict=True) if not place} == set(counts.iloc[0])


@pytest.mark.parametrize("name", ["calibration", "regions", "gate_auroc", "corpus", "postprocessing"])
def test_a_table_on_the_page_has_every_row_of_its_file_in_order(page, folder, name):
    (shown,) = page.select(f'table[data-from="{FILES[name]}"]')
    table = pd.read_csv(folder / FILES[name])
    assert len(shown.tbody.find_all("tr")) == len(table)
    values = table.select_dtypes("number").to_numpy().ravel()
    assert _numbers(shown) == values[np.isfinite(values)].tolist()


def test_models_during_events_are_those_of_the_file(page, folder):
    (shown,) = page.select('table[data-from="event_scores.csv"]')
    rows = shown.tbody.find_all("tr")
    table = pd.read_csv(folder / "event_scores.csv")
    assert [row.find_all("td")[0].text for row in rows] == table["model"].tolist()
    differences = [f"difference_ccc_mean{end}" for end in ("", "_low", "_high")]
    for row, known in zip(rows, table.to_dict("records"), strict=True):
        own = [0.0] if known["main"] else [known[name] for name in differences if np.isfinite(known[name])]
        assert _numbers(row) == [*(known[name] for name in ("clips", "frames", "ccc_mean", "rmse")), *own]


def test_intervals_on_the_page_are_those_of_the_file_with_both_dimensions_side_by_side(page, folder):
    (shown,) = page.select('table[data-from="coverage.csv"]')
    table = pd.read_csv(folder / "coverage.csv")
    rows = shown.tbody.find_all("tr")
    names = [row.th.text for row in rows]
    assert names[:2] == ["train: all frames", "validation: all frames"]
    assert {"validation: outside of all events", "voice noisy", "face occluded"} < set(names)
    assert len(rows) == len(table) / 2
    columns = ["coverage", "coverage_low", "coverage_high", "width", "width_error_correlation", "constant_coverage"]
    first = table[(table["partition"] == "validation") & (table["kind"] == "all")].set_index("dimension")
    expected = [first.loc[name, column] for name in ("valence", "arousal") for column in columns]
    assert _numbers(rows[1]) == [value for value in expected if np.isfinite(value)]
    assert "90 % of the time" in page.select_one("#certainty p").text


def test_inconsistency_on_the_page_is_that_of_the_file(page, folder):
    (shown,) = page.select('table[data-from="inconsistency_scores.csv"]')
    rows = shown.tbody.find_all("tr")
    table = pd.read_csv(folder / "inconsistency_scores.csv")
    assert [row.th.text for row in rows] == [
        "voice noisy", "voice silent", "voice any", "face occluded", "voice or face any",
    ]  # fmt: skip
    for row, known in zip(rows, table.to_dict("records"), strict=True):
        names = ("auroc", "gate_auroc", "inconsistency_event", "inconsistency_clean")
        ends = ("event_clips", "event_frames", "unknown_event")
        intervals = [f"{name}{end}" for name in names[:2] for end in ("", "_low", "_high")]
        expected = [known[name] for name in (*intervals, *names[2:], *ends)]
        assert _numbers(row) == [value for value in expected if np.isfinite(value)]


def test_a_model_without_intervals_says_so(data):
    bare = replace(data, coverage=EMPTY["coverage"], inconsistency=EMPTY["inconsistency"])
    page = BeautifulSoup(render_report(bare), "html.parser")
    assert page.select_one("#certainty") is None
    for sentence in ("Intervals: no annotated frame has one", "Inconsistency around events: this needs"):
        assert sentence in page.select_one("#left_out").text


def test_failures_on_the_page_are_the_sentences_of_the_file(page, folder):
    table = pd.read_csv(folder / "failures_found.csv")
    shown = [line.text for line in page.select('[data-text-from="failures_found.csv"] li')]
    assert shown == table["sentence"].tolist()
    assert len(shown) > 2


def test_the_comparison_on_the_page_is_the_table(page, data):
    rows = data.comparison[data.comparison["partition"] == "validation"].set_index("model")
    shown = page.select("#comparison table")[0].tbody.find_all("tr")
    assert [row.th.text for row in shown] == list(rows.sort_values("ccc_mean", ascending=False).index)
    scores = [f"{name}{end}" for name in ("ccc_mean", "ccc_valence", "ccc_arousal") for end in ("", "_low", "_high")]
    for row in shown:
        expected = rows.loc[row.th.text]
        own = [0.0] * 3 if expected["main"] else list(expected[[f"difference_{name}" for name in scores]])
        assert _numbers(row) == [*expected[scores], *own]


def test_every_ranked_partition_has_the_best_model_first_and_one_without_a_score_last(data):
    rows = data.comparison[data.comparison["partition"] == "validation"]
    scores = {"validation": [0.2, np.nan, 0.7, 0.4], "train": [0.3, 0.6, np.nan, 0.5]}
    table = pd.concat([rows.assign(partition=name, ccc_mean=given) for name, given in scores.items()])
    page = BeautifulSoup(render_report(replace(data, comparison=table)), "html.parser")
    shown = [[row.th.text for row in found.tbody.find_all("tr")] for found in page.select("#comparison table")]
    validation = ["visual only", "audio only", "iaca", "concatenation"]
    assert shown == [validation, validation, ["concatenation", "audio only", "iaca", "visual only"]]


def test_what_is_read_is_the_exact_value_rounded(page):
    for found in page.find_all("data"):
        text = found.text.replace("−", "-").replace("\u202f", "").replace("\xa0", "").replace(" ", "")
        if found["value"] and text != "–":
            assert float(text) == pytest.approx(float(found["value"]), abs=0.5005e-3)


def test_the_headline_is_that_of_the_table(page, data):
    row = data.comparison[data.comparison["main"] & (data.comparison["partition"] == "validation")].iloc[0]
    names = ("ccc_mean", "ccc_valence", "ccc_arousal")
    assert _numbers(page.select_one("#headline")) == [
        row[name] for score in names for name in (score, f"{score}_low", f"{score}_high", f"video_{score}")
    ]


@pytest.mark.slow
def test_the_headline_has_test_before_validation_and_says_what_each_is_worth(models, labels, events):
    both = labels.assign(partition=labels["partition"].replace("train", "test"))
    data = data_of(models, both, events)
    page = BeautifulSoup(render_report(data), "html.parser")
    heads = page.select("#headline .part")
    assert [head.text for head in heads] == [
        "Test nothing was fitted to these clips, and nothing chosen by them",
        "Validation chose the epoch that was kept: too good an estimate for other clips",
    ]
    main = data.comparison[data.comparison["main"]].set_index("partition")
    cards = page.select("#headline .cards")
    for name, shown in zip(("test", "validation"), cards, strict=True):
        scores = [s for s in _numbers(shown.select_one(".ccc_mean")) if np.isfinite(s)]
        assert scores[0] == main.loc[name, "ccc_mean"]
        assert scores[-1] == main.loc[name, "video_ccc_mean"]
    assert len(page.select("#headline .few")) == 1  # one clip of test, three of validation
    assert "on the test partition: 1 clip, " in page.select_one(".lead").text
    assert "on the validation partition: 3 clips, " in page.select_one(".lead").text
    tables = page.select("#comparison > .scroll > table")
    assert [row.th.text for row in tables[1].tbody.find_all("tr")] == list(models)  # too few to be ranked


def test_the_page_needs_nothing_from_elsewhere(page, data):
    html = render_report(data)
    assert not page.find_all(["script", "link", "iframe"])
    sources = [tag.get("src") for tag in page.find_all(True) if tag.get("src")]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?://|url\(|@import", html)
    assert len(page.find_all("img")) == len(data.figures) + 1  # and the benchmark's
    assert all(image["alt"] for image in page.find_all("img"))


def test_the_contents_lead_to_every_section(page):
    targets = [link["href"] for link in page.nav.find_all("a")]
    assert targets == [f"#{section['id']}" for section in page.find_all("section")]


def test_names_are_escaped(page, data):
    html = render_report(data)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;workflow&gt;" in html
    assert page.select_one("#data table:nth-of-type(1)") is not None


def test_a_clip_named_like_a_tag_is_only_a_name(data, predictions, labels):
    odd = video_table(predictions.replace("a", "<script>"), labels.replace("a", "<script>"))
    html = render_report(ReportData("t", data.comparison, data.corpus, odd))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_bare_report_leaves_its_empty_sections_out_and_says_how_to_get_them(data):
    page = BeautifulSoup(render_report(ReportData("t", data.comparison, data.corpus, data.videos)), "html.parser")
    assert {section["id"] for section in page.find_all("section")} == {
        "headline", "comparison", "videos", "data", "left_out",
    }  # fmt: skip
    assert "None: every clip was read" in page.text
    assert "kedro run --pipelines benchmark" in page.select_one("#left_out").text


@pytest.mark.parametrize("name", sorted(EMPTY))
def test_a_table_without_rows_takes_its_pictures_and_numbers_with_it(data, name):
    page = BeautifulSoup(render_report(replace(data, **{name: EMPTY[name]})), "html.parser")
    assert not page.select(f'table[data-from="{FILES[name]}"]')
    gone = [slot.title for slot in FIGURES.values() if slot.needs == name]
    assert not [image for image in page.find_all("img") if image["alt"].split(":")[0] in gone]


def test_one_clip_and_no_baseline_make_a_report_too(models, labels, events):
    one = labels[labels["clip"] == "a"]
    page = BeautifulSoup(render_report(data_of({"iaca": models["iaca"]}, one, events)), "html.parser")
    assert "n/a" in page.select_one("#headline").text  # one clip has no interval
    assert len(page.select("#videos table")) == 1


@pytest.mark.slow
def test_too_few_clips_are_in_a_box_and_nothing_is_ranked(models, labels, events):
    two = labels[labels["clip"].isin(["a", "b"])]
    page = BeautifulSoup(render_report(data_of(models, two, events)), "html.parser")
    assert page.select_one("#headline .few").text.startswith("Too few: 2 clips of 2 subjects.")
    assert "not ranked" in page.select_one("#comparison p").text
    assert [row.th.text for row in page.select("#comparison tbody")[0].find_all("tr")] == list(models)
    assert page.select_one("#videos h2").text == "Videos"
    assert [row.th.text for row in page.select("#videos tbody tr")] == ["a", "b"]
    assert "Best" not in page.select_one("#videos").text
    assert not [image for image in page.find_all("img") if "Worst videos" in image["alt"]]
    assert not page.select("#comparison small")  # where the intervals are
    assert not page.select("#headline data[value='nan']")


def test_enough_clips_have_no_such_box(page):
    assert not page.select(".few")
    assert "best mean first" in page.select_one("#comparison p").text


def test_one_clip_is_written_in_the_singular(models, labels, events):
    one = labels[labels["clip"] == "a"]
    page = BeautifulSoup(render_report(data_of({"iaca": models["iaca"]}, one, events)), "html.parser")
    assert "partition: 1 clip, " in page.select_one(".lead").text
    assert "(1 video with a defined CCC)" in page.text


@pytest.mark.slow
def test_a_model_without_gates_and_a_corpus_without_events_make_a_report_too(models, labels, events):
    named = {"audio": models["audio only"], "concat": models["concatenation"]}
    for made in (data_of(named, labels, events), data_of(models, labels, events.head(0))):
        page = BeautifulSoup(render_report(made), "html.parser")
        assert not page.select("#gates")
        assert "Gates around events" in page.select_one("#left_out").text
    assert gate_auroc(named["audio"], events).empty
    assert event_response(named["audio"], events, made.analysis).empty


def test_no_video_is_both_best_and_worst(page):
    best, worst = page.select("#videos tbody")
    names = [{line.th.text for line in part.find_all("tr")} for part in (best, worst)]
    assert not names[0] & names[1]
    assert names[0] | names[1] == {"a", "b", "c"}
