"""Paths on the command line arrive as the shell passes them; other parameters are read as Kedro reads them."""

import ast
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from omegaconf import OmegaConf

from iaca import cli
from iaca.cli import with_absolute_paths
from iaca.errors import InputError
from project import ROOT

NAMES = [
    "Session #3.mp4", "Interview: part 1.mp4", "[P01] talk.mp4", "{P01} talk.mp4", "2024.mp4", "20240115", "007",
    "a=b.mp4", "it's.mp4", "100%.mp4", "$HOME", "-dash.mp4", "'quoted'.mp4", '"quoted"', "true", "yes", "null", "~",
    "1e3", "1_000", "2024-01-15", "12:30", "x ${y}.mp4", "${globals:at}", "\\${y}", "a\\b.mp4", "?.mp4", "???",
    "*star.mp4", "&ref.mp4", "!tag.mp4", "@at.mp4", "%pc.mp4", "| pipe.mp4", "# hash.mp4", "/abs/Session #3/x.mp4",
    "C: x", " before", "after ", "Smith, John.mp4", "comma,", unicodedata.normalize("NFD", "Ärger.mp4"), "日本.mp4",
    "s3://b/x", "a::b", "tab\tnew\nline", "..", "a/../b", "zero_shot.mp4",
]  # fmt: skip


def parsed(text: str) -> dict[str, Any]:
    """What `--params` of the project's `kedro run` makes of a text."""
    (option,) = (option for option in cli.run.params if option.name == "params")
    assert option.callback is not None
    found: dict[str, Any] = option.callback(click.Context(cli.run), option, text)
    return found


def merged(given: dict[str, Any]) -> Any:
    """What is left of the parameters after OmegaConf has merged and resolved them, as Kedro has it do."""
    config = OmegaConf.unsafe_merge(OmegaConf.create({"inference": {"input": "usual"}}), given)
    return OmegaConf.to_container(config, resolve=True)


@pytest.mark.usefixtures("default_pipelines")
@pytest.mark.parametrize("name", ["Session #3: [{a} ${b}] ", "???", "20240115"])
def test_a_path_reaches_nodes_and_datasets_as_it_was_typed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"inference.input={name},inference.plot=false, inference.output={name},inference.model={name}"
    given = parsed(text)
    assert given == {"inference": {"input": name, "output": name, "model": name, "plot": False}}
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, runtime_params=given) as session:
        context: Any = session.load_context()
    context._pipelines_to_validate = ["inference"]
    inference, full = context.params["inference"], str(tmp_path / name)
    assert (inference.input, inference.output, inference.model) == (full, full, full)
    assert inference.plot is False
    assert str(context.catalog["inference_results"]._path) == full
    assert str(context.catalog["inference_model"]._filepath) == full


OTHERS = """
import sys
import kedro.ipython  # a notebook loads it before the project
from kedro.framework.startup import bootstrap_project
bootstrap_project(sys.argv[1])
from kedro.ipython import _split_reload_kedro_params as notebook
from kedro_viz.launchers.cli.run import run
(viz,) = (option.callback for option in run.params if option.name == "params")
text = "inference.input=Session #3: [1],training.seed=1e1,inference.output=007"
print(*[found(text) for found in (notebook, lambda text: viz(None, None, text))], sep="|")
"""


def test_notebooks_and_kedro_viz_read_as_kedro_run() -> None:
    done = subprocess.run([sys.executable, "-c", OTHERS, str(ROOT)], capture_output=True, text=True, check=True)
    expected = {"inference": {"input": "Session #3: [1]", "output": "007"}, "training": {"seed": 10.0}}
    assert [ast.literal_eval(found) for found in done.stdout.strip().split("|")] == [expected, expected]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_one_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"inference.input={name}, inference.output={name},faces.weights={name}"
    found = merged(with_absolute_paths(parsed(text), {}, ROOT))
    assert found["inference"] == {"input": str(tmp_path / name), "output": str(tmp_path / name)}
    assert Path(found["faces"]["weights"]) == Path(name)


@pytest.mark.usefixtures("default_pipelines")
def test_so_does_the_root_of_a_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("Study: pilot #2", "{a} ${b}"):
        bootstrap_project(ROOT)
        with KedroSession.create(ROOT, env="folder", runtime_params=parsed(f"ingestion.root={name}")) as session:
            context: Any = session.load_context()
        context._pipelines_to_validate = ["ingestion"]
        assert context.params["ingestion"].root.root == str(tmp_path / name)
        assert context.catalog["corpus"]._path == tmp_path / name


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_any_text_is_one_path_unless_another_parameter_follows_a_comma(text: str) -> None:
    assume(cli._NEXT.search(text) is None)
    for name in cli.AS_TYPED:
        *groups, last = name.split(".")
        inner = parsed(f"training.seed=3,{name}={text}")
        assert inner["training"] == {"seed": 3}
        for group in groups:
            inner = inner[group]
        assert inner == {last: text}
    given_ = with_absolute_paths(parsed(f"inference.input={text},faces.weights={text}"), {}, ROOT)
    found = merged(given_)
    assert found["inference"]["input"] == str(Path.cwd() / text)
    assert Path(found["faces"]["weights"]) == Path(text)


def test_all_other_values_are_yaml_as_kedro_has_it() -> None:
    assert parsed("training.seed=1e1,baselines=a+b, faces.every = 3") == {
        "training": {"seed": 10.0},
        "baselines": "a+b",
        "faces": {"every": 3},
    }
    assert parsed("") == {}
    with pytest.raises(click.UsageError, match="Item `2` must contain a key"):
        parsed("training.seed=1,2")
    with pytest.raises(click.UsageError, match=r"join several values by a plus: NAME=A\+B"):
        parsed("baselines=audio,concat")


def test_a_name_that_sets_a_group_as_well_is_refused() -> None:
    with pytest.raises(click.UsageError, match=r"sets inference.input, and also inference as a whole"):
        parsed("inference.input=x,inference=3.mp4")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (20240115, "inference.input is 20240115, which is not a path Remedy: write the path in quotes"),
        ({"Interview": "part 1"}, "which is not a path"),
        ([True], "inference.input is True, which is not a path"),
        ("", "inference.input is empty"),
        ("bad\udcff.mp4", r"not valid UTF-8: bad\\udcff.mp4 Remedy: rename it"),
    ],
)
def test_what_yaml_made_of_a_path_elsewhere_is_refused(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        with_absolute_paths({"inference": {"input": value}}, {}, ROOT)
