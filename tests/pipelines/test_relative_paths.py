"""Relative paths: of the command line to the current folder, of the configuration to the project, for everything."""

from pathlib import Path
from typing import Any

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from iaca.encoders.config import describe, weights_of
from iaca.errors import InputError
from iaca.files import in_project
from iaca.inference.config import NAMED
from project import ROOT, copy_project

pytestmark = pytest.mark.usefixtures("default_pipelines")
OUTPUT = "data/07_model_output/inference"


def context(given: dict[str, Any], env: str | None = None, project: Path = ROOT) -> Any:
    bootstrap_project(ROOT)
    with KedroSession.create(project, env=env, runtime_params=given) as session:
        return session.load_context()


def test_paths_of_the_command_line_are_relative_to_the_current_folder_for_nodes_and_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here := tmp_path / "[1] here").mkdir()
    (here / "Session [3].mp4").touch()
    (here / "m.safetensors").touch()
    monkeypatch.chdir(here)
    for given, expected in (
        ("../x.mp4", f"{here}/../x.mp4"),
        ("Session [3].mp4", f"{here}/Session [3].mp4"),
        ("clips/*.mp4", f"{tmp_path}/[[]1] here/clips/*.mp4"),
        ("/elsewhere/x.mp4", "/elsewhere/x.mp4"),
    ):
        found = context({"inference": {"input": given, "output": "out", "model": "m.safetensors"}})
        inference = found.params["inference"]
        assert (inference.input, inference.output) == (expected, f"{here}/out")
        assert inference.model == f"{here}/m.safetensors"
        assert found.catalog["inference_results"]._path == here / "out"
        assert Path(found.catalog["inference_summary"]._filepath) == here / "out/inference_summary.csv"
        assert found.catalog["inference_model"].load() == [here / "m.safetensors"]


def test_models_are_named_listed_and_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.safetensors").touch()
    found = context({"inference": {"model": ["zero_shot", "m.safetensors"]}})
    assert found.params["inference"].model == ("zero_shot", f"{tmp_path}/m.safetensors")
    assert found.catalog["inference_model"].load() == [NAMED["zero_shot"], tmp_path / "m.safetensors"]
    assert context({"inference": {"model": "zero_shot"}}).params["inference"].model == "zero_shot"


def test_a_corpus_is_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    found = context({"ingestion": {"root": "corpus"}}, "folder")
    assert found.catalog["corpus"].load() == tmp_path / "corpus"


def test_a_path_from_the_home_folder_is_found_although_the_shell_does_not_expand_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    found = context({"ingestion": {"root": "~/my videos"}, "inference": {"input": "~/clips/*.mp4"}}, env="folder")
    assert found.params["ingestion"].root.root == f"{tmp_path}/home/my videos"
    assert found.params["inference"].input == f"{tmp_path}/home/clips/*.mp4"
    (tmp_path / "~/own").mkdir(parents=True)
    assert context({"ingestion": {"root": "~/own"}}, env="folder").params["ingestion"].root.root == f"{tmp_path}/~/own"


@pytest.mark.parametrize("given", ["C:\\Users\\anna\\videos", "d:/videos"])
def test_a_path_of_windows_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        context({"ingestion": {"root": given}}, env="folder")
    there = {"C": "/mnt/c/Users/anna/videos", "d": "/mnt/d/videos"}[given[0]]
    assert str(refused.value) == (
        f"{given} is a path of Windows Remedy: write the path that it has here, such as {there} in WSL"
    )
    (tmp_path / given).mkdir(parents=True)
    assert context({"ingestion": {"root": given}}, env="folder").params["ingestion"].root.root == f"{tmp_path}/{given}"


def test_weights_are_relative_to_the_project_wherever_the_command_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, here = copy_project(tmp_path / "project"), tmp_path / "project/data/own"
    here.mkdir(parents=True)
    monkeypatch.setenv("IACA_WEIGHTS", str(tmp_path / "nowhere"))
    (here / "own.safetensors").write_bytes(b"own")
    (here / "named.safetensors").write_bytes(b"named in the configuration, but for the project")
    (project / "named.safetensors").write_bytes(b"named")
    parameters = project / "conf/local/parameters.yml"
    parameters.parent.mkdir(parents=True, exist_ok=True)
    parameters.write_text(
        "faces: {weights: named.safetensors}\nembedding: {visual: [{name: resnet18, weights: named.safetensors}]}"
    )
    versions, found = [], []
    for folder, given in ((project, "data/own/own.safetensors"), (here, "own.safetensors")):
        monkeypatch.chdir(folder)
        usual = context({}, project=project).params
        own = context({"embedding": {"visual": [{"name": "resnet18", "weights": given}]}}, project=project).params
        versions.append([describe(each["embedding"]) for each in (usual, own)])
        found.append(
            [
                in_project(usual["faces"].weights),
                *[weights_of(e["embedding"].visual[0], "visual") for e in (usual, own)],
            ]
        )
    assert versions[0] == versions[1]  # fingerprints are the same from everywhere
    assert [[path.resolve() for path in paths] for paths in found] == 2 * [
        [project / "named.safetensors", project / "named.safetensors", here / "own.safetensors"]
    ]


@pytest.mark.parametrize("given", [{}, {"faces": {"every": 3}}, {"inference": {"plot": False}}])
def test_paths_of_the_configuration_are_relative_to_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = context(given, "test")
    inference = found.params["inference"]
    assert inference.input.startswith(f"{ROOT}/data/")
    assert Path(found.catalog["inference_summary"]._filepath) == ROOT / OUTPUT / "inference_summary.csv"
    assert Path(inference.output) == found.catalog["inference_results"]._path == ROOT / OUTPUT
    assert inference.model is None
