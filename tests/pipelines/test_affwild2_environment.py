"""The environment `affwild2`: a tree in the organisers' layout to embeddings, in one command, beside the demo."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.runner import SequentialRunner

from affwild2_tree import FRAMES, tree
from environments import catalog_of, check_that_results_lie_apart, location
from project import ROOT, copy_project, runner


@pytest.mark.usefixtures("default_pipelines")
def test_nothing_is_rendered_and_everything_lies_beside_what_others_make(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = catalog_of("affwild2", root=str(tmp_path))
    assert {"corpus", "params:faces"} <= pipelines["__default__"].inputs() | pipelines["__default__"].all_outputs()
    assert location(ours, "corpus") == tmp_path
    check_that_results_lie_apart("affwild2", {"demo_videos"})
    with caplog.at_level(logging.INFO):
        SequentialRunner().run(pipelines["demo_corpus"], ours)
    assert "no demo corpus is rendered" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_the_benchmark_scores_the_partition_whose_labels_are_published() -> None:
    with KedroSession.create(ROOT, env="affwild2") as session:
        assert session.load_context().config_loader["parameters"]["benchmark"]["partition"] == "validation"


@pytest.mark.slow
def test_the_download_becomes_embeddings_and_what_does_not_fit_is_told(tmp_path: Path) -> None:
    root, project = tree(tmp_path / "Aff-Wild2", "VA_Set"), copy_project(tmp_path / "project")
    words = ("kedro", "run", "--env", "affwild2", "--pipelines", "ingestion,preprocessing,embedding")
    done = runner(project)(*words, "--params", f"ingestion.root={root},executor.kind=serial")
    clips = pd.read_csv(project / "data/02_intermediate/affwild2/clips.csv").set_index("clip")
    fitting = {"1-30-64x48", "video2", "video2_left", "3-30-64x48", "5-30-64x48_right", "video6"}
    assert set(clips.index) == fitting
    assert clips.loc["video2", ["frames", "annotated"]].tolist() == [FRAMES, FRAMES - 1]
    problems = pd.read_csv(project / "data/02_intermediate/affwild2/problems.csv").set_index("clip")["problem"]
    assert problems["4-30-64x48"] == "34 annotated rows for 30 decoded frames"
    assert problems["video2"].startswith("3 crops beyond")
    assert set(problems.index) == {"4-30-64x48", "video2", "video6", "5-30-64x48_right"}  # the last has no annotation
    check_embeddings(project, done.stdout + done.stderr)


def check_embeddings(project: Path, told: str) -> None:
    """Six clips; a gap among the crops is an absent face; nothing is lost though one video's faces are detected."""
    from iaca.encoders import read_annotated, read_embedding

    assert "faces: 6 made, 0 up to date, 0 pruned, 0 failed" in told
    folder, timelines = project / "data/04_feature/affwild2/embeddings", project / "data/03_primary/affwild2/timelines"
    embedded = {path.stem: read_embedding(path) for path in folder.glob("*s")}
    assert len(embedded) == 6
    assert np.flatnonzero(~embedded["1-30-64x48"].face_found).tolist() == [3, 4, 6, 19]
    assert not embedded["video6"].face_found.any()
    assert all(len(embedding.time_s) == FRAMES for embedding in embedded.values())
    left = read_annotated(folder / "video2_left.safetensors", timelines / "video2_left.parquet")
    assert np.isnan(left.labels[:, 0]).nonzero()[0].tolist() == [2, FRAMES - 2, FRAMES - 1]
