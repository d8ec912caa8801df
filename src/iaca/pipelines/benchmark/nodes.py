"""Train every model with every seed, score each run clean and corrupted, compare them in pairs.

Embeddings of the scored clips after their sound or their faces were corrupted: one task per clip and condition.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from iaca.corpora.importers import IngestionConfig
from iaca.encoders.config import EmbeddingConfig, describe
from iaca.engine import ClipPaths, Task
from iaca.errors import InputError
from iaca.evaluation.benchmark_page import PageData, difference_dots, render_page, robustness_curves
from iaca.evaluation.benchmark_scores import VERSION as SCORE_VERSION
from iaca.evaluation.benchmark_scores import score_file
from iaca.evaluation.benchmark_summary import (
    certainty_summary,
    gate_summary,
    gates_of_runs,
    read_runs,
    results_table,
    summarise,
)
from iaca.evaluation.config import SNR, BenchmarkConfig, Condition, run_settings
from iaca.evaluation.partition import drawn_order
from iaca.evaluation.signal_corruption import VERSION, corrupt_faces_file, corrupt_sound_file, left_alone
from iaca.pipelines.training.nodes import learned_from
from iaca.training.config import VERSION as TRAINING_VERSION
from iaca.training.config import TrainingConfig
from iaca.training.train import train_file

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
    """One training run per model and seed, each resumable by itself, all with the same settings and corruption."""
    scored_clips(training_index, benchmark)  # refused now rather than after hours of training
    files, clips = learned_from(embeddings, timelines, training_index)
    shared = {"corpus": corpus_card, **clips}
    folder = (checkpoints / "benchmark").absolute()
    return {
        run: Task(
            "train",
            train_file,
            files,
            {
                "choice": model.choice(),
                "training": run_settings(training, seed, model.label in benchmark.main),
                **shared,
            },
            settings={"checkpoints": folder / run},
            version=TRAINING_VERSION,
        )
        for run, (model, seed) in benchmark.runs().items()
    }


def plan_scores(
    runs: ClipPaths,
    embeddings: ClipPaths,
    timelines: ClipPaths,
    spoilt: ClipPaths,
    training_index: pd.DataFrame,
    events: pd.DataFrame,
    training: TrainingConfig,
    benchmark: BenchmarkConfig,
    ingestion: IngestionConfig,
) -> dict[str, Task]:
    """One scoring per run: the partition clean, and under every corruption at every level that the corpus allows."""
    if not ingestion.has_media:
        benchmark = benchmark.model_copy(update={"corruption": benchmark.corruption.of_features()})
    clips = scored_clips(training_index, benchmark)
    known = events[events["clip"].isin(clips)]
    changed = [(condition, clip) for condition in benchmark.corruption.signal_conditions() for clip in clips]
    if missing := [condition.item(clip) for condition, clip in changed if condition.item(clip) not in spoilt]:
        raise InputError(
            f"{len(missing)} of {len(changed)} clips with a corrupted signal are missing, the first is {missing[0]}",
            remedy="run the whole benchmark pipeline: it makes them first",
        )
    parameters = {
        "corruption": benchmark.corruption,
        "events": known.to_dict("records"),
        "window": training.length,
        "hop": training.hop,
        "spoilt": [(*condition, clip) for condition, clip in changed],
    }
    clean = (*(embeddings[clip] for clip in clips), *(timelines[clip] for clip in clips))
    files = (*clean, *(spoilt[condition.item(clip)] for condition, clip in changed))
    return {
        run: Task("score", score_file, (runs[run], *files), parameters, version=SCORE_VERSION)
        for run in benchmark.runs()
    }


def compare_models(
    scores: ClipPaths, benchmark: BenchmarkConfig
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Every score; its summary over seeds with paired differences; how well the gates knew; intervals and
    inconsistency."""
    runs = read_runs({run: scores.whole(run) for run in scores}, benchmark)
    summary = summarise(runs, benchmark.main, benchmark.replicates)
    return results_table(runs), summary, gate_summary(gates_of_runs(runs)), certainty_summary(runs)


def draw_benchmark(summary: pd.DataFrame, benchmark: BenchmarkConfig) -> tuple[Figure, Figure]:
    """Curves of every model, and differences of the main ones."""
    return (
        robustness_curves(summary, benchmark.main, benchmark.partition),
        difference_dots(summary, benchmark.main, benchmark.partition),
    )


def write_page(
    summary: pd.DataFrame,
    gates: pd.DataFrame,
    certainty: pd.DataFrame,
    training_index: pd.DataFrame,
    corpus_card: dict[str, str],
    training: TrainingConfig,
    benchmark: BenchmarkConfig,
    spoilt: ClipPaths,
) -> str:
    """What was found, in Markdown."""
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
            steps=int(scored["annotated"].sum()),
            facts=training.model_dump(mode="json", exclude={"seed", "threads"}),
            left_out=[name for name in asked if name not in made],
            left_alone=left_alone(spoilt, benchmark.corruption.signal_conditions(), names) if spoilt else {},
        )
    )


def scored_clips(training_index: pd.DataFrame, benchmark: BenchmarkConfig) -> list[str]:
    """The annotated clips of the partition.

    Raises:
        InputError: there is none; the partitions that could be scored are named.
    """
    annotated = training_index[training_index["annotated"] > 0]
    clips = sorted(annotated.loc[annotated["partition"] == benchmark.partition, "clip"])
    if not clips:
        others = ", ".join(sorted(set(annotated["partition"]) - {"train"})) or "none"
        raise InputError(
            f"no clip of the {benchmark.partition} partition is annotated: there is nothing to score against",
            remedy=f"choose another one, as in benchmark.partition=validation; annotated are: {others}",
        )
    return clips


VOICES = 6
"""Of other clips that make a babble, or as many as there are."""


def plan_spoilt(
    embeddings: ClipPaths,
    faces: ClipPaths,
    audio: ClipPaths,
    clips: pd.DataFrame,
    training_index: pd.DataFrame,
    embedding: EmbeddingConfig,
    benchmark: BenchmarkConfig,
    ingestion: IngestionConfig,
) -> dict[str, Task]:
    """The scored partition under every condition of the signal. Only what is changed is embedded again: noise leaves
    the visual rows as they are, blur and blocks those of the sound."""
    conditions = benchmark.corruption.signal_conditions()
    if not ingestion.has_media and conditions:
        left_out = dict.fromkeys(condition.corruption for condition in conditions)
        log.warning("not scored, since this corpus has features alone, no sound and no faces: %s", ", ".join(left_out))
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
                task = Task("corrupt_sound", corrupt_sound_file, files, parameters, version=VERSION)
            else:
                task = Task(
                    "corrupt_faces", corrupt_faces_file, (embeddings[clip], faces[clip]), parameters, version=VERSION
                )
            tasks[condition.item(clip)] = task
    return tasks


def _voices(
    condition: Condition, clip: str, scored: list[str], media: Mapping[str, str], benchmark: BenchmarkConfig
) -> list[str]:
    """Clips of other videos of the partition, drawn for this one: two people of one video have the same sound."""
    if condition.corruption != "audio_babble":
        return []
    videos = {media[other]: other for other in scored if media[other] != media[clip]}
    order = drawn_order(benchmark.corruption.seed, f"voices of {clip}", dict.fromkeys(videos.values(), 0))
    return order[:VOICES]
