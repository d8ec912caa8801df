"""`python -m iaca.inference`: videos without Kedro, with the files and fingerprints of the pipeline."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml
from packaging.requirements import Requirement

from affwild2_tree import movie
from iaca.errors import EXTRAS
from iaca.faces.detect import FaceConfig
from iaca.inference.__main__ import main
from iaca.inference.config import NAMED, InferenceConfig
from iaca.inference.write import plan_inference
from iaca.media.container import MediaLimits
from project import ROOT

HEAVY = (
    "kedro", "kedro_datasets", "kedro_viz", "lightning", "pytorch_lightning", "dvc", "yaml", "jinja2", "skimage",
    "pyarrow", "scipy", "sklearn", "joblib",
)  # fmt: skip
OF_LINUX = ("sched_getaffinity", "posix_fadvise", "posix_fallocate", "memfd_create", "pidfd_open", "copy_file_range")
ALONE = f"""
import os, sys
from importlib.machinery import PathFinder

for name in {OF_LINUX}:
    delattr(os, name)

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {HEAVY} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
if __name__ == "__main__":  # worker processes import this file, too
    from iaca.inference.__main__ import main

    sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def video(tmp_path: Path) -> Path:
    movie(tmp_path / "in" / "a.mp4", 20)
    return tmp_path / "in" / "a.mp4"


@pytest.mark.slow
def test_a_video_is_analysed_without_the_packages_of_the_project_and_calls_of_linux_alone(
    video: Path, tmp_path: Path
) -> None:
    script, out = tmp_path / "alone.py", tmp_path / "out"
    script.write_text(ALONE)
    done = subprocess.run([sys.executable, script, video.parent, out], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"1 video in {out}: inference_summary.csv lists them" in done.stdout
    assert len(pd.read_csv(out / "a.csv")) == 20
    assert pd.read_csv(out / "inference_summary.csv")["name"].tolist() == ["a"]
    assert {"a.png", "a.mp4"} <= {path.name for path in out.iterdir()}
    main([str(video), str(tmp_path / "whole"), "--jobs", "1"])
    for name in ("a.csv", "a.png", "a.mp4", "a.json", "inference_summary.csv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("command", "package"), [("evaluation.submission", "pyarrow"), ("corpora.synthetic", "scipy")])
def test_a_command_that_needs_more_names_the_extra(command: str, package: str, tmp_path: Path) -> None:
    """A module of that name is found first, and fails as the import of a missing package does."""
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('No module named {package}', name='{package}')")
    done = subprocess.run(
        [sys.executable, "-m", f"iaca.{command}", "--help"], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr == f'this needs the package {package} Remedy: pip install "iaca[evaluation]"\n'


def test_every_named_extra_has_the_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    packages = {
        "sklearn": "scikit-learn",
        "yaml": "pyyaml",
        "skimage": "scikit-image",
        "kedro_datasets": "kedro-datasets",
    }
    for module, extra in EXTRAS.items():
        assert packages.get(module, module) in {Requirement(line).name for line in extras[extra]}


def test_what_is_up_to_date_stays(video: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arguments = [str(video), str(tmp_path / "out"), "--no-overlay", "--no-plot", "--jobs", "1"]
    assert main(arguments) == 0
    first = (tmp_path / "out/a.json").stat().st_mtime_ns
    assert json.loads((tmp_path / "out/a.json").read_text())["files"] == ["a.csv"]
    assert main(arguments) == 0
    assert (tmp_path / "out/a.json").stat().st_mtime_ns == first


def test_its_defaults_are_those_of_the_pipeline(video: Path, tmp_path: Path) -> None:
    given = yaml.safe_load((ROOT / "conf/base/parameters_inference.yml").read_text())["inference"]
    faces = yaml.safe_load((ROOT / "conf/base/parameters_preprocessing.yml").read_text())["faces"]
    limits = yaml.safe_load((ROOT / "conf/base/parameters_media.yml").read_text())["media"]
    models = [NAMED["zero_shot"]]
    places = {"input": str(video), "output": str(tmp_path)}
    ours = plan_inference(InferenceConfig(**places), FaceConfig(), models, MediaLimits())
    config = InferenceConfig(**{**given, **places})
    theirs = plan_inference(config, FaceConfig(**faces), models, MediaLimits(**limits))
    assert ours["a"].parameters == theirs["a"].parameters
    assert ours["a"].inputs == theirs["a"].inputs
    assert ours["a"].settings == theirs["a"].settings


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.mp4", "out"], "nothing.mp4"),
        (["a.mp4", "out", "--model", "other.safetensors"], "there is no model"),
        (["a.mp4", "out", "--jobs", "0"], "workers: Input should be greater than or equal to 1\n"),
        (["", "out"], "input: String should have at least 1 character\n"),
        (["a.mp4", "a.mp4/out"], "a.mp4/out: a file is in the place of this folder Remedy: move"),
        (["a.mp4", "n" * 300], "this folder can't be created (File name too long) Remedy: choose another"),
        (["a.mp4", "/proc/out"], "/proc/out: this folder can't be created (No such file or directory) Remedy: choose"),
    ],
)
def test_what_can_not_be_is_one_message(
    video: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(video.parent)
    assert main(arguments) == 1
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1
