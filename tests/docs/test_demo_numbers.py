"""Numbers and pictures of the demo corpus on the pages: from one run, with its date and what has changed since."""

import importlib.util
import json
import sys
from types import ModuleType

import pytest

from project import ROOT

SCRIPT = ROOT / "docs/demo_numbers.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_numbers", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def numbers(script: ModuleType) -> dict:
    return json.loads(script.FILE.read_text())


def test_every_page_has_the_numbers_of_the_last_run_that_was_read(script: ModuleType, numbers: dict) -> None:
    texts = script.blocks(numbers, script.made_with())
    assert {page.name for page in script.pages()} >= {"README.md", "CONTRIBUTING.md", "evaluation.md", "report.md"}
    for page in script.pages():
        assert page.read_text() == script.written(page, texts), "run: python docs/demo_numbers.py"


def test_every_picture_has_a_date(script: ModuleType) -> None:
    made = json.loads(script.PICTURES.read_text())
    assert set(made) == {path.stem for path in script.PICTURES.parent.glob("*.png")}


def test_a_page_says_what_has_changed_since_the_run(script: ModuleType, numbers: dict) -> None:
    then = numbers["made_with"]
    assert script.blocks(numbers, then)["comparison"].endswith(f"(Run of {numbers['date']}, seed 0.)")
    for text in (script.blocks(numbers, {**then, "training": "other"})[name] for name in ("comparison", "events")):
        assert text.endswith(f"(Run of {numbers['date']}, seed 0; changed since: training.)")
    assert "| unknown |" in "\n".join(script._pictures({"a": {"date": "2026-01-01", "made_with": None}}, then))


def test_a_change_of_a_parameter_is_noticed_and_a_comment_is_not(
    script: ModuleType, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "conf/base"
    folder.mkdir(parents=True)
    for name in script.PARAMETERS:
        text = (ROOT / f"conf/base/parameters_{name}.yml").read_text()
        (folder / f"parameters_{name}.yml").write_text(f"# a comment\n{text}")
    before = script.made_with()
    monkeypatch.setattr(script, "ROOT", tmp_path)
    assert script.made_with() == before
    (folder / "parameters_training.yml").write_text("training: {epochs: 31}\n")
    assert script._changed(before, script.made_with()) == "parameters of training"


def test_the_difference_is_iaca_minus_the_other_model(script: ModuleType) -> None:
    score = {"ccc_mean": 0.5, "ccc_mean_low": 0.4, "ccc_mean_high": 0.6}
    change = {"difference_ccc_mean": -0.1, "difference_ccc_mean_low": -0.3, "difference_ccc_mean_high": 0.05}
    rows = [
        {"model": model, "partition": partition, **score, **change}
        for model in script.MODELS
        for partition in ("validation", "test")
    ]
    table = list(script._comparison({"comparison": rows}))
    assert table[2] == "| `iaca` | 0.500 [0.400, 0.600] | 0.500 [0.400, 0.600] |  |"
    assert table[3].endswith("| 0.500 [0.400, 0.600] | 0.100 [-0.050, 0.300] |")
