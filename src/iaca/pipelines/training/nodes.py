"""Select the clips of each partition, train the main model and its baselines on them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from iaca.engine import ClipPaths, Task
from iaca.engine.run import watched
from iaca.errors import counted
from iaca.evaluation.metrics import are_few, few_sentence
from iaca.formats.labels import TASK_COLUMNS
from iaca.fusion.config import Baselines, ModelChoice
from iaca.training.config import LOW_MEMORY, VERSION, TrainingConfig, require_installed
from iaca.training.model_file import TrainedBaselines, TrainedModel, history_of, load_model, weights_digest
from iaca.training.tracking import Tracking

log = logging.getLogger(__name__)
MAIN = "main"
FEW_FACES = 0.5  # a lower share suggests a fault: in the detector, the side, or the videos


def index_steps(clips: pd.DataFrame, embeddings: ClipPaths, timelines: ClipPaths) -> pd.DataFrame:
    """Per embedded clip: its steps, its annotated steps, and the shares of steps with sound and with a face."""
    columns = ["valence", "arousal", "audio_present", "face_found"]
    rows = []
    for clip in clips[clips["clip"].isin(set(embeddings) & set(timelines))].to_dict("records"):
        timeline = pd.read_parquet(timelines.whole(clip["clip"]), columns=columns)
        rows.append(
            {
                **{name: clip[name] for name in ("clip", "subject", "partition")},
                "steps": len(timeline),
                "annotated": int(timeline[["valence", "arousal"]].notna().all(axis=1).sum()),
                "audio_present": float(timeline["audio_present"].mean()),
                "face_found": float(timeline["face_found"].mean()),
            }
        )
    index = pd.DataFrame(rows)
    for partition, part in index.groupby("partition"):
        found = float((part["face_found"] * part["steps"]).sum() / part["steps"].sum())
        level = logging.WARNING if found < FEW_FACES else logging.INFO
        steps = counted(part["steps"].sum(), "step")
        log.log(level, "%s: %s, a face in %.0f %% of %s", partition, counted(len(part), "clip"), 100 * found, steps)
        if few := few_annotated(part):
            log.warning("%s: %s", partition, few)
    return index


def few_annotated(clips: pd.DataFrame) -> str:
    """Why the annotated clips of a partition are too few to be relied on; "" if they are enough, or if there is none:
    a partition without annotation, such as the test partition of a challenge, is not scored."""
    annotated = clips[clips["annotated"] > 0]
    subjects = int(annotated["subject"].nunique())
    return few_sentence(len(annotated), subjects) if len(annotated) and are_few(len(annotated), subjects) else ""


def collect_labels(training_index: pd.DataFrame, timelines: ClipPaths) -> pd.DataFrame:
    """The annotations of all clips in one table: clip, partition, frame, valence, arousal (NaN: not annotated), and if
    any clip has them `TASK_COLUMNS`."""
    columns = ["frame", "valence", "arousal"]  # one DataFrame per clip would be slow for many short clips
    files = [timelines.whole(clip) for clip in training_index["clip"]]
    known = [[name for name in TASK_COLUMNS if name in pq.read_schema(file).names] for file in files]
    tables = [pq.read_table(file, columns=columns + own) for file, own in zip(files, known, strict=True)]
    plain = [table.replace_schema_metadata(None) for table in tables]
    labels: pd.DataFrame = pa.concat_tables(plain, promote_options="default").to_pandas()
    for name in ("clip", "partition"):  # categories: a name is stored once, not with each of millions of steps
        labels[name] = pd.Categorical(training_index[name]).repeat([len(table) for table in tables])
    return labels.reindex(columns=["clip", "partition", *columns, *(TASK_COLUMNS if any(known) else ())])


def plan_runs(
    embeddings: ClipPaths,
    timelines: ClipPaths,
    training_index: pd.DataFrame,
    corpus_card: dict[str, str],
    checkpoints: Path,
    fusion: ModelChoice,
    baselines: Baselines,
    training: TrainingConfig,
) -> dict[str, Task]:
    """One run per model: the main one, and each baseline on the same data, with the same corruption and seed.

    Annotations come from the timelines, so a corrected label repeats training but not embedding. The engine calls
    `train_model` for each task when the dataset is saved.
    """
    files, clips = learned_from(embeddings, timelines, training_index)
    training, tracking = untracked(training, checkpoints)
    choices = {MAIN: fusion, **{name: ModelChoice(preset=name) for name in baselines.root}}
    return {
        run: Task(
            "train",
            train_model,
            files,
            {"choice": choice, "training": settings_of(run, training), "corpus": corpus_card, **clips},
            settings={"checkpoints": (checkpoints / run).absolute(), "progress": run == MAIN and watched(), **tracking},
            version=VERSION,
            low_memory=LOW_MEMORY,
        )
        for run, choice in choices.items()
    }


def train_model(*files: Path, **parameters: Any) -> None:
    """`iaca.training.train.train_file`, imported in the process that trains: Lightning takes 3 s to import, and most
    commands train nothing."""
    from iaca.training.train import train_file

    train_file(*files, **parameters)


def untracked(training: TrainingConfig, checkpoints: Path) -> tuple[TrainingConfig, dict[str, Tracking]]:
    """The settings without a logger, which is not part of a fingerprint, and the setting `tracking` of tasks in its
    place; the stores are next to the checkpoints.

    Raises:
        InputError: the package of the logger is not installed.
    """
    if training.logger == "none":
        return training, {}
    require_installed(training.logger)
    base = checkpoints.absolute()
    plain = training.model_copy(update={"logger": "none"})
    return plain, {"tracking": Tracking(training.logger, base.with_name("tracking"), base)}


def settings_of(run: str, training: TrainingConfig) -> TrainingConfig:
    """The settings of one run: baselines train no folds, so their intervals rest on the validation clips alone."""
    return training if run == MAIN else training.model_copy(update={"folds": 0})


def learned_from(
    embeddings: ClipPaths, timelines: ClipPaths, training_index: pd.DataFrame
) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """The files a training run reads, the names of its clips as `train_clips` and `validation_clips`, and `subjects`.

    Clips of the test partition are in neither.
    """
    parts = {p: sorted(training_index.loc[training_index["partition"] == p, "clip"]) for p in ("train", "validation")}
    clips = sorted(parts["train"] + parts["validation"])
    files = (*(embeddings[clip] for clip in clips), *(timelines[clip] for clip in clips))
    subjects = dict(zip(training_index["clip"], training_index["subject"].astype(str), strict=True))
    return files, {
        **{f"{part}_clips": names for part, names in parts.items()},
        "subjects": {clip: subjects[clip] for clip in clips},
    }


def publish_model(training_runs: ClipPaths) -> tuple[TrainedModel, TrainedBaselines, pd.DataFrame]:
    """The main model and its baselines, both as a new version, and the history of every run."""
    models = {run: load_model(training_runs.whole(run)) for run in training_runs}
    histories = [history_of(model).assign(model=run) for run, model in models.items()]
    for run, history in zip(models, histories, strict=True):
        scores = history["score"].fillna(-1.0).to_numpy()  # unknown where only one dimension was still trained
        best = int(scores.argmax())
        log.info("%s: validation score %.3f in epoch %d of %d", run, scores[best], best + 1, len(scores))
    main = models.pop(MAIN)
    return main, TrainedBaselines(weights_digest(main), models), pd.concat(histories, ignore_index=True)
