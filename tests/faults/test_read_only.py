"""A folder that can't be written to is told by its name; a corpus that can't be written to is all that is needed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kedro.io.core import DatasetError

from affwild2_tree import annotate, crops, movie
from iaca.audio import AudioConfig
from iaca.datasets.files import JSONDataset
from iaca.engine import ExecutorConfig, Task, results, run_tasks
from iaca.errors import InputError, StorageError
from iaca.faces.detect import FaceConfig
from iaca.media import MediaLimits
from iaca.pipelines.ingestion.nodes import IngestionConfig, describe_corpus, index_corpus, plan_timelines
from iaca.pipelines.preprocessing.pipeline import plan_audio, plan_faces

SERIAL, LIMITS = ExecutorConfig(kind="serial"), MediaLimits()


def test_a_read_only_folder_of_results_is_named_and_a_writable_one_is_all_it_takes(
    tmp_path: Path, tasks: dict[str, Task], read_only: Callable[[Path], Path]
) -> None:
    out = tmp_path / "out"
    run_tasks(dict(list(tasks.items())[:2]), out, ".txt", SERIAL)
    read_only(tmp_path)
    with pytest.raises(StorageError, match=rf"{out}: this folder can't be written to .*Remedy: mount it for writing"):
        run_tasks(tasks, out, ".txt", SERIAL)
    with pytest.raises(StorageError, match="can't be written to"):
        run_tasks(tasks, tmp_path / "new", ".txt", SERIAL)
    with pytest.raises(DatasetError, match="can't be written to"):
        JSONDataset(filepath=str(out / "numbers.json")).save({"a": 1})


def test_nothing_is_written_into_a_corpus(tmp_path: Path, read_only: Callable[[Path], Path]) -> None:
    root = tmp_path / "corpus"
    movie(root / "videos/video1.mp4")
    annotate(root / "VA_Estimation_Challenge/Train_Set/video1.txt", 30)
    crops(root / "cropped_aligned/video1", range(1, 31))
    read_only(root)
    corpus_of = IngestionConfig.model_validate({"importer": "affwild2"})
    index, problems = index_corpus(root, corpus_of, LIMITS)
    run_tasks(plan_timelines(root, index, problems, corpus_of, LIMITS), tmp_path / "timelines", ".parquet", SERIAL)
    timelines = results(tmp_path / "timelines", ".parquet")
    clips, _, _ = describe_corpus(root, index, problems, timelines, corpus_of)
    faces = plan_faces(root, clips, timelines, FaceConfig(), LIMITS, corpus_of)
    assert run_tasks(faces, tmp_path / "faces", ".parquet", SERIAL).made == ["video1"]
    sound = plan_audio(root, clips, AudioConfig(), LIMITS, corpus_of)
    assert run_tasks(sound, tmp_path / "audio", ".flac", SERIAL).made == ["video1"]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path, tasks: dict[str, Task]) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match=r"out: a file is in the place of this folder Remedy: move that file"):
        run_tasks(tasks, tmp_path / "out", ".txt", SERIAL)
    assert (tmp_path / "out").read_text() == "a file"
