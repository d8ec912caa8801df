"""The environment `folder`: own videos and what is annotated of them, in one command, beside the demo's results."""

from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.project import pipelines

from affwild2_tree import movie
from environments import catalog_of, check_that_results_lie_apart, location
from project import copy_project, runner


@pytest.mark.usefixtures("default_pipelines")
def test_the_way_from_videos_to_the_report_is_the_usual_one_in_folders_of_its_own(tmp_path: Path) -> None:
    ours = catalog_of("folder", root=str(tmp_path))
    way = {"ingestion", "preprocessing", "embedding"}
    stages = {name: {node.name for node in pipeline.nodes} for name, pipeline in pipelines.items()}
    assert stages["adaptation"] == {"adapt_model"}.union(*(stages[name] for name in way))  # from the videos
    assert "params:ingestion" in pipelines["__default__"].inputs()
    assert location(ours, "corpus") == tmp_path
    check_that_results_lie_apart("folder", {"demo_videos"})


@pytest.mark.slow
def test_videos_are_summarised_and_a_subject_in_two_partitions_stops_the_run(tmp_path: Path) -> None:
    root, project = tmp_path / "videos", copy_project(tmp_path / "project")
    for i in range(4):
        movie(root / f"session {i % 2}/{i:02d}.mp4", 20)
        (root / f"session {i % 2}/{i:02d}.csv").write_text("frame,valence,arousal\n0,0.1,0.2\n19,0.3,0.4\n")
    words = ("kedro", "run", "--env", "folder", "--pipelines", "ingestion", "--params")
    done = runner(project)(*words, f"ingestion.root={root},executor.kind=serial")
    data = project / "data/02_intermediate/folder"
    clips = pd.read_csv(data / "clips.csv", dtype={"clip": str})
    assert clips["clip"].tolist() == ["00", "01", "02", "03"]
    assert (clips["annotated"] == 2).all()
    summary = pd.read_csv(data / "summary.csv").set_index("partition")
    assert summary[["clips", "frames", "annotated"]].sum().tolist() == [4, 80, 8]
    assert "problems: none" in done.stdout + done.stderr
    (root / "partition.csv").write_text("clip,partition,subject\n00,train,ann\n01,test,ann\n02,train,bob\n")
    stopped = runner(project)(*words, f"ingestion.root={root},executor.kind=serial", fails=True)
    told = stopped.stdout + stopped.stderr
    assert "partition.csv, line 3: subject ann is in test and train (test: 01; train: 00)" in told
    problems = pd.read_csv(data / "index_problems.csv", dtype=str)
    assert problems["problem"].str.contains("subject ann|in no partition|no annotated clip in validation").sum() == 3
