"""Inference as a user types it: on real clips, on broken ones, with and without a model."""

import functools
import json
import shutil
from pathlib import Path

import av
import pandas as pd
import pytest

from iaca.inference import Predictor
from iaca.media import frame_times, probe
from project import Command, copy_project, runner
from shared import SHARED, needs_shared

pytestmark = pytest.mark.slow
MEDIA = SHARED / "media"


def newest_model(finished: Path) -> Path:
    return sorted((finished / "data/06_models/iaca.safetensors").glob("*/iaca.safetensors"))[0]


def infer(command: Command, given: Path, output: Path, *more: str, fails: bool = False) -> str:
    parameters = ",".join([f"inference.input={given}", f"inference.output={output}", *more])
    words = ("kedro", "run", "--env", "test", "--pipelines", "inference", "--params", parameters)
    done = command(*words, fails=fails)
    return done.stdout + done.stderr


@needs_shared("media")
def test_real_clips_get_a_row_per_frame_a_plot_an_overlay_with_sound_and_a_summary(
    finished: Path, kedro: Command, tmp_path: Path
) -> None:
    infer(kedro, MEDIA, tmp_path, "inference.model=data/06_models/iaca.safetensors")  # the model trained last
    for video in sorted(MEDIA.iterdir()):
        table = pd.read_csv(tmp_path / f"{video.stem}.csv")
        assert len(table) == len(frame_times(video)), video.name
        observed = table["face_found"] | table["audio_present"]
        assert (table[["valence", "arousal"]].notna().all(axis=1) == observed).all()
        assert (tmp_path / f"{video.stem}.png").read_bytes().startswith(b"\x89PNG")
        overlay, source = probe(tmp_path / f"{video.stem}.mp4"), probe(video)
        assert overlay.has_audio == source.has_audio
        assert len(frame_times(overlay.path)) == len(table)
    warnings = {p.stem: " ".join(json.loads(p.read_text())["warnings"]) for p in tmp_path.glob("*.json")}
    assert "no face in any frame" in warnings["no_face"]
    assert "quiet" in warnings["single_face"]
    assert "nothing about emotions of real people" in warnings["single_face"]
    assert "under half" in warnings["face_noface"]


@needs_shared("media")
def test_a_script_and_the_pipeline_give_the_same_numbers(finished: Path, kedro: Command, tmp_path: Path) -> None:
    video = MEDIA / "single_face.mp4"
    infer(
        kedro,
        video,
        tmp_path,
        "inference.overlay=false",
        "inference.plot=false",
        f"inference.model={newest_model(finished)}",
    )
    written = pd.read_csv(tmp_path / "single_face.csv")
    table = Predictor.load(newest_model(finished)).predict(video)
    pd.testing.assert_frame_equal(table, written, check_dtype=False, atol=1e-5, rtol=1e-5)


def demo_video(finished: Path) -> Path:
    return min((finished / "data/01_raw/demo/videos").glob("*.mp4"), key=lambda p: p.stat().st_size)


def test_a_broken_video_costs_only_itself_and_a_rerun_does_only_what_is_new(
    finished: Path, kedro: Command, tmp_path: Path
) -> None:
    given, output = tmp_path / "in", tmp_path / "out"
    given.mkdir()
    shutil.copy(demo_video(finished), given / "good one.mp4")
    (given / "broken.mp4").write_text("this is no video")
    said = infer(kedro, given, output)
    assert (output / "good one.csv").exists()
    assert not (output / "broken.json").exists()
    assert "broken.mp4" in said
    assert "broken" in (output / "failures.csv").read_text()
    (given / "broken.mp4").unlink()
    shutil.copy(demo_video(finished), given / "late.mp4")
    (output / "notes.txt").write_text("mine")
    assert "1 made, 1 up to date" in infer(kedro, given, output)
    assert "0 made, 1 up to date" in infer(kedro, given / "late.mp4", output)  # named another way, the same video
    assert (output / "notes.txt").exists()


def test_a_fresh_project_predicts_by_the_heuristic_and_says_so_everywhere(finished: Path, tmp_path: Path) -> None:
    command, out, video = runner(copy_project(tmp_path / "fresh")), tmp_path / "out", demo_video(finished)
    said = infer(command, video, out)
    assert "zero-shot heuristic" in said
    summary = json.loads((out / f"{video.stem}.json").read_text())
    assert summary["model"]["kind"] == "zero-shot heuristic"
    assert summary["warnings"][0].startswith("HEURISTIC")
    table = pd.read_csv(out / f"{video.stem}.csv")
    assert (table.loc[table["face_found"], "gate_modalities_visual"] > 0.3).mean() > 0.9
    pd.testing.assert_frame_equal(
        Predictor.load("zero_shot").predict(video), table, check_dtype=False, atol=1e-5, rtol=1e-5
    )


def test_relative_paths_are_relative_to_the_folder_in_which_the_user_is(finished: Path, tmp_path: Path) -> None:
    project, video = copy_project(tmp_path / "fresh"), demo_video(finished)
    (folder := project / "data/my videos").mkdir()
    shutil.copy(video, folder / "a.mp4")
    command = functools.partial(runner(project), cwd=folder)
    infer(command, Path("a.mp4"), Path("out"), "inference.overlay=false")
    assert {path.name for path in (folder / "out").iterdir()} >= {"a.csv", "a.png", "a.json", ".manifest.jsonl"}
    assert not (project / "out").exists()


def test_a_model_that_is_not_there_is_named(finished: Path, tmp_path: Path) -> None:
    command = runner(copy_project(tmp_path / "fresh"))
    said = infer(command, demo_video(finished), tmp_path / "out", "inference.model=mine.safetensors", fails=True)
    assert "There is no model" in said
    assert "mine.safetensors" in said


def test_it_works_in_a_fresh_project_when_a_model_file_is_given(finished: Path, tmp_path: Path) -> None:
    command = runner(copy_project(tmp_path / "fresh"))
    infer(command, demo_video(finished), tmp_path / "out", f"inference.model={newest_model(finished)}")
    with av.open(str(tmp_path / "out" / f"{demo_video(finished).stem}.mp4")) as movie:
        assert movie.streams.audio


def test_an_input_that_is_not_there_is_named(kedro: Command, tmp_path: Path) -> None:
    assert "no video found" in infer(kedro, tmp_path / "nowhere.mp4", tmp_path / "out", fails=True)


def test_a_few_annotated_clips_adapt_the_heuristic_and_predict_under_its_name(
    finished: Path, kedro: Command, tmp_path: Path
) -> None:
    said = kedro("kedro", "run", "--env", "test", "--pipelines", "adaptation")
    scores = pd.read_csv(finished / "data/08_reporting/adaptation.csv")
    subjects = pd.read_csv(finished / "data/02_intermediate/clips.csv")["subject"].nunique()
    assert scores["held_out"].tolist()[-1] == "all, pooled"
    assert len(scores) == subjects + 1
    assert "on subjects left out, zero-shot" in said.stdout + said.stderr
    video = demo_video(finished)
    infer(kedro, video, tmp_path, "inference.model=data/06_models/adapted.safetensors", "inference.overlay=false")
    summary = json.loads((tmp_path / f"{video.stem}.json").read_text())
    assert summary["model"]["kind"] == "adapted heuristic"
    assert summary["warnings"][0].startswith("ADAPTED HEURISTIC")
