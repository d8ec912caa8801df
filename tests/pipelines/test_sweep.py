"""The pipeline `sweep`: resumable, on validation alone, with a plain word about the best of many."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

from iaca.engine import ClipPaths
from iaca.errors import InputError
from iaca.fusion.config import ModelChoice
from iaca.pipelines.sweep import nodes
from iaca.pipelines.sweep.nodes import check_space, present, run_sweep, settings_with
from iaca.training.config import MACHINE, Dimension, SweepConfig, TrainingConfig
from project import ROOT, environment

FUSION = ModelChoice(preset="iaca", width=8, heads=2, temporal_layers=1)
TRAINING = TrainingConfig(length=30, hop=20, batch_size=4, epochs=2, accelerator="cpu", threads=1, folds=2)
SPACE = {
    "training.learning_rate": Dimension(low=1e-3, high=1e-1, log=True),
    "training.corruption.share": Dimension(low=0.0, high=0.9),
    "fusion.width": Dimension(choices=(8, 9, 12)),  # 9 is no multiple of the heads: refused
}
SWEEP = SweepConfig(trials=5, startup=3, seeds=2, space=SPACE)

SCRIPT = """
import sys
sys.path[:0] = ["tests", "tests/training", "tests/pipelines"]
from pathlib import Path
from test_sweep import FUSION, SWEEP, TRAINING, corpus, run_sweep
folder = Path(sys.argv[1])
files = corpus(folder / "data", write=False)
trials, text = run_sweep(*files, folder / "checkpoints", folder / "store", FUSION, TRAINING, SWEEP)
trials.to_csv(folder / "trials.csv", index=False)
(folder / "best.yml").write_text(text)
"""


def needed() -> None:
    pytest.importorskip("optuna", reason="optuna is of the extra `sweep`")


def corpus(folder: Path, write: bool = True) -> tuple[ClipPaths, ClipPaths, pd.DataFrame]:
    """Six train and three validation clips, and a test clip whose files are unreadable."""
    sys.path.insert(0, str(ROOT / "tests/training"))
    from synthetic_clips import annotated

    from iaca.encoders.embedding import write_embedding

    names = {f"clip{i}": "train" if i < 6 else "validation" for i in range(9)} | {"hidden": "test"}
    places: dict[str, dict[str, Path]] = {"embeddings": {}, "timelines": {}}
    for kind, suffix in (("embeddings", ".safetensors"), ("timelines", ".parquet")):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        places[kind] = {name: folder / kind / f"{name}{suffix}" for name in names}
    for name, partition in names.items() if write else ():
        if partition == "test":
            for kind in places:
                places[kind][name].write_bytes(b"nobody reads this")
            continue
        clip = annotated(int(name[4:]))
        write_embedding(clip.embedding, places["embeddings"][name])
        pd.DataFrame(clip.labels, columns=["valence", "arousal"]).to_parquet(places["timelines"][name])
    index = pd.DataFrame({"clip": list(names), "subject": list(names), "partition": list(names.values())})
    return ClipPaths(places["embeddings"], {}), ClipPaths(places["timelines"], {}), index


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, str]:
    """A sweep that nothing interrupted."""
    needed()
    folder = tmp_path_factory.mktemp("swept")
    (folder / "store").mkdir()
    return folder, *run_sweep(
        *corpus(folder / "data"), folder / "checkpoints", folder / "store", FUSION, TRAINING, SWEEP
    )


def test_every_trial_is_a_row_and_the_best_is_repeated_with_other_seeds(swept: tuple[Path, pd.DataFrame, str]) -> None:
    _, trials, text = swept
    assert list(trials.columns) == ["kind", "trial", "seed", "state", "score", "epoch", *SPACE]
    tried = trials[trials["kind"] == "trial"]
    assert tried["trial"].tolist() == [0, 1, 2, 3, 4]
    assert set(tried["state"]) <= {"complete", "refused"}
    assert (tried["state"] == "refused").tolist() == (tried["fusion.width"] == 9).tolist()
    complete = tried[tried["state"] == "complete"]
    best = complete.loc[complete["score"].idxmax()]
    repeated = trials[trials["kind"] == "best"]
    assert repeated["seed"].tolist() == [1, 2]
    assert (repeated[list(SPACE)] == best[list(SPACE)]).all().all()
    assert trials[trials["kind"] == "present"]["seed"].tolist() == [1, 2]
    assert (trials[trials["kind"] == "present"]["training.learning_rate"] == 1e-3).all()
    assert "too good an estimate" in text
    assert f"The best of 5 trials (trial {best['trial']}): validation score {best['score']:.4f}" in text
    assert "Difference over paired seeds" in text


def test_the_best_settings_are_yaml_that_the_parameters_take(swept: tuple[Path, pd.DataFrame, str]) -> None:
    _, trials, text = swept
    found = yaml.safe_load(text)
    assert set(found) == {"fusion", "training"}
    best = trials[trials["kind"] == "best"].iloc[0]
    assert found["training"]["corruption"]["share"] == best["training.corruption.share"]
    assert found["training"]["learning_rate"] == best["training.learning_rate"]
    values = {name: best[name] for name in SPACE} | {"fusion.width": int(best["fusion.width"])}
    fusion, training = settings_with(FUSION, TRAINING, values)
    assert ModelChoice.model_validate(found["fusion"]) == fusion
    assert TrainingConfig.model_validate(found["training"]).model_dump(exclude=MACHINE) == training.model_dump(
        exclude=MACHINE
    )


@pytest.mark.slow
def test_no_file_of_a_test_clip_is_opened(swept: tuple[Path, pd.DataFrame, str], tmp_path: Path) -> None:
    """The files of the fixture are unreadable; here their opening is seen, as it would be were they whole."""
    folder = swept[0]
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import sys, os\n"
        "def tell(event, words):\n"
        "    if event == 'open' and 'hidden' in str(words[0]):\n"
        "        os.write(2, b'A TEST CLIP WAS READ')\n"
        "sys.addaudithook(tell)\n"
    )
    (tmp_path / "store").mkdir()
    (tmp_path / "data").symlink_to(folder / "data")
    env = {**environment(ROOT), "PYTHONPATH": f"{hook}{os.pathsep}{ROOT / 'src'}"}
    short = SCRIPT.replace("TRAINING, SWEEP)", "TRAINING, SWEEP.model_copy(update={'trials': 1, 'seeds': 0}))")
    done = subprocess.run(
        [sys.executable, "-c", short, str(tmp_path)], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "A TEST CLIP WAS READ" not in done.stderr
    would = f"open({str(folder / 'data/timelines/hidden.parquet')!r})"  # the hook sees it
    seen = subprocess.run([sys.executable, "-c", would], cwd=ROOT, env=env, capture_output=True, text=True)
    assert "A TEST CLIP WAS READ" in seen.stderr


@pytest.mark.slow
def test_a_sweep_that_is_killed_continues_and_ends_as_if_it_had_not_been(
    swept: tuple[Path, pd.DataFrame, str], tmp_path: Path
) -> None:
    import optuna

    (tmp_path / "store").mkdir()
    corpus(tmp_path / "data")
    words, env = [sys.executable, "-c", SCRIPT, str(tmp_path)], environment(ROOT) | {"PYTHONPATH": str(ROOT / "src")}
    kills = 0
    for wanted in (1, 3):  # finished trials after which it is killed, in the midst of the next
        running = subprocess.Popen(words, cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
        while running.poll() is None and not _in_trial(tmp_path, wanted):
            time.sleep(0.02)
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
            kills += 1
        running.wait()
        assert not (tmp_path / "trials.csv").exists()
    assert kills == 2
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (study,) = optuna.get_all_study_summaries(f"sqlite:///{tmp_path / 'store/sweep.db'}")
    assert study.n_trials > SWEEP.trials  # the killed ones are there, as failed
    expected = swept[1]
    expected.to_csv(tmp_path / "expected.csv", index=False)
    assert (tmp_path / "trials.csv").read_text() == (tmp_path / "expected.csv").read_text()
    assert (tmp_path / "best.yml").read_text() == swept[2]
    (tmp_path / "trials.csv").unlink()
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "trials.csv").read_text() == (tmp_path / "expected.csv").read_text()
    (same,) = optuna.get_all_study_summaries(f"sqlite:///{tmp_path / 'store/sweep.db'}")
    assert same.n_trials == study.n_trials  # all of it is in the store: nothing is trained


def _in_trial(folder: Path, finished: int) -> bool:
    """Whether so many trials are stored and another one has begun to train."""
    import sqlite3

    store = folder / "store/sweep.db"
    if not store.exists():
        return False
    try:
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as file:
            states = [state for (state,) in file.execute("select state from trials")]
    except sqlite3.Error:  # it is being made
        return False
    ended = sum(state in ("COMPLETE", "PRUNED") for state in states)
    return ended >= finished and "RUNNING" in states


def test_more_trials_continue_a_search_and_other_data_begin_another(
    swept: tuple[Path, pd.DataFrame, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import shutil

    folder, trials, _ = swept
    shutil.copytree(folder / "store", tmp_path / "store")
    trained: list[str] = []
    score = nodes.Runs.score

    def counted(self, values, seed, name):
        trained.append(name)
        return score(self, values, seed, name)

    monkeypatch.setattr(nodes.Runs, "score", counted)
    files = corpus(folder / "data", write=False)
    longer = SWEEP.model_copy(update={"trials": 6, "seeds": 0})
    more, _ = run_sweep(*files, tmp_path / "checkpoints", tmp_path / "store", FUSION, TRAINING, longer)
    assert trained in ([], ["trial5"])  # unless it was refused
    first = trials[trials["kind"] == "trial"].reset_index(drop=True)
    pd.testing.assert_frame_equal(more.head(5).reset_index(drop=True), first, check_dtype=False)
    trained.clear()
    other = TRAINING.model_copy(update={"seed": 7})
    one = SWEEP.model_copy(update={"trials": 1, "seeds": 0})
    run_sweep(*files, tmp_path / "checkpoints", tmp_path / "store", FUSION, other, one)
    assert trained == ["trial0"]


def test_a_space_that_does_not_fit_is_refused_before_anything_is_trained() -> None:
    space = {"training.hop": Dimension(low=31, high=200)}  # a window has 30 steps
    with pytest.raises(InputError, match=r"training\.hop takes no such value: .*would be skipped"):
        check_space(FUSION, TRAINING, SweepConfig(space=space))
    space = {"fusion.layers": Dimension(low=1, high=3)}
    with pytest.raises(InputError, match=r"fusion\.layers takes no such value"):
        check_space(ModelChoice(preset="hgrjca"), TRAINING, SweepConfig(space=space))
    check_space(FUSION, TRAINING, SWEEP)  # one of several choices may clash with others


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"training.seed": {"choices": [1, 2]}}, "is not searched"),
        ({"training.targets": {"choices": ["valence", "arousal"]}}, "is not searched"),
        ({"evaluation.seed": {"choices": [1, 2]}}, "begin with fusion"),
        ({"fusion.width": {"low": 8}}, "give low below high, or choices"),
        ({"fusion.width": {"low": 8, "high": 4}}, "give low below high, or choices"),
        ({"fusion.width": {"choices": [8, 16], "low": 1}}, "choices have no low"),
        ({"fusion.dropout": {"low": 0.0, "high": 0.5, "log": True}}, "begins above 0"),
        ({}, "at least 1"),
        ({"training.learning_rat": {"low": 0.1, "high": 0.2}}, "did you mean learning_rate"),
        ({"training.corruption.shares": {"low": 0.1, "high": 0.2}}, "did you mean share"),
        ({"fusion.dropout": {"low": 0.1, "high": 2.0}}, "fusion.dropout=2.0: .*less than 1"),
        ({"fusion.gate": {"choices": ["dca", "iacaa"]}}, "there is no gate"),
    ],
)
def test_a_space_that_is_none_is_refused(space: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SweepConfig(space=space)


def test_values_reach_nested_settings_and_the_present_ones_are_found() -> None:
    values = {"training.corruption.share": 0.25, "fusion.width": 16, "training.loss.mse": 0.5}
    fusion, training = settings_with(FUSION, TRAINING, values)
    assert (fusion.changes["width"], training.corruption.share, training.loss.mse) == (16, 0.25, 0.5)
    assert training.corruption.whole == TRAINING.corruption.whole
    assert present(FUSION, TRAINING, SWEEP) == {
        "training.learning_rate": 1e-3, "training.corruption.share": 0.6, "fusion.width": 8,
    }  # fmt: skip


def test_without_optuna_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"needs the package optuna.*\[sweep\]"):
        nodes.imported_optuna()


def test_planning_a_sweep_imports_no_optuna() -> None:
    code = "import sys, iaca.pipelines.sweep; print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(ROOT), capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
