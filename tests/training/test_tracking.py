"""Epochs in a local store for TensorBoard or MLflow; where neither is asked for, neither is imported."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from short_runs import MODEL, SHORT, TRAIN, VALIDATION, PowerCutError, equal

from iaca.errors import InputError
from iaca.training.config import TrainingConfig, require_installed
from iaca.training.tracking import Tracking
from iaca.training.train import FusionTraining, TrainingRun, train
from project import ROOT, environment
from tattle import tattling

RUN = """
import sys, tempfile
from pathlib import Path
sys.path[:0] = ["tests", "tests/training"]
from short_runs import MODEL, SHORT, TRAIN, VALIDATION
from iaca.training.train import TrainingRun, train
from iaca.training.tracking import Tracking
logger, folder = sys.argv[1:]
base = Path(folder, "checkpoints")
tracking = None if logger == "none" else Tracking(logger, Path(folder, "tracking"), base)
train(TrainingRun(MODEL, SHORT, TRAIN, VALIDATION, base / "main", tracking=tracking))
optional = ("tensorboard", "mlflow")
found = [name for name in sys.modules if name.split(".")[0] in optional or name == "torch.utils.tensorboard"]
print(" ".join(found[:3]) or "nothing")
"""


def run_of(folder: Path, logger: str) -> TrainingRun:
    base = folder / "checkpoints"
    tracking = Tracking(logger, folder / "tracking", base)
    return TrainingRun(MODEL, SHORT, TRAIN, VALIDATION, base / "main", tracking=tracking)


def needed(package: str) -> None:
    pytest.importorskip(package, reason=f"{package} is an extra")


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["none", "tensorboard", "mlflow"])
def test_a_run_connects_to_nothing_and_imports_only_what_it_was_asked_for(tmp_path: Path, logger: str) -> None:
    if logger != "none":
        needed(logger)
    variables, told = tattling(tmp_path, ROOT / "src")
    words = [sys.executable, "-c", RUN, logger, str(tmp_path)]
    inherited = {k: v for k, v in environment(ROOT).items() if k not in ("DO_NOT_TRACK", "CI", "PYTHONPATH")}
    done = subprocess.run(words, cwd=ROOT, env={**inherited, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not told.exists(), told.read_text()
    if logger == "none":
        assert done.stdout.strip().splitlines()[-1] == "nothing"
        assert not (tmp_path / "tracking").exists()
    else:
        assert logger in done.stdout
    assert not (ROOT / "mlruns").exists()


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: {e.step: e.value for e in found.Scalars(tag)} for tag in found.Tags()["scalars"]}


@pytest.mark.parametrize("logger", ["tensorboard", "mlflow"])
@pytest.mark.parametrize("place", ["tracking", "tracking/{}"], ids=["of all", "of the program"])
def test_a_file_in_the_place_of_the_folder_is_named(logger: str, place: str, tmp_path: Path) -> None:
    needed(logger)
    taken = tmp_path / place.format(logger)
    taken.parent.mkdir(exist_ok=True)
    taken.write_text("a file")
    with pytest.raises(InputError, match=rf"tracking/{logger}: a file is in the place of this folder Remedy: move"):
        train(run_of(tmp_path, logger))


@pytest.mark.slow
def test_tensorboard_has_every_number_of_every_epoch_and_the_model_is_the_same(tmp_path: Path) -> None:
    needed("tensorboard")
    plain, _ = train(replace(run_of(tmp_path / "plain", "tensorboard"), tracking=None))
    model, history = train(run_of(tmp_path, "tensorboard"))
    assert equal(model, plain)
    assert model.metadata == plain.metadata
    (place,) = (tmp_path / "tracking/tensorboard").iterdir()
    assert place.name.startswith("main-")
    found = scalars(place)
    assert set(found) == set(history) - {"epoch"}
    assert found["score"] == pytest.approx(dict(enumerate(history["score"])), abs=1e-6)
    assert found["train_loss"] == pytest.approx(dict(enumerate(history["train_loss"])), abs=1e-6)


def interrupted(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    step = FusionTraining.training_step

    def stops(self, batch, index):
        if self.current_epoch == 2:
            raise PowerCutError
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(FusionTraining, "training_step", stops)
        with pytest.raises(PowerCutError):
            train(run)


@pytest.mark.slow
def test_an_interrupted_run_continues_its_own_folder_of_tensorboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed("tensorboard")
    run = run_of(tmp_path, "tensorboard")
    interrupted(run, monkeypatch)
    _, history = train(run)
    (place,) = (tmp_path / "tracking/tensorboard").iterdir()
    assert scalars(place)["score"] == pytest.approx(dict(enumerate(history["score"])), abs=1e-6)


def test_mlflow_has_settings_and_epochs_and_an_interrupted_run_is_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed("mlflow")
    from mlflow import MlflowClient

    run = run_of(tmp_path, "mlflow")
    interrupted(run, monkeypatch)
    _, history = train(run)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'tracking/mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name("iaca")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == ("main", "FINISHED")
    assert found.data.params["training.epochs"] == "4"
    assert found.data.params["fusion.attention"] == "jca"
    metrics = {m.step: m.value for m in client.get_metric_history(found.info.run_id, "score")}
    assert metrics == pytest.approx(dict(enumerate(history["score"])))
    train(run)  # once more from the beginning: another run
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_a_logger_that_is_not_installed_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from iaca.pipelines.training.nodes import untracked

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    require_installed("none")
    with pytest.raises(InputError, match=r"training\.logger needs the package mlflow.*\[mlflow\]"):
        untracked(TrainingConfig(logger="mlflow"), tmp_path / "checkpoints")


def test_the_logger_is_no_part_of_what_decides_whether_a_result_is_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from iaca.pipelines.training.nodes import untracked

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    training, settings = untracked(TrainingConfig(logger="mlflow", seed=3), tmp_path / "checkpoints")
    assert training == TrainingConfig(seed=3)
    assert settings["tracking"] == Tracking("mlflow", tmp_path / "tracking", tmp_path / "checkpoints")
    assert untracked(TrainingConfig(), tmp_path / "checkpoints") == (TrainingConfig(), {})
