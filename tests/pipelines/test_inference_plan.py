"""Which tasks the inference pipeline plans, without running them."""

import json
from pathlib import Path

import pytest

from iaca.engine import ClipPaths
from iaca.faces import FaceConfig
from iaca.inference.config import InferenceConfig
from iaca.media import MediaLimits
from iaca.pipelines.demo_corpus.nodes import CARD
from iaca.pipelines.inference.nodes import plan_inference, summarise_inference
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
from iaca.pipelines.inference.nodes import plan_inference

config = InferenceConfig(input={str(tmp_path)!r}, output={str(tmp_path / "out")!r})
(task,) = plan_inference(config, FaceConfig(), list(NAMED.values()), MediaLimits()).values()
task.fingerprint()
print("torch" in sys.modules)
"""
    done = runner(ROOT)("python", "-c", script)
    assert done.stdout.strip() == "False"
