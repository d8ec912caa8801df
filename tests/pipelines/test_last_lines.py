"""The last lines of a run: where its results lie, and what its model scores."""

import logging
from pathlib import Path

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from iaca.datasets.files import ClipFiles, CorpusFolder, CSVDataset, JSONDataset, NoClipFiles
from iaca.hooks import WhereResultsLie, places

METRICS = {
    "model": "iaca",
    "validation_clips": 9, "validation_ccc_mean": 0.74331,
    "validation_ccc_mean_low": 0.7, "validation_ccc_mean_high": 0.8,
    "validation_ccc_valence": 0.5, "validation_ccc_valence_low": 0.4, "validation_ccc_valence_high": 0.6,
    "validation_ccc_arousal": None, "validation_ccc_arousal_low": None, "validation_ccc_arousal_high": None,
    "test_clips": 1, "test_ccc_mean": 0.555, "test_ccc_valence": 0.5, "test_ccc_arousal": 0.61,
    "test_ccc_mean_low": None,
}  # fmt: skip


def touch(folder: Path, *names: str) -> set[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return {folder / name for name in names}


def test_results_are_named_by_folder_and_important_ones_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "..")
    results = touch(tmp_path, "08/a.png", "08/b.png", "08/z.html", "08/m.csv", "08/n.json", "02/clips.csv")
    (tmp_path / "02/labels").mkdir()
    here = tmp_path.name
    assert places({*results, tmp_path / "02/labels"}) == [
        f"  {here}/02: labels/, clips.csv",
        f"  {here}/08: z.html, n.json, m.csv, a.png and 1 more",
    ]
    monkeypatch.chdir("/")
    assert places({tmp_path / "02/clips.csv"}) == [f"  {str(tmp_path)[1:]}/02: clips.csv"]
    monkeypatch.chdir(tmp_path / "08")
    assert places({tmp_path / "02/clips.csv"}) == [f"  {tmp_path}/02: clips.csv"]


def test_of_a_folder_with_other_results_everything_in_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "out #1/a.csv", "out #1/a.png", "out #1/inference_summary.csv", "out #1/.manifest.jsonl")
    made = {tmp_path / "out #1", tmp_path / "out #1/inference_summary.csv"}
    assert places(made) == ["  out #1: a.csv, a.png, inference_summary.csv"]


def test_a_run_ends_with_its_files_and_the_scores_of_every_partition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    catalog = DataCatalog(
        {
            "metrics": JSONDataset(filepath=str(tmp_path / "metrics.json")),
            "not_made": CSVDataset(filepath=str(tmp_path / "no.csv")),
            "faces": ClipFiles(path=str(tmp_path / "faces"), suffix=".x"),
            "audio": NoClipFiles(),
            "in_memory": MemoryDataset(),
            "corpus": CorpusFolder(path=str(tmp_path / "mine"), expects="a folder"),
        }
    )
    catalog["metrics"].save(METRICS)
    (tmp_path / "faces").mkdir()
    (tmp_path / "mine").mkdir()
    names = ["metrics", "not_made", "faces", "audio", "in_memory", "corpus"]
    with caplog.at_level(logging.INFO, "iaca.hooks"):
        hook = WhereResultsLie()
        hook.after_pipeline_run(Pipeline([Node(lambda: None, None, names, name="n")]), catalog)
        hook.after_pipeline_run(Pipeline([Node(lambda: None, None, "in_memory", name="n")]), catalog)
    assert [record.getMessage() for record in caplog.records] == [
        "results, by folder:\n  .: metrics.json, faces/",
        "scores, with 95 % intervals:\n"
        "validation (9 clips): CCC 0.743 [0.700, 0.800], valence 0.500 [0.400, 0.600], arousal undefined\n"
        "test (1 clip): CCC 0.555, valence 0.500, arousal 0.610; too few clips for an interval",
    ]
