"""Every command of the documentation is run by a test or says what it needs; none has a typo."""

import ast
import re

import pytest
from covered import COVERED, RUN
from documented_params import check_run
from pages import Typed, commands, spans

from project import ROOT, Command

TYPED = list(commands())
FICTION = {'kedro run --pipelines training --params "fusion.attention=mean"'}  # of a part the page invents
KEDRO = [t for t in [*TYPED, *spans()] if t.words.startswith("kedro run") and t.words not in FICTION]


def name(typed: Typed) -> str:
    return f"{typed.place} {typed.words}"[:120]


def patterns(words: str) -> list[str]:
    return [pattern for pattern in COVERED if re.fullmatch(pattern, words)]


@pytest.mark.parametrize("typed", TYPED, ids=name)
def test_a_command_is_run_by_a_test_or_says_what_it_needs(typed: Typed) -> None:
    told = (
        f"{typed.place}: `{typed.words}` is run by no test. Add it to tests/docs/covered.py, "
        "or put <!-- needs: WHAT --> on the line before its block"
    )
    assert typed.needs or typed.words in RUN or patterns(typed.words), told


@pytest.mark.parametrize("test", sorted(set(COVERED.values())))
def test_the_tests_that_are_named_are_there(test: str) -> None:
    path, function = test.split("::")
    tree = ast.parse((ROOT / path).read_text())
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.usefixtures("default_pipelines")
@pytest.mark.parametrize("words", sorted({typed.words for typed in KEDRO}))
def test_environments_pipelines_and_parameters_of_a_run_are_real(words: str) -> None:
    check_run(words)


@pytest.mark.usefixtures("default_pipelines")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("kedro run --params training.epochz=3", "epochz"),
        ("kedro run --params trainning.epochs=3", "trainning"),
        ("kedro run --env featurez", "featurez"),
        ("kedro run --env features --pipelines preprocesing", "preprocesing"),
        ("kedro run --parms training.epochs=3", "parms"),
        ('kedro run --params "benchmark.seeds=[0,1]"', "takes no lists"),
    ],
)
def test_a_typo_is_found(words: str, told: str) -> None:
    with pytest.raises((AssertionError, ValueError), match=told):
        check_run(words)


@pytest.mark.slow
@pytest.mark.parametrize(("words", "told"), RUN.items())
def test_a_cheap_command_is_run_as_it_stands(kedro: Command, words: str, told: str) -> None:
    assert told in kedro(*words.split()).stdout
