"""Names, notes and settings of others that look like markup are words: in the report, its figures, card and page."""

from dataclasses import replace

import markdown
import pandas as pd
import pytest
from benchmark_scores import made_up
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from report_tables import data_of

from iaca.encoders.config import Origin
from iaca.evaluation import style
from iaca.evaluation.benchmark_page import PageData, render_page
from iaca.evaluation.benchmark_summary import certainty_summary, gate_summary, gates_of_runs, summarise
from iaca.evaluation.errors import response_plot
from iaca.evaluation.figures import gates_beside_events, traces
from iaca.evaluation.metrics import join_labels
from iaca.evaluation.report import CardData, render_card, render_report
from iaca.inference.plot import prediction_plot

NAMES = [
    "<img src=x onerror=alert(1)>",
    "</code><script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](javascript:alert(1))",
    "[x]: javascript:alert(1)",
    "a|b",
    "a\\|b\\",
    "`a`b",
    "a``b",
    "a &lt;b&gt; &amp; c",
    "*a* __b__ _c_ a_b",
    "a\nb",
    "a\r\n\r\n# b",
    "$\\frac{a$",
]
LAWFUL = {"report.html", "benchmark_summary.png"}  # what the pages themselves lead to


def readers(text: str) -> list[BeautifulSoup]:
    """A text of Markdown as two readers of it show it, both of which let HTML through."""
    shown = markdown.markdown(text, extensions=["tables"]), MarkdownIt("commonmark").enable("table").render(text)
    return [BeautifulSoup(page, "html.parser") for page in shown]


def visible(name: str) -> str:
    return " ".join(name.split())


def only_words(page: BeautifulSoup, name: str, times: int) -> None:
    """The name is shown as it is, and has made nothing of its own: no element, no link, no cell."""
    assert not page.find_all(["script", "iframe", "svg", "object"])
    assert {image.get("src") for image in page.find_all("img")} <= LAWFUL
    assert {link.get("href") for link in page.find_all("a")} <= LAWFUL
    assert not [tag for tag in page.find_all(True) if any(key.startswith("on") for key in tag.attrs)]
    assert visible(page.text).count(visible(name)) >= times, page.text
    for table in page.find_all("table"):
        assert len({len(row.find_all(["td", "th"])) for row in table.find_all("tr")}) == 1


@pytest.fixture(scope="module")
def report(models, labels, events):
    return data_of(models, labels, events)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_on_the_model_card_they_are_words(report, name):
    odd = replace(
        report,
        note=name,
        facts={"fingerprint": name, name: 1},
        comparison=report.comparison.replace("concatenation", name),
        corpus=report.corpus.replace("train", name),
        event_scores=report.event_scores.replace({"noisy": name, "concatenation": name}),
        gate_auroc=report.gate_auroc.replace("noisy", name),
        failures=report.failures.assign(sentence=name),
    )
    card = CardData(odd, name, "iaca", [Origin("audio encoder", name, name, name, name)])
    for page in readers(render_card(card)):
        only_words(page, name, 14)
        assert [title.text for title in page.find_all("h1")] == [f"Model card: iaca on {visible(name)}"]
        assert len(page.find_all("h2")) == 9


@pytest.fixture(scope="module")
def scores():
    skills = {"iaca": 0.8, "concat": 0.75}
    return {(model, seed): made_up(skill, seed) for model, skill in skills.items() for seed in range(2)}


@pytest.fixture(scope="module")
def summary(scores):
    return summarise(scores, ["iaca"], replicates=100)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_on_the_benchmark_page_they_are_words(summary, scores, name):
    gates = gate_summary(gates_of_runs(scores)).replace({"silent": name, "iaca": name})
    certainty = certainty_summary(scores).replace({"noisy": name, "iaca": name})
    data = PageData(
        certainty=certainty,
        summary=summary.replace("iaca", name), gates=gates, main=[name], corpus=name, caveat=name, partition="test",
        clips=4, steps=10, facts={"training": {"note": name, "names": [name]}},
        left_alone={"audio_noise": {name: name}},
    )  # fmt: skip
    for page in readers(render_page(data)):
        only_words(page, name, 7)
        assert [title.text for title in page.find_all("h1")] == [f"Benchmark: {visible(name)}"]


@pytest.mark.parametrize("name", NAMES[:3])
def test_in_the_report_they_are_words(report, name):
    odd = replace(
        report, title=name, videos=report.videos.replace("a", name), note=name, facts={name: name},
        problems=pd.DataFrame({"clip": [name], "problem": [name]}), failures=report.failures.assign(sentence=name),
    )  # fmt: skip
    page = BeautifulSoup(render_report(odd), "html.parser")
    assert not page.find_all(["script", "iframe", "svg", "object"])
    assert {link["href"][0] for link in page.find_all("a")} == {"#"}
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.find_all("img"))
    assert visible(page.text).count(visible(name)) >= 7


@pytest.mark.slow
def test_in_figures_they_are_words(report, models, labels, events):
    """Two dollar signs begin a formula in matplotlib, and one that it can't read would stop the run."""
    name = "<b>$\\frac{a$"
    clips = {"a": name, "noisy": name}
    table = join_labels(models["iaca"], labels).replace(clips)
    drawn = [
        traces(table, [name], f"Best agreement: {name}"),
        gates_beside_events(models["iaca"].replace(clips), events.replace(clips), [name]),
        response_plot(report.event_response.replace(clips)),
        prediction_plot(models["iaca"][models["iaca"]["clip"] == "a"], name),
    ]
    assert all(style.png(figure).startswith(b"\x89PNG") for figure in drawn)
