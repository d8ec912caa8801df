"""Every command of the documentation is run by a test or says what it needs; none has a typo."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from covered import COVERED, RUN
from documented_params import check_run
from pages import Typed, commands, spans

from project import ROOT, Command

TYPED = list(commands())
FICTION = {'kedro run --pipelines training --params "fusion.attention=mean"'}  # of a part the page invents
NAMED = [*TYPED, *spans()]
KEDRO = [t for t in NAMED if t.words.startswith("kedro run") and t.words not in FICTION]
PROGRAM = re.compile(r"python (?:-m (?P<module>iaca[\w.]*)|(?P<file>[\w/]+\.py))(?: .*)?")
PROGRAMS = {typed.words: found for typed in NAMED if (found := PROGRAM.fullmatch(typed.words))}
EXTRA = {"fuzz/run.py"}  # needs a package of an extra that is not installed
ASK = """
import argparse, contextlib, io, json, runpy, sys
texts = {}
def with_commands(parser, file=None):
    print(parser.format_help())
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            print(*(command.format_help() for command in action.choices.values()))
argparse.ArgumentParser.print_help = with_commands
for path in sys.argv[1:]:
    text, sys.argv, sys.path[0] = io.StringIO(), [path, "--help"], path.rpartition("/")[0]
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        runpy.run_path(path, run_name="__main__")
    texts[path] = text.getvalue()
print(json.dumps(texts))
"""


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


def source(found: re.Match[str]) -> Path:
    """The file of a program."""
    if found["file"]:
        return ROOT / found["file"]
    package = ROOT / "src" / found["module"].replace(".", "/")
    return package / "__main__.py" if package.is_dir() else package.with_suffix(".py")


@pytest.mark.parametrize("words", sorted(PROGRAMS))
def test_a_program_exists(words: str) -> None:
    assert '__name__ == "__main__"' in source(PROGRAMS[words]).read_text()


@pytest.mark.parametrize("words", sorted({t.words for t in NAMED if t.words.startswith("make ")}))
def test_a_target_of_make_exists(words: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(words.split()[1:]) <= set(targets)


@pytest.mark.slow
def test_a_program_has_the_options_that_are_named() -> None:
    typed: dict[str, set[str]] = {}
    for words, found in PROGRAMS.items():
        if found["file"] not in EXTRA:
            typed.setdefault(str(source(found)), set()).update(re.findall(r"(?<=[ \[])--[a-z][a-z-]*", words))
    with_options = [path for path in typed if "ArgumentParser" in Path(path).read_text()]
    done = subprocess.run([sys.executable, "-c", ASK, *with_options], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    texts = json.loads(done.stdout)
    for path, options in typed.items():
        known = set(re.findall(r"--[a-z][a-z-]*", texts.get(path, "")))
        assert options <= known, f"{path} has no {options - known}"


@pytest.mark.slow
@pytest.mark.parametrize(("words", "told"), RUN.items())
def test_a_cheap_command_is_run_as_it_stands(kedro: Command, words: str, told: str) -> None:
    assert told in kedro(*words.split()).stdout
