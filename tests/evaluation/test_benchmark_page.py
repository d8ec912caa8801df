"""The page and the figures state in words what the summary states in numbers, whatever the result."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from benchmark_scores import CONDITIONS, made_up
from matplotlib.text import Text

from iaca.evaluation import style
from iaca.evaluation.benchmark_page import (
    PageData,
    _limit,
    curve_finding,
    difference_dots,
    looks,
    render_page,
    robustness_curves,
)
from iaca.evaluation.benchmark_summary import (
    AREA,
    certainty_summary,
    findings,
    gate_summary,
    gates_of_runs,
    in_short,
    summarise,
)
from iaca.evaluation.style import TITLES, level_text, listed, signed

SKILLS = {"iaca": 0.8, "concat": 0.75, "audio": 0.2, "jca": 0.9}
CORRUPTED = [condition for condition in CONDITIONS if condition[1]]


@pytest.fixture(scope="module")
def scores():
    return {(model, seed): made_up(skill, seed) for model, skill in SKILLS.items() for seed in range(4)}


@pytest.fixture(scope="module")
def summary(scores, tmp_path_factory):
    """As it is read back from disk."""
    path = tmp_path_factory.mktemp("page") / "summary.csv"
    summarise(scores, ["iaca"], replicates=100).to_csv(path, index=False)
    return pd.read_csv(path)


def page_of(summary, scores, **changes):
    data = {
        "summary": summary, "gates": gate_summary(gates_of_runs(scores)), "main": ["iaca"], "corpus": "Made up",
        "certainty": certainty_summary(scores),
        "caveat": "It proves nothing.", "partition": "test", "clips": 4, "steps": 1234,
        "facts": {"epochs": 3, "corruption": {"share": 0.6}},
    }  # fmt: skip
    return render_page(PageData(**(data | changes)))


@pytest.fixture(scope="module")
def page(summary, scores):
    return page_of(summary, scores)


def paired(summary, other):
    rows = summary[(summary["model"] == "iaca") & (summary["minus"] == other) & (summary["measure"] == "ccc_mean")]
    return rows.set_index(["corruption", "level"])


@pytest.mark.slow
@pytest.mark.parametrize("other", ["concat", "audio", "jca"])
def test_the_sentence_counts_the_verdicts_of_the_intervals(summary, page, other):
    rows = paired(summary, other).loc[CORRUPTED]
    better, worse = int((rows["low"] > 0).sum()), int((rows["high"] < 0).sum())
    sentence = next(line for line in page.splitlines() if line.startswith(f"- Against **{other}**"))
    assert f"Of 4 corrupted conditions better in {better}" in sentence
    assert f"worse in {worse}" in sentence
    assert f"undecided in {4 - better - worse}." in sentence
    clean = paired(summary, other).loc["clean", 0.0]
    expected = "better" if clean["low"] > 0 else "worse" if clean["high"] < 0 else "undecided"
    assert f"Against **{other}**: {expected} (" in sentence
    assert signed(clean["mean"]) in sentence


def test_the_levels_of_a_verdict_are_listed(summary):
    found = {finding.other: finding for finding in findings(summary, "iaca")}
    for other, finding in found.items():
        rows = paired(summary, other).loc[CORRUPTED]
        for corruption in ("conflict", "time_shift"):
            levels = rows.loc[corruption]
            better = [level_text(corruption, level) for level in levels.index[levels["low"] > 0]]
            expected = "every level" if len(better) == 2 else listed(better)
            assert finding.where["better"].get(corruption, "none") == expected
        decided = rows[(rows["low"] > 0) | (rows["high"] < 0)]
        agreed = ((decided["low"] > 0) & (decided["clips_low"] > 0)) | (
            (decided["high"] < 0) & (decided["clips_high"] < 0)
        )
        assert finding.confirmed == agreed.sum()


def test_a_main_model_that_is_worse_is_reported_as_worse(summary, page):
    assert paired(summary, "jca").loc[("clean", 0.0), "high"] < 0  # it was made up so
    assert re.search(r"worse than [^;]*jca", in_short(findings(summary, "iaca")))
    assert "Against **jca**: worse" in page


def test_the_tables_hold_the_numbers_of_the_summary(summary, page):
    for row in paired(summary, "concat").loc[CORRUPTED].itertuples():
        cell = f"{row.mean:+.3f} [{row.low:+.3f}, {row.high:+.3f}]".replace("-", "−")
        decided = row.low > 0 or row.high < 0
        assert (f"**{cell}**" if decided else f"| {cell} ") in page
    own = summary[summary["minus"].isna() & (summary["measure"] == "ccc_mean")]
    for row in own.itertuples():
        assert f"{row.mean:.3f} ± {row.sd:.3f}" in page


def test_table_rows_have_equal_numbers_of_cells(page):
    lines = page.splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) > 20
    for before, line in pairwise(lines):
        if line.startswith("|") and before.startswith("|"):
            assert line.count("|") == before.count("|")
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)


def test_the_page_states_its_limits(page):
    assert "> It proves nothing." in page
    assert "All seeds share the 4 clips" in page
    assert "n = 4 (five or more are advised)" in page
    assert "not corrected for their number" in page
    assert "epochs 3; corruption.share 0.6" in page


def test_gates_are_listed_by_kind_separately_for_known_events(page):
    gates = page[page.index("## Gates") : page.index("## How sure")]
    protocol, events = gates.split("known events")
    assert "| iaca | modalities | audio | " in protocol
    assert f"{0.5 + 0.4 * 0.8 + 0.015:.2f}"[:3] in protocol
    assert "silent" in events
    assert "silent" not in protocol


def test_intervals_and_inconsistency_of_the_main_models_are_listed(page, summary, scores):
    section = page[page.index("## How sure, and do voice and face agree") : page.index("## How to read")]
    covered, judged = section.split("AUROC of inconsistency")
    mean, half = 0.915, 3.182446 * np.std([0.9, 0.91, 0.92, 0.93], ddof=1) / 2
    assert f"| iaca | valence | {mean:.3f} [{mean - half:.3f}, {mean + half:.3f}] | 0.200 [" in covered
    assert covered.count("| iaca |") == 2
    assert "n/a |" in covered  # no correlation
    assert "| iaca | audio | noisy | 0.615 [" in judged
    assert "concat" not in section
    assert "90 % of the time" in section
    none = {key: [row | {"coverage": None, "inconsistency": []} for row in rows] for key, rows in scores.items()}
    assert "## How sure" not in page_of(summary, scores, certainty=certainty_summary(none))


@pytest.mark.slow
def test_a_page_needs_neither_gates_nor_intervals(scores):
    single = {key: [row | {"gates": []} for row in rows] for key, rows in scores.items() if key[1] == 0}
    summary = summarise(single, ["iaca"], replicates=100)
    page = page_of(summary, single, caveat="")
    assert "No model here has a gate" in page
    assert "Not ranked: no difference below has an interval." in page
    assert "undecided" not in page
    assert "[n/a" not in page  # one seed has neither spread nor interval: the numbers stand alone
    assert "± 0." not in page
    for figure in (robustness_curves(summary, ["iaca"], "test"), difference_dots(summary, ["iaca"], "test")):
        assert style.png(figure).startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize(("clips", "subjects", "seeds"), [(2, 2, 4), (4, 1, 4), (4, 4, 1)])
def test_what_is_too_few_is_in_a_box_and_nothing_is_ranked(scores, clips, subjects, seeds):
    few = {(model, seed): made_up(skill, seed, clips) for model, skill in SKILLS.items() for seed in range(seeds)}
    summary = summarise(few, ["iaca"], 100, subjects)
    page = page_of(summary, few, clips=clips, subjects=subjects)
    told = f"{seeds} seed" if seeds == 1 else f"{clips} clips of {subjects} subject{'s' * (subjects > 1)}"
    assert f"> **Too few: {told}" in page
    found = page.split("## What was found")[1].split("##")[0].strip()
    assert found == "Not ranked: no difference below has an interval."
    assert not re.search(r"better than [a-z]|[+−]\d\.\d+ \[[+−]", page)
    clean = page.split("## Clean")[1].split("##")[0]
    rows = [line.split("|")[1].strip() for line in clean.splitlines() if line.startswith("|")]
    assert [name for name in rows if name in SKILLS] == list(SKILLS)  # as given, not the best first
    for figure in (robustness_curves(summary, ["iaca"], "test"), difference_dots(summary, ["iaca"], "test")):
        assert figure.texts[0].get_text() == "Too few clips, subjects or seeds to rank the models"
    assert f"4 models x {seeds} seed{'s' * (seeds > 1)}, all" in page
    assert not re.search(r"\b1 (clips|seeds|subjects|corruptions|annotated steps)\b", page)


def test_clips_that_could_not_be_corrupted_are_named(summary, scores, page):
    reasons = {"audio_noise": {"a": "no sound", "c": "no sound"}, "video_blur": {"b": "no face"}}
    with_reasons = page_of(summary, scores, left_alone=reasons)
    assert "- **Left alone**: White noise in the sound: 2 clips (no sound): a, c." in with_reasons
    assert "- **Left alone**: Face blurred: 1 clip (no face): b." in with_reasons
    assert "Left alone" not in page


@pytest.fixture(scope="module")
def figures(summary):
    drawn = {"curves": robustness_curves(summary, ["iaca"], "test"), "dots": difference_dots(summary, ["iaca"], "test")}
    for figure in drawn.values():
        style.png(figure)
    return drawn


@pytest.mark.slow
def test_figures_are_readable_and_nothing_leaves_the_paper(figures):
    for name, figure in figures.items():
        texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert min(text.get_fontsize() for text in texts) >= 9, name
        drawn = figure.get_tightbbox()
        assert (drawn.x0, drawn.y0) >= (-0.01, -0.01), name
        assert (drawn.x1, drawn.y1) <= (figure.get_figwidth() + 0.01, figure.get_figheight() + 0.01), name


@pytest.mark.slow
def test_titles_of_adjacent_panels_do_not_touch(summary):
    some = summary[(summary["minus"] == "concat") & (summary["measure"] == AREA)].head(1)
    more = [some.assign(corruption=name) for name in TITLES if name not in set(summary["corruption"])]
    figure = difference_dots(pd.concat([summary, *more]), ["iaca"], "test")
    style.png(figure)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == len(TITLES)
    ends = [(text.y0, text.x0, text.x1) for text in (axes._left_title.get_window_extent() for axes in panels)]
    for (y, _, end), (next_y, start, _) in pairwise(ends):
        assert next_y < y - 1 or end + 4 <= start


def test_there_is_a_panel_for_every_corruption_with_a_line_for_every_model(figures):
    panels = [axes for axes in figures["curves"].axes if axes.get_visible()]
    assert len(panels) == 2
    assert all(len(axes.lines) == len(SKILLS) for axes in panels)
    assert len([axes for axes in figures["dots"].axes if axes.get_visible()]) == 3  # and the clean partition


def test_the_title_counts_conditions_ahead_and_behind(summary, figures):
    rows = paired(summary, "concat").loc[CORRUPTED]
    ahead, behind = int((rows["low"] > 0).sum()), int((rows["high"] < 0).sum())
    assert curve_finding(summary, ["iaca"]) == f"Of 4 conditions, ahead of concat: iaca in {ahead}, behind in {behind}"
    assert figures["curves"].texts[0].get_text() == curve_finding(summary, ["iaca"])


def test_a_curve_goes_through_the_means_of_its_levels(summary, figures):
    axes = next(axes for axes in figures["curves"].axes if axes.get_title("left") == "Another clip's voice or face")
    drawn = max(axes.lines, key=lambda line: line.get_linewidth())
    own = summary[summary["minus"].isna() & (summary["measure"] == "ccc_mean") & (summary["model"] == "iaca")]
    expected = own[own["corruption"] == "conflict"].sort_values("level")
    np.testing.assert_allclose(drawn.get_ydata(), expected["mean"])
    np.testing.assert_allclose(drawn.get_xdata(), 100 * expected["level"])


FAMILY = [
    "iaca", "concat", "audio", "visual", "jca", "ca", "dca", "lfan", "iaca_plus", "late", "ridge",
    "rjca", "grjca", "hgrjca", "tagf", "cold", "raav", "dca_paper",
]  # fmt: skip


@pytest.mark.parametrize(("scale", "half"), [(0.1, 0.03), (1.0, 0.16), (3.0, 0.48)])
def test_differences_are_drawn_to_the_scale_of_most_of_them(scale: float, half: float) -> None:
    """1.6 times the median of their farthest ends, at least 0.03; one far off does not make the others small."""
    rows = pd.DataFrame(
        {"low": [-0.1, -0.02, -5.0, np.nan], "mean": [0.0, 0.04, 0.0, np.nan], "high": [0.05, 0.08, 1.0, np.nan]}
    )
    assert _limit(scale * rows) == pytest.approx(half)
    assert _limit(rows.iloc[3:]) == 1.0


@pytest.mark.parametrize("models", [FAMILY[:2], FAMILY[:11], FAMILY])
def test_the_legend_of_any_number_of_models_fits_into_the_picture(summary, models):
    like = summary[summary["minus"].isna() & (summary["model"] == "iaca")]
    figure = robustness_curves(pd.concat([like.assign(model=name) for name in models]), [], "test")
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == [
        look.label or name for name, look in looks(models, []).items()
    ]
    box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    below = min(axes.get_tightbbox().y0 for axes in figure.axes if axes.get_visible())
    assert figure.bbox.y0 <= box.y0 < box.y1 <= below


def test_every_model_has_its_own_look():
    models = FAMILY
    drawn = looks(models, ["iaca", "iaca_plus"])
    assert set(drawn) == set(models)
    assert list(drawn)[:3] == ["iaca", "iaca_plus", "concat"]
    assert len({(look.colour, str(look.line)) for look in drawn.values()}) == len(models)
