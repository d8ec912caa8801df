"""The benchmark: run by run, gone on with after a kill, and its files as they are promised."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from benchmark_project import BENCHMARK, FEATURES, LEVELS, TRAINING, check_what_is_trained_on, corpus, run
from kedro.io import DatasetError

from iaca.encoders.config import EmbeddingConfig
from iaca.engine import ClipPaths
from iaca.errors import InputError
from iaca.evaluation.config import BenchmarkConfig
from iaca.pipelines.benchmark import nodes
from iaca.pipelines.ingestion.nodes import IngestionConfig
from project import ROOT, Command, environment

RUNS = ["concat-seed0", "concat-seed1", "iaca-seed0", "iaca-seed1"]


def made(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Name of each whole run -> when its file was written, and what is in it."""
    files = sorted(folder.glob("[!.]*.safetensors"))
    return {path.stem: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def recorded(folder: Path) -> list[str]:
    journal = folder / "runs/.manifest.jsonl"
    return journal.read_text().splitlines() if journal.exists() else []


def killed_half_way(folder: Path) -> None:
    """A benchmark in a process of its own, killed without warning when one run is done and another under way."""
    script = Path(__file__).with_name("benchmark_project.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder)], env=environment(ROOT), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while not recorded(folder) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """(runs that were whole when it was killed, the folder, the catalog of the benchmark that went on)."""
    folder = tmp_path_factory.mktemp("interrupted")
    killed_half_way(folder)
    before = {name: file for name, file in made(folder / "runs").items() if any(name in r for r in recorded(folder))}
    return before, folder, run(folder)


def test_a_killed_benchmark_goes_on_and_does_no_finished_run_again(interrupted):
    before, folder, _ = interrupted
    after = made(folder / "runs")
    assert 1 <= len(before) < len(RUNS)
    assert sorted(after) == RUNS
    assert {name: after[name] for name in before} == before  # the same files, written at the same time


def test_it_ends_up_with_the_same_models_as_one_that_was_left_alone(interrupted, tmp_path):
    _, folder, data = interrupted
    alone = run(tmp_path)
    assert {n: content for n, (_, content) in made(tmp_path / "runs").items()} == {
        n: content for n, (_, content) in made(folder / "runs").items()
    }
    pd.testing.assert_frame_equal(alone["benchmark_results"].load(), data["benchmark_results"].load())


def test_every_run_has_checkpoints_of_its_own_and_a_finished_one_leaves_none(interrupted):
    _, folder, data = interrupted
    assert not list((folder / "checkpoints").rglob("*.ckpt"))
    files = (data[name].load() for name in ("embeddings", "timelines", "training_index"))
    planned = nodes.plan_runs(*files, {"name": "t", "caveat": ""}, folder, TRAINING, BENCHMARK)
    assert len({task.settings["checkpoints"] for task in planned.values()}) == len(planned) == len(RUNS)


def test_every_output_is_there(interrupted):
    data = interrupted[2]
    results, summary = data["benchmark_results"].load(), data["benchmark_summary"].load()
    assert list(results) == ["model", "seed", "corruption", "level", "ccc_valence", "ccc_arousal"]
    conditions = {("clean", 0), ("missing_audio", 0), ("missing_audio", 0.5), ("conflict", 0), ("conflict", 0.5)}
    assert set(zip(results["corruption"], results["level"], strict=True)) == conditions
    assert len(results) == len(RUNS) * len(conditions)
    differences = summary[summary["minus"].notna()]
    assert set(zip(differences["model"], differences["minus"], strict=True)) == {("iaca", "concat")}
    gates = data["benchmark_gates"].load()
    assert set(gates["model"]) == {"iaca"}
    certainty = data["benchmark_certainty"].load()  # no row: two validation clips calibrate nothing, and no events
    assert list(certainty)[:3] == ["model", "measure", "dimension"]
    assert certainty.empty
    page = data["benchmark_page"].load()
    assert "Not ranked: no difference below has an interval." in page  # of two clips
    assert "| concat |" in page
    assert "\\begin{tabular}" in data["paper_latex"].load()
    assert set(data["paper_comparison"].load()["corruption"]) == {"clean", "missing_audio"}
    for name in ("benchmark_summary_figure", "benchmark_differences_figure", "paper_figure"):
        assert data[name].load().startswith(b"\x89PNG")


def test_a_shorter_list_of_seeds_throws_no_run_away_and_compares_only_what_it_names(interrupted, caplog):
    before = made(interrupted[1] / "runs")
    with caplog.at_level(logging.INFO, "iaca.engine.run"):
        data = run(interrupted[1], BENCHMARK.model_copy(update={"seeds": (1,)}))
    assert "0 made, 2 up to date" in caplog.text
    assert made(interrupted[1] / "runs") == before
    assert set(data["benchmark_results"].load()["seed"]) == {1}


def test_all_models_train_on_the_same_with_the_same(tmp_path):
    embeddings, timelines, index = corpus(tmp_path)
    card = {"name": "t", "caveat": ""}
    planned = nodes.plan_runs(embeddings, timelines, index, card, tmp_path, TRAINING, BENCHMARK)
    assert len({task.inputs for task in planned.values()}) == 1
    assert all("training.batch_size" in task.low_memory for task in planned.values())
    settings = {name: task.parameters["training"] for name, task in planned.items()}
    assert settings["iaca-seed1"] == settings["concat-seed1"] != settings["concat-seed0"]
    check_what_is_trained_on(planned, embeddings, timelines, index)


@pytest.mark.parametrize("kind", ["absent", "unannotated"])
def test_a_partition_that_cannot_be_scored_is_refused_before_anything_is_trained(tmp_path, kind):
    embeddings, timelines, index = corpus(tmp_path)
    if kind == "unannotated":
        index.loc[index["partition"] == "test", "annotated"] = 0
    benchmark = BENCHMARK.model_copy(update={"partition": "test" if kind == "unannotated" else "held_out"})
    with pytest.raises(InputError, match=r"benchmark\.partition=validation"):
        nodes.plan_runs(embeddings, timelines, index, {"name": "t", "caveat": ""}, tmp_path, TRAINING, benchmark)


def test_a_failed_run_is_an_error_and_not_a_comparison_with_a_hole(tmp_path):
    too_long = {"preset": "jca_paper", "name": "too_long"}  # has 16 steps in its weights, the windows have 50
    config = BenchmarkConfig(models=["concat", too_long], seeds=[0, 1], main=["concat"])
    with pytest.raises(DatasetError, match="2 of 4 items failed; the first is too_long-seed0"):
        run(tmp_path, config)
    assert sorted(made(tmp_path / "runs")) == ["concat-seed0", "concat-seed1"]


def test_the_parameters_of_the_project_are_those_of_the_models():
    text = yaml.safe_load((ROOT / "conf/base/parameters_benchmark.yml").read_text())["benchmark"]
    assert BenchmarkConfig(**text) == BenchmarkConfig()


def test_scores_are_asked_of_the_runs_that_are_planned(tmp_path):
    embeddings, timelines, index = corpus(tmp_path)
    events = pd.DataFrame([("elsewhere", "audio", "silent", 0.0, 1.0)],
                          columns=["clip", "modality", "kind", "start_s", "end_s"])  # fmt: skip
    runs = ClipPaths({name: tmp_path / name for name in [*RUNS, "an_older-seed9"]}, {})
    planned = nodes.plan_scores(
        runs=runs,
        corrupted=ClipPaths({}, {}),
        embeddings=embeddings,
        timelines=timelines,
        training_index=index,
        events=events,
        training=TRAINING,
        benchmark=BENCHMARK,
        ingestion=FEATURES,
    )
    assert sorted(planned) == RUNS
    for name, task in planned.items():
        assert task.inputs[0] == runs[name]
        scored = sorted(index.loc[index["partition"] == "test", "clip"])
        assert task.inputs[1:] == (*(embeddings[clip] for clip in scored), *(timelines[clip] for clip in scored))
        assert task.parameters["events"] == []  # of clips that are not scored


@pytest.mark.parametrize("importer", ["demo", "features"])
def test_corrupted_signals_are_embedded_and_scored_where_there_are_videos(tmp_path, caplog, importer):
    """Noise is added to the sound, a mouth is covered in the faces; a corpus of features has neither."""
    embeddings, timelines, index = corpus(tmp_path)
    levels = {**LEVELS, "audio_noise": [0.0], "occlusion_mouth": [0.9]}
    corruption = BENCHMARK.corruption.model_validate({**BENCHMARK.corruption.model_dump(), "levels": levels})
    common = {
        "embeddings": embeddings, "training_index": index, "ingestion": IngestionConfig(importer=importer),
        "benchmark": BENCHMARK.model_copy(update={"corruption": corruption}),
    }  # fmt: skip
    faces, audio = (
        ClipPaths({clip: tmp_path / f"{clip}.{end}" for clip in index["clip"]}, {}) for end in ("png", "wav")
    )
    embedded = nodes.plan_corrupted_embeddings(
        faces=faces, audio=audio, clips=index.assign(media=index["clip"]), embedding=EmbeddingConfig(), **common
    )
    scored = sorted(index.loc[index["partition"] == "test", "clip"])
    noisy, covered = ([f"{clip}@{name}" for clip in scored] for name in ("audio_noise_0.0", "occlusion_mouth_0.9"))
    spoilt = ClipPaths({item: tmp_path / item for item in embedded}, {})
    events = pd.DataFrame(columns=["clip", "modality", "kind", "start_s", "end_s"])
    runs = ClipPaths({name: tmp_path / name for name in RUNS}, {})
    given = {"runs": runs, "timelines": timelines, "events": events, "training": TRAINING, **common}
    task = nodes.plan_scores(corrupted=spoilt, **given)[RUNS[0]]
    assert task.inputs[1 : 1 + 2 * len(scored)] == (*(embeddings[c] for c in scored), *(timelines[c] for c in scored))
    if importer == "features":
        assert not embedded
        assert "no sound and no faces: audio_noise, occlusion_mouth" in caplog.text
        assert set(task.parameters["corruption"].levels) == {"missing_audio", "conflict"}
        assert (len(task.inputs), task.parameters["spoilt"]) == (1 + 2 * len(scored), [])
        return
    assert not caplog.records
    assert list(embedded) == [*noisy, *covered]
    for items, files in ((noisy, audio), (covered, faces)):
        for item, clip in zip(items, scored, strict=True):
            assert embedded[item].inputs == (embeddings[clip], files[clip])
    assert set(task.parameters["corruption"].levels) == set(levels)
    assert task.inputs[1 + 2 * len(scored) :] == tuple(spoilt[item] for item in (*noisy, *covered))
    assert [clip for *_, clip in task.parameters["spoilt"]] == [*scored, *scored]
    with pytest.raises(
        InputError, match=rf"{2 * len(scored)} clips of {2 * len(scored)} with a corrupted signal missing"
    ):
        nodes.plan_scores(corrupted=ClipPaths({}, {}), **given)


@pytest.mark.slow
def test_the_command_makes_the_promised_files_and_does_nothing_twice(finished: Path, kedro: Command):
    words = ("kedro", "run", "--env", "test", "--pipelines", "benchmark")
    kedro(*words)
    folder = finished / "data/08_reporting"
    results = pd.read_csv(folder / "benchmark.csv")
    assert list(results) == ["model", "seed", "corruption", "level", "ccc_valence", "ccc_arousal"]
    assert set(results["model"]) == {"iaca_plus", "concat"}
    assert set(results["seed"]) == {0, 1}
    assert not results.duplicated(["model", "seed", "corruption", "level"]).any()
    summary = pd.read_csv(folder / "benchmark_summary.csv")
    row = summary[
        (summary["minus"] == "concat") & (summary["measure"] == "ccc_mean") & (summary["corruption"] == "clean")
    ]
    clean = results[results["corruption"] == "clean"].assign(mean=lambda t: (t["ccc_valence"] + t["ccc_arousal"]) / 2)
    table = clean.pivot(index="seed", columns="model", values="mean")
    assert row["mean"].item() == pytest.approx((table["iaca_plus"] - table["concat"]).mean(), abs=1e-12)
    assert (folder / "benchmark_summary.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "benchmark_differences.png").read_bytes().startswith(b"\x89PNG")
    assert "## What was found" in (folder / "benchmark_summary.md").read_text()
    events = pd.read_csv(folder / "benchmark_gates.csv")
    assert np.isfinite(events["mean"]).all()
    again = kedro(*words)
    assert "benchmark: 0 made, 4 up to date" in again.stdout + again.stderr
    assert "benchmark_scores: 0 made, 4 up to date" in again.stdout + again.stderr
