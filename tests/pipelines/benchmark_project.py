"""The benchmark pipeline on a tiny synthetic corpus in a folder of its own: python benchmark_project.py FOLDER."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from iaca.corpora.features import write_clip_timeline
from iaca.corpora.synthetic import SyntheticConfig, draw_corpus
from iaca.datasets.files import ClipFiles, CSVDataset, FigureDataset, NoClipFiles, TextDataset
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.embedding import write_embedding
from iaca.engine import ClipPaths, Task
from iaca.evaluation.config import BenchmarkConfig
from iaca.pipelines.benchmark import create_pipeline
from iaca.pipelines.ingestion.nodes import IngestionConfig
from iaca.training.config import TrainingConfig

SMALL = {"width": 8, "temporal_layers": 1, "heads": 2}
MODELS = [{"preset": name, "name": name, **SMALL} for name in ("iaca", "concat")]
LEVELS = {"missing_audio": [0, 0.5], "conflict": [0.5]}
BENCHMARK = BenchmarkConfig(
    models=MODELS, seeds=[0, 1], main=["iaca"], replicates=100, corruption={"levels": LEVELS, "block_s": 1.0}
)
FEATURES = IngestionConfig.model_validate({"importer": "features"})
TRAINING = TrainingConfig(length=50, hop=40, epochs=2, batch_size=4, threads=1)


def corpus(folder: Path) -> tuple[ClipPaths, ClipPaths, pd.DataFrame]:
    """Embeddings and timelines of six clips of 4 s, and their index."""
    config = SyntheticConfig(clips=6, clips_per_subject=1, seconds=4.0, audio_dim=3, visual_dim=4,
                             partitions=("train", "validation", "test"))  # fmt: skip
    rows, embeddings, timelines = [], {}, {}
    for name in ("embeddings", "timelines"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for clip in draw_corpus(config):
        embeddings[clip.name] = folder / "embeddings" / f"{clip.name}.safetensors"
        timelines[clip.name] = folder / "timelines" / f"{clip.name}.parquet"
        write_embedding(clip.annotated.embedding, embeddings[clip.name])
        write_clip_timeline(clip.annotated, timelines[clip.name])
        rows.append(
            {"clip": clip.name, "subject": clip.subject, "partition": clip.partition, "annotated": len(clip.annotated)}
        )
    return ClipPaths(embeddings, {}), ClipPaths(timelines, {}), pd.DataFrame(rows)


def check_what_is_trained_on(
    planned: Mapping[str, Task], embeddings: ClipPaths, timelines: ClipPaths, index: pd.DataFrame
) -> None:
    """Every run learns from the train clips and is validated on the validation clips; no other file reaches it."""
    parts = {p: set(index.loc[index["partition"] == p, "clip"]) for p in ("train", "validation", "test")}
    assert set(index["subject"]).isdisjoint(index["clip"])  # or one could stand for the other
    assert all(parts.values())
    for task in planned.values():
        for partition in ("train", "validation"):
            named = task.parameters[f"{partition}_clips"]
            assert len(named) == len(set(named))
            assert set(named) == parts[partition]
        clips = sorted(parts["train"] | parts["validation"])
        assert task.parameters["subjects"] == index.set_index("clip")["subject"].loc[clips].to_dict()
        assert task.inputs == (*(embeddings[clip] for clip in clips), *(timelines[clip] for clip in clips))


def catalog(folder: Path, benchmark: BenchmarkConfig = BENCHMARK, index: pd.DataFrame | None = None) -> DataCatalog:
    """Everything in memory but what the engine makes; the runs one after the other."""
    embeddings, timelines, found = corpus(folder)
    here: dict[str, Any] = {"executor": {"kind": "serial"}, "tolerated_failures": 0.0}
    events = pd.DataFrame(columns=["clip", "modality", "kind", "start_s", "end_s"])
    given = {
        "embeddings": embeddings, "timelines": timelines, "training_index": found if index is None else index,
        "events": events, "corpus_card": {"name": "tiny", "caveat": "made up"},
        "checkpoints": folder / "checkpoints",
        "params:training": TRAINING, "params:benchmark": benchmark, "params:embedding": EmbeddingConfig(),
        "params:ingestion": FEATURES, "clips": found,
    }  # fmt: skip
    made = {
        **{name: NoClipFiles() for name in ("faces", "audio", "spoilt_embeddings")},
        "benchmark_runs": ClipFiles(path=str(folder / "runs"), suffix=".safetensors", prune=False, **here),
        "benchmark_scores": ClipFiles(path=str(folder / "scores"), suffix=".parquet", **here),
    }
    reports = {
        **{f"benchmark_{name}": table(folder / f"{name}.csv") for name in ("results", "summary", "gates", "certainty")},
        **{f"benchmark_{name}_figure": FigureDataset(filepath=str(folder / f"{name}.png"))
           for name in ("summary", "differences")},
        "benchmark_page": TextDataset(filepath=str(folder / "summary.md")),
        "paper_comparison": table(folder / "paper.csv"),
        "paper_latex": TextDataset(filepath=str(folder / "paper.tex")),
        "paper_figure": FigureDataset(filepath=str(folder / "paper.png")),
    }  # fmt: skip
    return DataCatalog({**{name: MemoryDataset(value) for name, value in given.items()}, **made, **reports})


def table(path: Path) -> CSVDataset:
    return CSVDataset(filepath=str(path), save_args={"index": False})


def run(folder: Path, benchmark: BenchmarkConfig = BENCHMARK, index: pd.DataFrame | None = None) -> DataCatalog:
    """Run the whole pipeline."""
    data = catalog(folder, benchmark, index)
    SequentialRunner().run(create_pipeline().only_nodes_with_tags("benchmark"), data)
    return data


if __name__ == "__main__":
    run(Path(sys.argv[1]))
