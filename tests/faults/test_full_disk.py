"""A full disk is told as what it is, by every writer; nothing half-written stays; with room again a rerun goes on."""

import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io.core import DatasetError
from little_tasks import contents, copy

from iaca.datasets.files import CSVDataset, JSONDataset, ParquetDataset, TextDataset
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding, write_embedding
from iaca.engine import ExecutorConfig, Task, run_tasks
from iaca.engine.results import Manifest, read_failures
from iaca.errors import StorageError
from iaca.faces.extract import NUMBERS, FaceRow, KeptFaces, write_batches
from iaca.files import replacing
from iaca.fusion import FusionConfig
from iaca.media import AudioTrack, read_audio_file, rewrite_movie, write_audio, write_movie
from iaca.training.checkpoints import AtomicCheckpointIO
from iaca.training.config import TrainingConfig
from iaca.training.train import TrainingRun, train

SERIAL = ExecutorConfig(kind="serial")
POOL = ExecutorConfig(workers=2)
NOISE = np.random.default_rng(0)
TABLE = pd.DataFrame({"value": NOISE.random(10_000)})
SOUND = AudioTrack(NOISE.uniform(-1, 1, 60_000).astype(np.float32), 16_000, ((0.0, 3.75),))


def embedding(steps: int = 400) -> ClipEmbedding:
    arrays = [NOISE.random((steps, width), np.float32) for width in (40, 60)]
    present = np.ones(steps, bool)
    return ClipEmbedding(*arrays, present, present, np.arange(steps) / 25, np.zeros((steps, 0), np.float32))


def annotated(steps: int = 400) -> AnnotatedClip:
    return AnnotatedClip(embedding(steps), NOISE.uniform(-1, 1, (steps, 2)).astype(np.float32))


def faces(path: Path) -> None:
    with replacing(path) as partial:
        numbers = np.ones(len(NUMBERS), np.float32)
        write_batches(partial, (FaceRow(i, i / 25, numbers, 0, NOISE.bytes(1000)) for i in range(300)))


def kept_faces(path: Path) -> None:
    with replacing(path) as partial:
        numbers = np.ones(len(NUMBERS), np.float32)
        KeptFaces(partial, (FaceRow(i, i / 25, numbers, 0, NOISE.bytes(1000)) for i in range(300)))


def embeddings(path: Path) -> None:
    with replacing(path) as partial:
        write_embedding(embedding(), partial)


def overlay(path: Path) -> None:
    source = path.parent.parent / "source.mp4"
    pictures = NOISE.integers(0, 255, (24, 120, 160, 3), np.uint8)
    write_movie(source, ((i / 25, picture) for i, picture in enumerate(pictures)), 25)
    rewrite_movie(source, path, lambda frame: pictures[frame.index])


WRITERS: dict[str, Callable[[Path], Any]] = {
    "sound.flac": lambda path: write_audio(path, SOUND),
    "faces.parquet": faces,
    "faces.jpegs": kept_faces,
    "embedding.safetensors": embeddings,
    "overlay.mp4": overlay,
    "checkpoint.ckpt": lambda path: AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(60_000)}, path),
    "table.csv": lambda path: CSVDataset(filepath=str(path)).save(TABLE),
    "table.parquet": lambda path: ParquetDataset(filepath=str(path)).save(TABLE),
    "numbers.json": lambda path: JSONDataset(filepath=str(path)).save(TABLE["value"].tolist()),
    "report.html": lambda path: TextDataset(filepath=str(path)).save("x" * 240_000),
}


@pytest.mark.parametrize("leave", [0, 60_000], ids=["full", "almost full"])
@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_tells_of_a_full_disk_and_the_old_file_stays(
    disk: Path, filled: Callable[..., Path], name: str, leave: int
) -> None:
    target = disk / name
    target.write_text("old")
    ballast = filled(disk, leave)
    with pytest.raises((StorageError, DatasetError), match=rf"{name}: the disk is full .*Remedy: make room there"):
        WRITERS[name](target)
    assert target.read_text() == "old"
    assert sorted(path.name for path in disk.iterdir()) == ["ballast", name]
    ballast.unlink()
    WRITERS[name](target)
    assert target.stat().st_size > 3


def test_sound_whose_last_bytes_found_no_room_is_not_taken_for_whole(disk: Path, filled: Callable[..., Path]) -> None:
    """libsndfile reports no error then."""
    write_audio(disk / "whole.flac", SOUND)
    size = (disk / "whole.flac").stat().st_size
    (disk / "whole.flac").unlink()
    refused = 0
    for leave in range(size // 4096 * 4096 - 8192, size + 8192, 4096):
        filled(disk, leave)
        try:
            write_audio(disk / "sound.flac", SOUND)
        except StorageError:
            refused += 1
            assert not (disk / "sound.flac").exists()
            continue
        assert len(read_audio_file(disk / "sound.flac").samples[:]) == len(SOUND.samples)
        (disk / "sound.flac").unlink()
    assert refused >= 2


@pytest.mark.parametrize("config", [SERIAL, POOL], ids=["serial", "processes"])
def test_a_full_disk_is_no_clips_fault_and_with_room_the_next_run_goes_on(
    disk: Path, tmp_path: Path, tasks: dict[str, Task], config: ExecutorConfig
) -> None:
    out = disk / "out"
    with pytest.raises(StorageError, match=r"the disk is full \(.*\); [45] of 6 items are finished Remedy: make room"):
        run_tasks(tasks, out, ".txt", config)
    finished = sorted(Manifest(out).items)
    assert len(finished) in (4, 5)
    assert sorted(path.stem for path in out.glob("*.txt")) == finished
    assert read_failures(out) == {}
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    report = run_tasks(tasks, out, ".txt", config)
    assert (report.kept, sorted(report.kept + report.made), report.failed) == (finished, list("abcdef"), {})
    run_tasks(tasks, tmp_path / "undisturbed", ".txt", SERIAL)
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_a_disk_that_is_full_from_the_start_is_told_before_any_work(
    disk: Path, filled: Callable[..., Path], tasks: dict[str, Task]
) -> None:
    (disk / "out").mkdir()
    filled(disk)
    with pytest.raises(StorageError, match=r"out/\S+: the disk is full"):
        run_tasks(tasks, disk / "out", ".txt", SERIAL)
    assert not list((disk / "out").glob("*.txt"))


def test_a_file_that_is_too_large_costs_only_its_own_clip(corpus: Path, tmp_path: Path) -> None:
    (corpus / "c").write_text("c" * 300_000)
    tasks = {path.name: Task("copy", copy, (path,)) for path in corpus.iterdir()}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        report = run_tasks(tasks, tmp_path / "out", ".txt", SERIAL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (sorted(report.made), list(report.failed)) == (list("abdef"), ["c"])
    assert "c.txt: the file would be larger than" in report.failed["c"]
    assert "Remedy: raise the limit (ulimit -f)" in report.failed["c"]
    assert run_tasks(tasks, tmp_path / "out", ".txt", SERIAL).made == ["c"]


def test_training_tells_of_a_full_disk_and_trains_with_room_again(disk: Path, filled: Callable[..., Path]) -> None:
    model = FusionConfig(audio_dim=40, visual_dim=60, width=8, heads=2, temporal_layers=1)
    config = TrainingConfig(length=30, hop=30, epochs=2, accelerator="cpu", threads=1)
    ballast = filled(disk)
    run = (model, config, {"one": annotated()}, {"other": annotated(60)}, disk / "checkpoints")
    with pytest.raises(StorageError, match=r"best\.ckpt: the disk is full"):
        train(TrainingRun(*run))
    assert not list((disk / "checkpoints").glob("*"))
    ballast.unlink()
    trained, history = train(TrainingRun(*run))
    assert len(history) == 2
    assert trained.weights


def divide(path: Path) -> None:
    with replacing(path) as partial:
        partial.write_text("half")
        partial.write_text(str(1 / 0))


def test_a_fault_that_is_not_the_disks_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        divide(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []
