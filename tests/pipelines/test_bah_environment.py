"""The environment `bah`: a tree of its public shape becomes clips without valence and arousal."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affwild2_tree import movie
from environments import catalog_of, check_that_results_lie_apart, location
from project import copy_project, runner


@pytest.mark.usefixtures("default_pipelines")
def test_everything_lies_beside_what_others_make(tmp_path: Path) -> None:
    assert location(catalog_of("bah", root=str(tmp_path)), "corpus") == tmp_path
    check_that_results_lie_apart("bah", {"demo_videos"})


@pytest.mark.slow
def test_the_videos_of_the_splits_become_clips_that_are_only_predicted(tmp_path: Path) -> None:
    root, project = tmp_path / "BAH", copy_project(tmp_path / "project")
    (root / "data" / "split").mkdir(parents=True)
    for split, person in (("train", 1), ("val", 2), ("test", 3)):
        path = f"Videos/{person}/Visite_1/{person}_Question_1 2024_Video.mp4"
        movie(root / "data" / path)
        (root / "data" / "split" / f"{split}.txt").write_text(f"{path},0,Well, I do.\n")
    words = ("kedro", "run", "--env", "bah", "--pipelines", "ingestion", "--params")
    done = runner(project)(*words, f"ingestion.root={root},executor.kind=serial")
    clips = pd.read_csv(project / "data/02_intermediate/bah/clips.csv")
    assert clips["partition"].tolist() == ["train", "validation", "test"]
    assert clips["subject"].tolist() == [1, 2, 3]
    assert (clips["annotated"] == 0).all()
    assert np.all(clips["frames"] > 0)
    assert "no model can be trained" in done.stdout + done.stderr
