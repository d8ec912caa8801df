"""docs/guide/challenge.md, command by command, on a generated tree of the challenge's shape."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iaca.corpora.synthetic import SyntheticConfig, draw_corpus
from iaca.encoders.embedding import AnnotatedClip
from iaca.formats.labels import UNITS
from iaca.formats.predictions import check_submission
from project import ROOT, copy_project, environment

sys.path.insert(0, str(ROOT / "tests/docs"))
from pages import Block, blocks, uncommented

PAGE = "docs/guide/challenge.md"
CORPUS = SyntheticConfig(clips=9, seconds=8.0, rate=10.0, audio_dim=5, visual_dim=6, quality=False)
HEADS = {
    "va": "image_location,valence,arousal",
    "expr": "image_location,Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other",
    "au": f"image_location,{','.join(UNITS).upper()}",
    "mtl": "image,valence,arousal,expression,aus",
}
SWEEP = """
sweep:
  trials: 2
  seeds: 2
  space:
    training.learning_rate: {low: 1.0e-3, high: 1.0e-2, log: true}
"""


def lines(path: Path, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


def tree(root: Path) -> Path:
    """Nine clips: five to train on, two to validate, two without annotation; gaps, other lengths, other divisions."""
    for number, made in enumerate(draw_corpus(CORPUS)):
        clip, name = made.annotated, f"{number}-10-64x48"
        seen = clip.embedding
        for kind, values, present in (
            ("audio", seen.audio, seen.audio_present),
            ("visual", seen.visual, seen.face_found),
        ):
            head = ",".join(["time_s", *(f"f{i}" for i in range(values.shape[1]))])
            rows = [
                ",".join([f"{t:.3f}", *(f"{x:.5f}" for x in row)])
                for t, row, there in zip(seen.time_s, values, present, strict=True)
                if there
            ]
            lines(root / f"features/{kind}/{name}.csv", head, *rows)
        if number < 7:
            annotate(root, name, number, clip)
    lines(root / "fps.csv", "clip,fps", *(f"{number}-10-64x48,10" for number in range(9)))
    return root


def annotate(root: Path, name: str, number: int, clip: AnnotatedClip) -> None:
    folder = "Train_Set" if number < 5 else "Validation_Set"
    affect = clip.labels.astype(float)
    rows = [f"{v:.4f},{a:.4f}" if i % 9 else "-5,-5" for i, (v, a) in enumerate(affect)]
    classes = [
        str(int(4 * (v > 0) + 2 * (a > 0) + (abs(v) > 0.3))) if i % 7 else "-1" for i, (v, a) in enumerate(affect)
    ]
    units = [",".join("-1" if (i + u) % 11 == 0 else str(int(v * np.cos(u) + a * np.sin(u) > 0)) for u in range(12))
             for i, (v, a) in enumerate(affect)]  # fmt: skip
    if number != 1:  # this one has units alone
        lines(root / f"VA_Estimation_Challenge/{folder}/{name}.txt", "valence,arousal", *rows)
    if number not in (1, 2):
        head = HEADS["expr"].partition(",")[2]
        lines(root / f"EXPR_Recognition_Challenge/{folder}/{name}.txt", head, *classes, "0")  # a row more than frames
    there = "Validation_Set" if number == 4 else folder  # the challenges disagree about this one
    lines(root / f"AU_Detection_Challenge/{there}/{name}.txt", HEADS["au"].partition(",")[2], *units[:-2])


def commands_of(block: Block) -> list[str]:
    return [words for line in block.lines if (words := uncommented(line))]


PARTS = [block for block in blocks() if block.page == PAGE and block.language == ""]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """Runs a command of the page in a small project, with its names replaced; returns what it said."""
    folder = tmp_path_factory.mktemp("challenge")
    project = copy_project(folder / "project")
    shutil.copy(project / "conf/test/parameters_training.yml", project / "conf/features")
    (project / "conf/features/parameters_sweep.yml").write_text(SWEEP)
    names = {"SOURCE": str(tree(folder / "source")), "ROOT": str(folder / "root")}

    def one(words: str, **more: str) -> str:
        for name, value in {**names, **more}.items():
            words = words.replace(name, value)
        words = words.replace("training.seed", "executor.kind=serial,training.seed")
        done = subprocess.run(
            ["bash", "-c", words], cwd=project, env=environment(project), capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    one.project = project  # type: ignore[attr-defined]
    return one


@pytest.mark.slow
def test_the_page_leads_from_the_download_to_a_checked_submission_of_every_track(run, tmp_path: Path) -> None:
    project: Path = run.project
    told = ""
    plain = [words for block in PARTS if not block.needs for words in commands_of(block)]
    assert [words.split()[2] if words.startswith("python") else words.split()[0] for words in plain] == [
        "iaca.corpora.convert", "kedro", "kedro", "kedro", "kedro", "iaca.evaluation.multitask",
        "iaca.evaluation.submission", "iaca.evaluation.submission",
    ]  # fmt: skip
    for words in plain[:-2]:
        told += run(words, **{"choices.json": str(tmp_path / "choices.json")})
    root = Path(str(project.parent / "root"))
    problems = pd.read_csv(root / "conversion_problems.csv")
    assert "4-10-64x48" in problems.loc[problems["problem"].str.startswith("not used"), "clip"].tolist()
    labels = pd.read_parquet(project / "data/05_model_input/features/labels.parquet")
    units_only = labels[labels["clip"] == "1-10-64x48"]
    assert units_only["valence"].isna().all()
    assert units_only["au1"].notna().any()
    assert labels.loc[labels["clip"] == "4-10-64x48", "au1"].isna().all()
    assert labels.groupby("clip")["partition"].first().value_counts().to_dict() == {
        "train": 5, "validation": 2, "test": 2,
    }  # fmt: skip
    scores = pd.read_csv(project / "data/08_reporting/features/multitask.csv").set_index(["partition", "measure"])
    parts = [scores.loc[("validation", m), "value"] for m in ("ccc_mean", "expression_f1", "action_units_f1")]
    assert scores.loc[("validation", "p_mtl"), "value"] == pytest.approx(sum(parts))
    assert "Expressions and action units" in (project / "data/08_reporting/features/report.html").read_text()
    versions = list((project / "data/07_model_output/features/predictions.parquet").glob("*/predictions.parquet"))
    assert len(versions) == 3
    choices = json.loads((tmp_path / "choices.json").read_text())
    assert set(choices["thresholds"]) == set(UNITS)
    assert "too good an estimate" in told
    for track, head in HEADS.items():
        sample, out = tmp_path / f"{track}.txt", tmp_path / f"{track}_out.txt"
        lines(sample, head, *(f"{clip}-10-64x48/{n:05d}.jpg,0" for clip in (8, 7) for n in range(1, 84)))
        for words in plain[-2:]:
            told = run(
                words,
                **{"SAMPLE.txt": str(sample), "OUT.txt": str(out), "choices.json": str(tmp_path / "choices.json")},
            )
        assert "valid; all rows of the sample in order" in told
        assert check_submission(out, sample) == []
        table = pd.read_csv(out, header=None, skiprows=1)
        assert len(table) == 2 * 83
        assert table.shape[1] == 1 + {"va": 2, "expr": 1, "au": 12, "mtl": 15}[track]
        assert (table.iloc[80:83, 1:].nunique() == 1).all()  # beyond the clip: its last values again


@pytest.mark.slow
def test_the_sweep_of_the_page_ends_with_a_file_of_parameters_that_a_run_takes(run) -> None:
    pytest.importorskip("optuna", reason="optuna is of the extra `sweep`")
    project: Path = run.project
    (words,) = [words for block in PARTS if block.needs and "`sweep`" in block.needs for words in commands_of(block)]
    if not (project.parent / "root").exists():
        run(commands_of(PARTS[0])[0])
    run(words)
    best = project / "data/08_reporting/features/sweep/best.yml"
    assert "The best of 2 trials" in best.read_text()
    trials = pd.read_csv(best.with_name("trials.csv"))
    assert trials["kind"].value_counts().to_dict() == {"trial": 2, "best": 2, "present": 2}
    baselines = "baselines: [concat]\n"
    (project / "conf/features/parameters_training.yml").write_text(baselines + best.read_text())
    run('kedro run --env features --pipelines ingestion,training --params "ingestion.root=ROOT,training.seed=5"')
    history = pd.read_csv(project / "data/06_models/features/history.csv")
    assert "clean_expression" in history


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is of an extra of that name")
def test_the_logger_of_the_page_fills_a_local_store(run) -> None:
    project: Path = run.project
    if not (project.parent / "root").exists():
        run(commands_of(PARTS[0])[0])
    for words in commands_of(PARTS[0])[1:]:
        run(words)
    run('kedro run --env features --params "ingestion.root=ROOT" --to-nodes index_steps')
    (words,) = [words for block in PARTS for words in commands_of(block) if "training.logger=tensorboard" in words]
    run(words.replace("training.logger", "training.epochs=3,training.logger"))
    store = project / "data/06_models/features/tracking/tensorboard"
    assert {path.name.partition("-")[0] for path in store.iterdir()} >= {"main", "concat"}
