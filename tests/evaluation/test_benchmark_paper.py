"""The table and the figure that a paper prints: their numbers, their marks, and LaTeX that is well formed."""

from __future__ import annotations

import re
from itertools import chain

import numpy as np
import pandas as pd
import pytest

from iaca.evaluation import style
from iaca.evaluation.benchmark_page import UNRANKED
from iaca.evaluation.benchmark_paper import (
    PAIRS,
    finding,
    grouped,
    latex_table,
    paper_figure,
    paper_table,
)
from iaca.evaluation.config import FAMILY, PAPER_LEVELS, BenchmarkConfig

LEVELS = (0.0, 0.5, 0.9)
GAIN = 0.1  # of IACA over JCA, when all of the voice is missing


def value(model: str, seed: int, level: float) -> float:
    """CCC of valence. It falls with the level; less for `iaca`, by the same for all seeds; `iaca_rjca` scatters."""
    noise = 0.01 * np.cos(3 * seed)
    if model == "iaca_rjca":
        return 0.6 - 0.2 * level + noise + 0.02 * (-1) ** seed
    gain = GAIN * level if model == "iaca" else 0.0
    return 0.6 - 0.2 * level + noise + gain


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    rows = [
        (model, seed, corruption, level, value(model, seed, level), value(model, seed, level) - 0.1)
        for model in ("concat", "jca", "rjca", "iaca", "iaca_rjca", "my_own")
        for seed in range(4)
        for corruption, level in (("clean", 0.0), *(("missing_audio", level) for level in LEVELS), ("conflict", 0.5))
    ]
    return pd.DataFrame(rows, columns=["model", "seed", "corruption", "level", "ccc_valence", "ccc_arousal"])


@pytest.fixture(scope="module")
def table(results: pd.DataFrame) -> pd.DataFrame:
    return paper_table(results)


def one(table: pd.DataFrame, **where: object) -> pd.Series:
    for name, wanted in where.items():
        table = table[table[name].isna() if wanted is None else table[name] == wanted]
    assert len(table) == 1
    return table.iloc[0]


def test_the_table_has_every_model_and_iaca_minus_the_attention_it_is_over(table: pd.DataFrame) -> None:
    assert set(table["corruption"]) == {"clean", "missing_audio"}
    row = one(table, model="jca", minus=None, corruption="missing_audio", level=0.5, measure="ccc_mean")
    values = [value("jca", seed, 0.5) - 0.05 for seed in range(4)]
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["sd"] == pytest.approx(np.std(values, ddof=1))
    assert set(table["minus"].dropna()) == {"jca", "rjca"}
    gap = one(table, model="iaca", minus="jca", corruption="missing_audio", level=0.9, measure="ccc_valence")
    assert gap["mean"] == pytest.approx(0.9 * GAIN)
    assert gap["low"] == pytest.approx(gap["high"])  # paired by seed: what seeds share is gone


def test_the_title_counts_what_the_table_says(table: pd.DataFrame) -> None:
    assert finding(table) == (
        "IACA minus the attention it is over: of 4 levels above 0 in 2, below 0 in 0; the gap grows on 1 of 2 curves"
    )


def test_latex_is_well_formed_and_marks_the_best_and_what_is_decided(table: pd.DataFrame) -> None:
    text = latex_table(table, "50% of A_B & C", "test")
    assert "50\\% of A\\_B \\& C" in text
    assert text.count("{") == text.count("}")
    assert [text.count(f"\\{rule}") for rule in ("toprule", "bottomrule", "begin{table}", "end{table}")] == [1, 1, 1, 1]
    body = [line for line in text.splitlines() if line.endswith("\\\\") and "multicolumn" not in line]
    assert {line.count("&") for line in body} == {5}  # clean: valence, arousal, mean; then two levels
    rows = {line.split(" & ")[0]: line for line in body}
    assert "My" not in "".join(rows)
    assert "my\\_own" in rows
    assert rows["IACA over JCA"].count("$^{+}$") == 2  # at both levels, not on the clean partition
    assert "$^{" not in rows["IACA over RJCA"]
    assert rows["IACA over JCA"].count("\\textbf") == 5
    assert rows["JCA"].count("\\textbf{") == 3
    mean = one(table, model="iaca", minus=None, corruption="missing_audio", level=0.9, measure="ccc_mean")
    assert f"\\textbf{{{mean['mean']:.3f}}}$^{{+}}$ {{\\scriptsize $\\pm$ {mean['sd']:.3f}}}" in rows["IACA over JCA"]


def test_a_negative_mean_has_a_minus(results: pd.DataFrame) -> None:
    below = results.assign(ccc_valence=-results["ccc_valence"].abs() - 0.1)
    body = [line for line in latex_table(paper_table(below), "corpus", "test").splitlines() if line.endswith("\\\\")]
    valences = [line.split(" & ")[1] for line in body if "multicolumn" not in line and not line.startswith("model")]
    assert all(re.match(r"(\\textbf\{)?\$-\$0\.\d{3}", cell) for cell in valences)


def test_one_seed_has_no_deviation_and_no_mark(results: pd.DataFrame) -> None:
    text = latex_table(paper_table(results[results["seed"] == 0]), "corpus", "test")
    assert "pm" not in text
    assert "nan" not in text
    assert UNRANKED in text
    assert not re.search(r"\$\^|textbf", text)


def test_with_too_few_clips_nothing_is_ranked(results: pd.DataFrame) -> None:
    table = paper_table(results, few=True)
    assert table[["low", "high"]].isna().all(axis=None)
    assert finding(table) == UNRANKED
    text = latex_table(table, "corpus", "test")
    assert f"{UNRANKED}.}}" in text
    assert "textbf" not in text
    assert "$^" not in text
    assert "$\\pm$" in text


def test_a_dimension_that_was_not_learned_is_a_dash(results: pd.DataFrame) -> None:
    text = latex_table(paper_table(results.assign(ccc_valence=np.nan)), "corpus", "test")
    assert "\nJCA & -- & \\textbf{0." in text
    assert "nan" not in text


def test_models_are_grouped_and_none_is_lost() -> None:
    assert grouped(["iaca", "jca", "mine", "audio"]) == [["audio"], ["jca"], ["iaca"], ["mine"]]
    assert sorted(chain.from_iterable(grouped(FAMILY))) == sorted(FAMILY)


@pytest.mark.slow
def test_the_figure_has_a_column_for_each_attention_and_one_for_the_others(table: pd.DataFrame) -> None:
    figure = paper_figure(table, "corpus", "test")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["JCA", "RJCA", "Other models"] * 2
    jca = figure.axes[0]
    assert jca.get_title(loc="right") == "+0.05 to +0.09"
    curves = [line.get_ydata() for line in jca.lines]
    expected = [
        np.mean([value(model, seed, level) for seed in range(4)]) for model in ("jca", "iaca") for level in LEVELS
    ]
    np.testing.assert_allclose(np.concatenate(curves), expected)
    assert style.png(figure) == style.png(paper_figure(table, "corpus", "test"))
    mixed = paper_figure(table.iloc[::-1], "corpus", "test").axes[0]
    assert mixed.get_title(loc="right") == "+0.05 to +0.09"
    mean_by_level = {line.get_linewidth(): list(line.get_ydata()) for line in mixed.lines}
    assert mean_by_level == {line.get_linewidth(): list(line.get_ydata()) for line in jca.lines}


def test_without_missing_sound_the_figure_says_so(results: pd.DataFrame) -> None:
    table = paper_table(results[results["corruption"] != "missing_audio"])
    figure = paper_figure(table, "corpus", "test")
    assert not figure.axes
    assert any("missing_audio" in text.get_text() for text in figure.texts)
    assert "multicolumn{3}{c}{clean} \\\\" in latex_table(table, "corpus", "test")


def test_the_comparison_of_the_paper_takes_the_place_of_models_and_levels() -> None:
    config = BenchmarkConfig(
        comparison="paper",
        models="iaca+concat",
        main="concat",
        seeds="0+1",
        corruption={"seed": 7, "levels": {"conflict": [1]}},
    )
    assert [model.label for model in config.models] == list(FAMILY)
    assert config.main == ("iaca",)
    assert config.corruption.levels == {"missing_audio": PAPER_LEVELS}
    assert config.corruption.seed == 7
    assert set(PAIRS) | set(PAIRS.values()) < set(FAMILY)
    assert BenchmarkConfig.model_validate(config.model_dump()) == config


def test_a_width_is_that_of_every_model_that_names_none() -> None:
    wide = {"preset": "iaca", "width": 32, "name": "wide"}
    config = BenchmarkConfig(models=["iaca", "concat", wide], seeds=[0], main=["iaca"], width=16)
    chosen = {run: model.choice().build(3, 5).width for run, (model, _) in config.runs().items()}
    assert chosen == {"iaca-seed0": 16, "concat-seed0": 16, "wide-seed0": 32}
    with pytest.raises(ValueError, match="heads=4 does not divide width=18"):
        BenchmarkConfig(models=["iaca", "concat"], main=["iaca"], width=18)
