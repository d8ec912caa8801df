"""Which tasks the inference pipeline plans, without running them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from affwild2_tree import movie
from iaca.engine import ClipPaths
from iaca.errors import InputError
from iaca.faces import FaceConfig
from iaca.inference import config as inference
from iaca.inference.config import InferenceConfig
from iaca.inference.write import plan_inference, summarise_inference
from iaca.media import MediaLimits, probe
from iaca.pipelines.demo_corpus.pipeline import CARD
from project import ROOT, runner


def test_models_of_the_parameters_come_before_the_one_trained_last_and_change_the_result(tmp_path: Path) -> None:
    for name in ("-a b.mp4", "last", "one", "two"):
        (tmp_path / name).write_text(name)
    config = InferenceConfig(input=str(tmp_path / "*.mp4"), output=str(tmp_path / "out"))
    listed = config.model_copy(update={"model": (str(tmp_path / "one"), str(tmp_path / "two"))})
    everyone = config.model_copy(update={"people": "all"})
    last, limits = [tmp_path / "last"], MediaLimits()
    tasks = [plan_inference(c, FaceConfig(), last, limits)["-a b"] for c in (config, listed, everyone)]
    assert tasks[0].inputs == (tmp_path / "-a b.mp4", tmp_path / "last")
    assert tasks[1].inputs == (tmp_path / "-a b.mp4", tmp_path / "one", tmp_path / "two")
    assert len({task.fingerprint() for task in tasks}) == 3


def test_no_input_is_an_error_with_a_remedy_and_never_a_clip_of_the_demo(tmp_path: Path) -> None:
    config = InferenceConfig(input=None, output=str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"no video is named to analyse Remedy: .*inference\.input=FILE_OR_FOLDER"):
        plan_inference(config, FaceConfig(), [tmp_path], MediaLimits())
    assert load(ROOT, "inference")["inference"]["input"] is None


def load(project: Path, name: str) -> Any:
    return yaml.safe_load((project / f"conf/base/parameters_{name}.yml").read_text())


@pytest.mark.parametrize(
    ("count", "hours", "overlay", "said"),
    [
        (200, 1.9, True, ""),
        (201, 0.0, True, "201 videos, 0.0 h in all: about 0.0 h"),
        (1, 9.0, True, "1 video, 9.0 h in all: about 3.0 h of computing on one core, less with several (3 times"),
        (3, 9.0, False, "3 videos, 9.0 h in all: about 1.5 h of computing on one core, less with several (6 times"),
    ],
)
def test_many_videos_or_hours_are_announced_before_the_work_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    count: int, hours: float, overlay: bool, said: str,
) -> None:  # fmt: skip
    movie(tmp_path / "0.mp4", 15)
    info = replace(probe(tmp_path / "0.mp4"), duration_s=3600 * hours / count)
    for number in range(1, count):
        (tmp_path / f"{number}.mp4").touch()
    monkeypatch.setattr(inference, "probe", lambda *_, **__: info)
    config = InferenceConfig(input=str(tmp_path), output=str(tmp_path / "out"), overlay=overlay)
    assert len(plan_inference(config, FaceConfig(), [tmp_path / "model"], MediaLimits())) == count
    told = [record.getMessage() for record in caplog.records if "h in all" in record.getMessage()]
    assert [text[: len(said)] for text in told] == ([said] if said else [])


def test_lengths_are_those_of_the_headers_and_broken_videos_do_not_stop_the_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie(tmp_path / "a.mp4", 60)  # 2 s
    (tmp_path / "b.mp4").write_text("no video")
    monkeypatch.setattr(inference, "MANY_HOURS", 0.0001)
    monkeypatch.setattr(inference, "SPEED", {True: 0.001, False: 1.0})
    said = inference.announcement([tmp_path / "a.mp4", tmp_path / "b.mp4"], True)
    assert said.startswith("2 videos, 0.0 h in all: about 0.6 h")  # 2 s / 3600 / 0.001


def test_a_damaged_summary_of_an_older_video_costs_its_own_row(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"people": []}')
    table = summarise_inference(ClipPaths({name: tmp_path / f"{name}.json" for name in "abc"}, {"d": "too dark"}))
    assert table["name"].tolist() == ["a", "d"]  # c was removed by its owner
    assert "a.json was changed or damaged: analyse the video again" in table["warnings"][0]
    assert table["warnings"][1] == "failed: too dark"


def test_models_that_are_no_ones_word_are_stamped_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    card = {"corpus": CARD.name, "caveat": CARD.caveat}
    models = {"a": {}, "b": card, "c": card, "d": {"kind": "adapted heuristic", **card}}
    for name, model in models.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"model": model, "people": []}))
    summarise_inference(ClipPaths({name: tmp_path / f"{name}.json" for name in models}, {}))
    assert [record.getMessage() for record in caplog.records] == [
        "2 videos predicted by this model: trained on demo corpus, not on real people",
        "1 video predicted by this model: adapted heuristic, fitted to demo corpus, not to real people",
    ]


def test_planning_imports_no_torch(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    script = f"""
import sys
import subprocess
from pathlib import Path
import iaca.inference
from iaca.faces import FaceConfig
from iaca.inference.config import InferenceConfig
from iaca.inference.config import NAMED
from iaca.media import MediaLimits
from iaca.inference.write import plan_inference

config = InferenceConfig(input={str(tmp_path)!r}, output={str(tmp_path / "out")!r})
(task,) = plan_inference(config, FaceConfig(), list(NAMED.values()), MediaLimits()).values()
task.fingerprint()
print("torch" in sys.modules)
"""
    done = runner(ROOT)("python", "-c", script)
    assert done.stdout.strip() == "False"
