"""The report needs nothing but itself, and its numbers are those of the tables."""

import re

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from iaca.evaluation import style
from iaca.evaluation.events import gate_auroc
from iaca.evaluation.figures import report_figures
from iaca.evaluation.report import ReportData, cell, count, difference, number, render_report
from iaca.evaluation.tables import comparison, video_table


@pytest.fixture(scope="module")
def data(models, predictions, labels, events):
    table = comparison(models, labels, replicates=100)
    drawn = report_figures(predictions, labels, table, "validation", events)
    return ReportData(
        title="Four clips",
        comparison=table,
        corpus=pd.DataFrame({"partition": ["train", "validation"], "clips": [1, 3], "frames": [300, 12900]}),
        videos=video_table(predictions, labels),
        problems=pd.DataFrame({"clip": ["<script>alert(1)</script>"], "problem": ["labels & video differ"]}),
        gate_auroc=gate_auroc(predictions, events),
        figures={slot: style.png(figure) for slot, figure in drawn.items()},
        facts={"parameters": 412345, "fingerprint": "9f1c2d"},
        note="Not about people.\n\nOnly about the <workflow>.",
    )


@pytest.fixture(scope="module")
def page(data):
    return BeautifulSoup(render_report(data), "html.parser")


def _numbers(element):
    return [float(found["value"]) for found in element.find_all("data") if found["value"]]


def test_the_comparison_on_the_page_is_the_table(page, data):
    rows = data.comparison[data.comparison["partition"] == "validation"].set_index("model")
    shown = page.select("#comparison table")[0].tbody.find_all("tr")
    assert [row.th.text for row in shown] == list(rows.sort_values("ccc_mean", ascending=False).index)
    scores = [f"{name}{end}" for name in ("ccc_mean", "ccc_valence", "ccc_arousal") for end in ("", "_low", "_high")]
    for row in shown:
        expected = rows.loc[row.th.text]
        own = [0.0] * 3 if expected["main"] else list(expected[[f"difference_{name}" for name in scores]])
        assert _numbers(row) == [*expected[scores], *own]


def test_what_is_read_is_the_exact_value_rounded(page):
    for found in page.find_all("data"):
        text = found.text.replace("−", "-").replace("\u202f", "").replace("\xa0", "").replace(" ", "")
        if found["value"] and text != "–":
            assert float(text) == pytest.approx(float(found["value"]), abs=0.5005e-3)


def test_the_headline_and_the_gates_are_those_of_the_tables(page, data):
    row = data.comparison[data.comparison["main"] & (data.comparison["partition"] == "validation")].iloc[0]
    names = ("ccc_mean", "ccc_valence", "ccc_arousal")
    assert _numbers(page.select_one("#headline")) == [
        row[name] for score in names for name in (score, f"{score}_low", f"{score}_high", f"video_{score}")
    ]
    shown = [_numbers(line)[0] for line in page.select("#gates tbody tr")]
    assert shown == list(data.gate_auroc["auroc"])


def test_the_page_needs_nothing_from_elsewhere(page, data):
    html = render_report(data)
    assert not page.find_all(["script", "link", "iframe"])
    sources = [tag.get("src") or tag.get("href") for tag in page.find_all(True)]
    assert all(source.startswith("data:image/png;base64,") for source in sources if source)
    assert not re.search(r"https?://|url\(|@import", html)
    assert len(page.find_all("img")) == len(data.figures)
    assert all(image["alt"] for image in page.find_all("img"))


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


def test_a_bare_report_leaves_its_empty_sections_out(data):
    page = BeautifulSoup(render_report(ReportData("t", data.comparison, data.corpus, data.videos)), "html.parser")
    assert {section["id"] for section in page.find_all("section")} == {"headline", "comparison", "videos", "data"}
    assert "None: every clip was read" in page.text


def test_no_video_is_both_best_and_worst(page):
    best, worst = page.select("#videos tbody")
    names = [{line.th.text for line in part.find_all("tr")} for part in (best, worst)]
    assert not names[0] & names[1]
    assert names[0] | names[1] == {"a", "b", "c"}


def test_numbers_are_written_for_readers():
    assert str(number(-0.12345)) == '<data value="-0.12345">−0.123</data>'
    assert "n/a" in number(float("nan"))
    assert "n/a" in number(None)
    assert ">+0.020<" in difference(0.02)
    assert ">–<" in difference(0.0)
    assert ">12 900<" in count(12900).replace("\u202f", " ").replace("\xa0", " ")
    assert cell("a<b") == "a<b"  # escaped by the template, once
    assert cell(True) == "yes"
