"""Train every model with every seed, score each run clean and corrupted, compare them in pairs.

The scored clips are also embedded with corrupted sound or faces: one task per clip and condition.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from iaca.corpora.check import require_annotated
from iaca.encoders.config import EmbeddingConfig, describe
from iaca.engine import ClipPaths, Task
from iaca.engine.task import FEWER_WORKERS
from iaca.errors import InputError, counted
from iaca.evaluation.benchmark_page import PageData, difference_dots, render_page, robustness_curves
from iaca.evaluation.benchmark_paper import latex_table, paper_figure, paper_table
from iaca.evaluation.benchmark_scores import VERSION as SCORE_VERSION
from iaca.evaluation.benchmark_scores import score_file
from iaca.evaluation.benchmark_summary import (
    certainty_summary,
    gate_summary,
    gates_of_runs,
    read_runs,
    results_table,
    summarise,
    too_few,
)
from iaca.evaluation.config import SNR, BenchmarkConfig, Condition, run_settings
from iaca.evaluation.corruption import drawn_order
from iaca.evaluation.signal_corruption import VERSION, corrupt_faces_file, corrupt_sound_file, left_alone
from iaca.pipelines.embedding.pipeline import BATCHES
from iaca.pipelines.ingestion.nodes import IngestionConfig
from iaca.pipelines.training.nodes import learned_from, train_model, untracked
from iaca.training.config import LOW_MEMORY, TrainingConfig
from iaca.training.config import VERSION as TRAINING_VERSION

log = logging.getLogger(__name__)


def plan_runs(
    embeddings: ClipPaths,
    timelines: ClipPaths,
    training_index: pd.DataFrame,
    corpus_card: dict[str, str],
    checkpoints: Path,
    training: TrainingConfig,
    benchmark: BenchmarkConfig,
) -> dict[str, Task]:
    """One resumable training run per model and seed, all with the same settings and corruption."""
    clips = scored_clips(training_index, benchmark)  # fail now rather than after hours of training
    if few := too_few(len(clips), len(benchmark.seeds), _subjects(training_index, clips)):
        log.warning("the benchmark will rank no model. %s", few)
    files, parts = learned_from(embeddings, timelines, training_index)
    shared = {"corpus": corpus_card, **parts}
    folder = (checkpoints / "benchmark").absolute()
    training, tracking = untracked(training, checkpoints)
    return {
        run: Task(
            "train",
            train_model,
            files,
            {
                "choice": model.choice(),
                "training": run_settings(training, seed, model.label in benchmark.main),
                **shared,
            },
            settings={"checkpoints": folder / run, **tracking},
            version=TRAINING_VERSION,
            low_memory=LOW_MEMORY,
        )
        for run, (model, seed) in benchmark.runs().items()
    }


def plan_scores(
    *,
    runs: ClipPaths,
    corrupted: ClipPaths,
    embeddings: ClipPaths,
    timelines: ClipPaths,
    training_index: pd.DataFrame,
    events: pd.DataFrame,
    training: TrainingConfig,
    benchmark: BenchmarkConfig,
    ingestion: IngestionConfig,
) -> dict[str, Task]:
    """One scoring task per run: the partition clean, and under each corruption and level that the corpus allows."""
    if not ingestion.has_media:
        benchmark = benchmark.model_copy(update={"corruption": benchmark.corruption.of_features()})
    clips = scored_clips(training_index, benchmark)
    known = events[events["clip"].isin(clips)]
    changed = [(condition, clip) for condition in benchmark.corruption.signal_conditions() for clip in clips]
    if missing := [condition.item(clip) for condition, clip in changed if condition.item(clip) not in corrupted]:
        raise InputError(
            f"{counted(len(missing), 'clip')} of {len(changed)} with a corrupted signal missing, the first is "
            f"{missing[0]}",
            remedy="run the whole benchmark pipeline, which embeds them first",
        )
    parameters = {
        "corruption": benchmark.corruption,
        "events": known.to_dict("records"),
        "window": training.length,
        "hop": training.hop,
        "spoilt": [(*condition, clip) for condition, clip in changed],
    }
    clean = (*(embeddings[clip] for clip in clips), *(timelines[clip] for clip in clips))
    files = (*clean, *(corrupted[condition.item(clip)] for condition, clip in changed))
    return {
        run: Task(
            "score",
            score_file,
            (runs[run], *files),
            parameters,
            settings={"device": benchmark.device},
            version=SCORE_VERSION,
            low_memory=FEWER_WORKERS,
        )
        for run in benchmark.runs()
    }


def compare_models(
    scores: ClipPaths, training_index: pd.DataFrame, benchmark: BenchmarkConfig
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """All scores, their summary over seeds with paired differences, how well the gates detected corruption, and how
    well intervals cover and inconsistency finds contradictions."""
    runs = read_runs({run: scores.whole(run) for run in scores}, benchmark)
    subjects = _subjects(training_index, scored_clips(training_index, benchmark))
    summary = summarise(runs, benchmark.main, benchmark.replicates, subjects)
    return results_table(runs), summary, gate_summary(gates_of_runs(runs)), certainty_summary(runs)


def draw_benchmark(summary: pd.DataFrame, benchmark: BenchmarkConfig) -> tuple[Figure, Figure]:
    """Robustness curves of all models, and paired differences of the main ones."""
    return (
        robustness_curves(summary, benchmark.main, benchmark.partition),
        difference_dots(summary, benchmark.main, benchmark.partition),
    )


def write_comparison(
    results: pd.DataFrame, training_index: pd.DataFrame, corpus_card: dict[str, str], benchmark: BenchmarkConfig
) -> tuple[pd.DataFrame, str, Figure]:
    """What a paper prints: every model clean and with the voice missing, as a table, in LaTeX, and as a figure."""
    clips = scored_clips(training_index, benchmark)
    few = too_few(len(clips), len(benchmark.seeds), _subjects(training_index, clips))
    table, scored = paper_table(results, bool(few)), (corpus_card["name"], benchmark.partition)
    return table, latex_table(table, *scored), paper_figure(table, *scored)


def write_page(
    summary: pd.DataFrame,
    gates: pd.DataFrame,
    certainty: pd.DataFrame,
    training_index: pd.DataFrame,
    corpus_card: dict[str, str],
    training: TrainingConfig,
    benchmark: BenchmarkConfig,
    corrupted: ClipPaths,
) -> str:
    """The findings as a Markdown page."""
    names = scored_clips(training_index, benchmark)
    scored = training_index[training_index["clip"].isin(names)]
    asked, made = [name for name, levels in benchmark.corruption.levels.items() if levels], set(summary["corruption"])
    return render_page(
        PageData(
            summary=summary,
            gates=gates,
            certainty=certainty,
            main=benchmark.main,
            corpus=corpus_card["name"],
            caveat=corpus_card["caveat"],
            partition=benchmark.partition,
            clips=len(scored),
            subjects=_subjects(training_index, names),
            steps=int(scored["annotated"].sum()),
            facts=training.model_dump(mode="json", exclude={"seed", "threads"}),
            left_out=[name for name in asked if name not in made],
            left_alone=left_alone(corrupted, benchmark.corruption.signal_conditions(), names) if corrupted else {},
        )
    )


def scored_clips(training_index: pd.DataFrame, benchmark: BenchmarkConfig) -> list[str]:
    """The annotated clips of the partition.

    Raises:
        InputError: there is none; the annotated partitions are named.
    """
    require_annotated(training_index, {benchmark.partition: f"benchmark.partition={benchmark.partition}"})
    annotated = training_index[training_index["annotated"] > 0]
    return sorted(annotated.loc[annotated["partition"] == benchmark.partition, "clip"])


def _subjects(training_index: pd.DataFrame, clips: list[str]) -> int | None:
    """Number of subjects of the clips; None if the index names none."""
    if "subject" not in training_index:
        return None
    return int(training_index.loc[training_index["clip"].isin(clips), "subject"].nunique())


VOICES = 6
"""Largest number of other clips that are mixed into babble."""


def plan_corrupted_embeddings(
    *,
    embeddings: ClipPaths,
    faces: ClipPaths,
    audio: ClipPaths,
    clips: pd.DataFrame,
    training_index: pd.DataFrame,
    embedding: EmbeddingConfig,
    benchmark: BenchmarkConfig,
    ingestion: IngestionConfig,
) -> dict[str, Task]:
    """Corrupt and embed the scored partition under each condition of the signal. Only the corrupted modality is
    embedded again: noise keeps the visual rows, blur and occlusion keep the audio rows."""
    conditions = benchmark.corruption.signal_conditions()
    if not ingestion.has_media and conditions:
        left_out = dict.fromkeys(condition.corruption for condition in conditions)
        log.warning("not scored, because this corpus has only features, no sound and no faces: %s", ", ".join(left_out))
    if not ingestion.has_media or not conditions:
        return {}

    scored = scored_clips(training_index, benchmark)
    common = {"corruption": benchmark.corruption.of_signal(), "config": embedding, "encoders": describe(embedding)}
    media = dict(zip(clips["clip"], clips["media"], strict=True))
    tasks = {}
    for condition in conditions:
        for clip in scored:
            parameters: Mapping[str, Any] = {"clip": clip, "condition": condition, **common}
            if condition.corruption in SNR:
                talking = _voices(condition, clip, scored, media, benchmark)
                files = (embeddings[clip], audio[clip], *(audio[other] for other in talking))
                task = Task("corrupt_sound", corrupt_sound_file, files, parameters, version=VERSION, low_memory=BATCHES)
            else:
                files = (embeddings[clip], faces[clip])
                task = Task("corrupt_faces", corrupt_faces_file, files, parameters, version=VERSION, low_memory=BATCHES)
            tasks[condition.item(clip)] = task
    return tasks


def _voices(
    condition: Condition, clip: str, scored: list[str], media: Mapping[str, str], benchmark: BenchmarkConfig
) -> list[str]:
    """Clips of other videos of the partition, drawn at random for this clip. People in one video share their sound."""
    if condition.corruption != "audio_babble":
        return []
    videos = {media[other]: other for other in scored if media[other] != media[clip]}
    order = drawn_order(benchmark.corruption.seed, f"voices of {clip}", dict.fromkeys(videos.values(), 0))
    return order[:VOICES]
