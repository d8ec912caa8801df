"""docs/reference/troubleshooting.md lists every message about bad input, with a remedy."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from project import ROOT

SCRIPT = ROOT / "docs/generate_troubleshooting.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    import sys

    spec = importlib.util.spec_from_file_location("generate_troubleshooting", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_page_is_the_one_that_the_source_gives(script: ModuleType) -> None:
    written = script.page(script.messages())
    page = ROOT / "docs/reference/troubleshooting.md"
    assert page.read_text() == written, "run: python docs/generate_troubleshooting.py"


def test_every_call_of_the_source_gives_a_message(script: ModuleType) -> None:
    found = script.messages()
    for path in (ROOT / "src/iaca").rglob("*.py"):
        calls = sum(script._raises(node) for node in ast.walk(ast.parse(path.read_text())))
        module = str(path.relative_to(ROOT / "src/iaca"))
        assert bool(calls) == any(message.module == module for message in found), module


def test_every_message_says_something_and_has_a_remedy(script: ModuleType) -> None:
    for message in script.messages():
        said = f"{message.module}: {message.problem}"
        assert message.problem.strip("… /:,."), said
        assert message.remedy.strip(), f"{said}: give the error a remedy, or the page one (ADVICE in {SCRIPT.name})"


def test_every_advice_and_every_title_is_of_something_in_the_source(script: ModuleType) -> None:
    """A key of a module that was renamed, or of a message that has a remedy by now, would stay unnoticed."""
    given = dict(script.ADVICE)
    script.ADVICE.clear()
    try:
        open_ones = [message for message in script.messages() if message.remedy == script.OPEN_REMEDY]
    finally:
        script.ADVICE.update(given)
    for module, part in given:
        assert any(m.module == module and part in m.problem for m in open_ones), f"ADVICE: {module}, {part}"
    for name in script.TITLES:
        assert (ROOT / "src/iaca" / name).exists(), f"TITLES: {name}"


def test_a_message_is_put_together_from_constants_conditions_and_callers(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "REMEDY = 'fix it'\n"
        "def _wrong(problem, path):\n"
        "    return InputError(f'{path} is {problem}', path, remedy=REMEDY)\n"
        "def check(path, empty):\n"
        "    what = 'empty' if empty else 'too long'\n"
        "    if empty:\n"
        "        raise InputError(what, remedy=f'give {path}')\n"
        "    raise _wrong('not there', path)\n"
    )
    told = {(m.problem, m.file, m.remedy) for m in script.messages(tmp_path)}
    assert told == {("… is not there", "file", "fix it"), ("empty / too long", "", "give …")}
