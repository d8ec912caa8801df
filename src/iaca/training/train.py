"""How a fusion model is trained. Read from the top:

train_file                      the engine's task: embeddings and timelines in, a model file out
  calibrated                    adds how sure the model is: networks of folds, errors on clips they have not seen
  train                         one network for both dimensions, or one network per dimension
    train_network               fits one network: stops early, and resumes after an interruption
      FusionTraining            the LightningModule: training step, validation score, learning rate, history
"""

from __future__ import annotations

import copy
import gc
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import lightning
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from iaca.encoders.embedding import embeddings_of, read_annotated
from iaca.encoders.networks import set_tf32
from iaca.errors import InputError, counted
from iaca.fusion.config import FusionConfig, ModelChoice
from iaca.fusion.iaca_plus import Readings
from iaca.fusion.model import FusionModel, FusionOutput
from iaca.parameters import flat
from iaca.training.calibration import Predict, calibrate
from iaca.training.checkpoints import (
    BEST,
    LAST,
    AtomicCheckpointIO,
    Finished,
    ResumableEarlyStopping,
    checkpoint_callbacks,
    cluster_environment,
    data_fingerprint,
    finished_file,
    read_checkpoint,
    remove_checkpoints,
    remove_finished,
    restored_torch_settings,
    resumable_checkpoint,
    run_fingerprint,
    silenced_lightning,
    strategy_of,
    train_once,
)
from iaca.training.config import TARGETS, TrainingConfig
from iaca.training.data import Clips, placement, torch_device, training_loader, validation_loaders
from iaca.training.loss import (
    CONDITIONS,
    THRESHOLDS,
    Tasks,
    balanced_weights,
    gate_supervision,
    latent_loss,
    learning_rate,
    score_of_all,
    task_losses,
    task_row,
    training_loss,
    unit_thresholds,
)
from iaca.training.model_file import (
    TrainedModel,
    history_table,
    merged_histories,
    save_model,
    with_clips,
    with_history,
    with_training_settings,
)
from iaca.training.predict import (
    SHARE,
    BuiltModel,
    Scored,
    held_back,
    predict_clip,
    score_row,
    validation_row,
)
from iaca.training.progress import EpochBar, EpochLines, EpochTracker
from iaca.training.readings import fit_fusion_readings
from iaca.training.sample import Normalisation, Stream, WindowSpec, model_arguments, shared_cues, torch_seed
from iaca.training.tracking import Tracking

Batch = dict[str, Tensor]


def train_file(
    *files: Path,
    target: Path,
    choice: ModelChoice,
    training: TrainingConfig,
    train_clips: Sequence[str],
    validation_clips: Sequence[str],
    corpus: Mapping[str, str],
    checkpoints: Path,
    subjects: Mapping[str, str] | None = None,
    progress: bool = False,
    tracking: Tracking | None = None,
) -> None:
    """Train on the named clips and write the model file, with the origin of the model in its metadata.

    A model that reads quality cues gets those that all of these clips have, unless `choice` names them.

    Args:
        files: embeddings of the clips, then their timelines, which have the annotation, in the same order.
        target: the model file.
        choice, training: the model and the run.
        train_clips, validation_clips: names of the clips.
        corpus: its name and caveat.
        checkpoints: a folder for this run alone.
        subjects: of the clips; a clip that is not listed is a subject of its own.
        progress: show a bar of epochs.
        tracking: a store that receives the epochs of each network.

    Raises:
        InputError: a partition has no clip or no annotated step; a timeline does not fit its embedding.
    """
    pairs = zip(files[: len(files) // 2], files[len(files) // 2 :], strict=True)
    tasks = bool(choice.build(1, 1).tasks)
    clips = {embedding.stem: read_annotated(embedding, timeline, tasks) for embedding, timeline in pairs}
    embeddings = embeddings_of(clips)
    dims = next((clip.dims for clip in embeddings.values()), {"audio": 1, "visual": 1})
    fusion = choice.build(dims["audio"], dims["visual"], shared_cues(embeddings))
    to_train, to_validate = ({name: clips[name] for name in names} for names in (train_clips, validation_clips))
    run = TrainingRun(fusion, training, to_train, to_validate, checkpoints, progress, subjects or {}, tracking)
    model, history = calibrated(run)
    origin = {"preset": choice.preset, "corpus": corpus["name"], "caveat": corpus["caveat"]}
    model = replace(model, metadata={**model.metadata, **origin})
    save_model(with_clips(with_history(model, history), train_clips, validation_clips), target)


@dataclass(frozen=True)
class TrainingRun:
    """Everything that one training run depends on.

    Attributes:
        fusion: the model.
        config: settings of the run.
        train_clips, validation_clips: embeddings and annotation by clip name.
        checkpoints: a folder for this run alone. An interrupted run resumes from it if it is the same run on the same
            data; a finished run leaves nothing in it.
        progress: show a bar of epochs.
        subjects: of the clips; a clip that is not listed is a subject of its own.
        tracking: a store that receives the epochs of each network; no effect on the result.
    """

    fusion: FusionConfig
    config: TrainingConfig
    train_clips: Clips
    validation_clips: Clips
    checkpoints: Path
    progress: bool = False
    subjects: Mapping[str, str] = field(default_factory=dict)
    tracking: Tracking | None = None

    @cached_property
    def data(self) -> str:
        """Fingerprint of the training clips."""
        return data_fingerprint(self.train_clips)

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of everything that the result depends on; subjects decide the folds of readings."""
        people = {name: self.subjects.get(name, name) for name in sorted(self.train_clips)}
        parts = (
            self.data,
            data_fingerprint(self.validation_clips),
            *([json.dumps(people)] if self.fusion.reads else []),
        )
        return run_fingerprint(self.fusion, self.config, *parts)


def calibrated(run: TrainingRun) -> tuple[TrainedModel, pd.DataFrame]:
    """Train a model, then `folds` networks each without some subjects, and calibrate the model on their errors.

    The weights are those of `train`. A finished network is kept in `run.checkpoints` until the calibration is complete.
    A model of one dimension is not calibrated. Result and errors are otherwise those of `train`.
    """
    folds = {f"fold{i}": part for i, part in enumerate(subject_folds(run.train_clips, run.subjects, run.config.folds))}
    networks = {"whole": _train_once(train, run, run.checkpoints, "whole") if folds else train(run)}
    for name, left_out in folds.items():
        clips = {clip: annotated for clip, annotated in run.train_clips.items() if clip not in left_out}
        part = replace(run, train_clips=clips, checkpoints=run.checkpoints / name)
        networks[name] = _train_once(train, part, run.checkpoints, name)
    remove_finished(run.checkpoints, networks)
    model, history = networks["whole"]
    if model.targets != TARGETS:
        return model, history
    calibration = calibrate(
        run.fusion.modalities,
        model.normalisation,
        _predictor(model, run.config),
        run.train_clips,
        run.validation_clips,
        run.subjects,
        [(left_out, _predictor(networks[name][0], run.config)) for name, left_out in folds.items()],
        run.config.recalibrate,
        run.fusion.causal,
    )
    return replace(model, calibration=calibration), history


def _train_once(network: Callable[[TrainingRun], Finished], run: TrainingRun, kept: Path, name: str) -> Finished:
    return train_once(partial(network, run), finished_file(kept, name), run.fingerprint)


def subject_folds(clips: Clips, subjects: Mapping[str, str], folds: int) -> list[frozenset[str]]:
    """The clips in `folds` parts (as many as there are subjects, at most), each subject in one; none below two."""
    names = sorted({subjects.get(clip, clip) for clip in clips})
    parts = [set(names[i::folds]) for i in range(min(folds, len(names)))] if folds else []
    return [frozenset(c for c in clips if subjects.get(c, c) in part) for part in parts] if len(parts) > 1 else []


def _predictor(model: TrainedModel, config: TrainingConfig) -> Predict:
    built = BuiltModel.of(model, torch_device(config))
    return lambda clip: predict_clip(built, clip).prediction


def train(run: TrainingRun) -> tuple[TrainedModel, pd.DataFrame]:
    """Train one model.

    The weights kept are those of the epoch with the best score: the mean of clean and corrupted validation CCC, pooled
    over the partition. On a CPU the same seed gives the same bits, interrupted or not. With several devices the
    processes are started from here, and only the caller's process continues afterwards.

    Returns:
        The model, and its history: one row per epoch with epoch, train_loss (without any supervision of gates),
        learning_rate (of the last step), score, {clean,corrupted}_{valence,arousal} (validation CCC) and
        validation_ccc_{valence,arousal} (the mean of the two, which the score is made of); `supervision`, unweighted,
        where there is any. With `per_dimension` the columns of both runs, see `merged_histories`.

    Raises:
        InputError: no clips, none annotated, embeddings that do not fit the model, a clip without a cue that the model
            reads, a network per dimension of a model with more tasks, or a strategy that cannot be started from here.
    """
    run.config.require_trainable(run.fusion.tasks)
    model, history = train_pair(run) if run.config.per_dimension else train_network(run)
    return with_training_settings(model, run.config), history


def train_network(run: TrainingRun) -> tuple[TrainedModel, pd.DataFrame]:
    """Train one network to predict `run.config.targets`. Result and errors are those of `train`."""
    # Lightning's trainer, module and loaders refer to each other, and their arrays don't count for Python's collector:
    # without this a worker would keep the clips and the optimiser of every network that it has trained.
    gc.collect()
    _check_clips(run)
    fusion, config = run.fusion, run.config
    normalisation = Normalisation.fit(embeddings_of(run.train_clips), fusion.cues)
    spec = WindowSpec(config.length, normalisation, fusion.cues, config.targets)
    with silenced_lightning(), restored_torch_settings(config.threads, config.tf32):
        module = FusionTraining(fusion, config, run.fingerprint, _task_weights(run))
        start = _start(module, run, spec) if fusion.reads else Start()
        loaders = validation_loaders(run.validation_clips, config, spec, start.whole)
        if not fusion.has_network:
            scores = validation_row(module.model, loaders, config.targets, torch_device(config))
            only = {"epoch": 0.0, **scores, "train_loss": start.loss, "learning_rate": 0.0}
            weights, metadata = module.model.cpu().state_dict(), _metadata(run, only)
            return TrainedModel(fusion, weights, normalisation, metadata, config.targets), history_table([only])
        trainer, resumed = _trainer(run), resumable_checkpoint(run.checkpoints, run.fingerprint)
        epochs = len(read_checkpoint(resumed)["history"]) if resumed else 0
        windows = training_loader(run.train_clips, config, spec, start.of_clip, first_epoch=epochs)
        try:
            trainer.fit(module, windows, loaders, ckpt_path=resumed, weights_only=True)
        except SystemExit as ended:  # so Lightning ends the process after an interrupt
            raise KeyboardInterrupt from ended
        trainer.strategy.barrier()
        best, history = read_checkpoint(run.checkpoints / BEST), read_checkpoint(run.checkpoints / LAST)["history"]
        trainer.strategy.barrier()
    if trainer.is_global_zero:
        remove_checkpoints(run.checkpoints)
    weights = {name.removeprefix("model."): tensor for name, tensor in best["state_dict"].items()}
    chosen, facts = best["history"][-1], {}
    if fusion.reads:
        with restored_torch_settings(config.threads, config.tf32):
            weights, scores = held_back(fusion, weights, loaders, config.targets, run.subjects, torch_device(config))
        chosen = {**chosen, **scores, "score": _score({**chosen, **scores}, config)}
        facts = {"correction": ", ".join(f"{s:.2f}" for s in weights[SHARE].tolist())}
    metadata = {**_metadata(run, chosen), **facts}
    model = TrainedModel(fusion, weights, normalisation, metadata, config.targets)
    return _with_thresholds(model, run), history_table(history)


def _score(row: dict[str, float], config: TrainingConfig) -> float:
    """What an epoch is chosen by, from its scores."""
    return row["score"] if config.selected_by == "valence_arousal" else score_of_all(row)


def _task_weights(run: TrainingRun) -> dict[str, Tensor]:
    """The weights of classes and active units, by the train partition; none unless they are asked for."""
    if not run.fusion.tasks or run.config.loss.class_weights == "none":
        return {}
    return balanced_weights([clip.tasks for clip in run.train_clips.values() if clip.tasks is not None])


def _with_thresholds(model: TrainedModel, run: TrainingRun) -> TrainedModel:
    """The model with the thresholds of its action units that are best on the validation clips."""
    if "action_units" not in model.config.tasks:
        return model
    built, known = BuiltModel.of(model, torch_device(run.config)), run.validation_clips.values()
    probabilities = [predict_clip(built, clip.embedding).tasks["action_units"] for clip in known]
    gold = [np.where(clip.embedding.observed[:, None], clip.tasks[:, 1:], np.nan) for clip in known]  # type: ignore[index]  # see `_check_tasks`
    chosen = unit_thresholds(np.concatenate(probabilities), np.concatenate(gold))
    return replace(model, weights={**model.weights, THRESHOLDS: torch.from_numpy(chosen)})


class Start(NamedTuple):
    """What a model with readings starts from.

    Attributes:
        of_clip: of each train clip, readers that have not seen its subject.
        whole: of each validation clip, those of the model.
        loss: 1 - CCC of the readings alone, out of fold.
    """

    of_clip: Mapping[str, Readings] = MappingProxyType({})
    whole: Mapping[str, Readings] = MappingProxyType({})
    loss: float = math.nan


def _start(module: FusionTraining, run: TrainingRun, spec: WindowSpec) -> Start:
    """Fit the readings of the model, and put them into it."""
    fusion, own = module.model.config, module.model.readings
    assert own is not None
    fitted = fit_fusion_readings(fusion, run.train_clips, run.subjects, spec.normalisation, spec.targets)
    own.load_state_dict(fitted.whole, strict=False)
    readers: dict[int, Readings] = {}  # one for all clips of a fold
    for buffers in fitted.of_clip.values():
        if id(buffers) not in readers:
            readers[id(buffers)] = Readings(fusion)
            readers[id(buffers)].load_state_dict(buffers, strict=False)
    of_clip = {name: readers[id(buffers)] for name, buffers in fitted.of_clip.items()}
    whole = copy.deepcopy(own)  # the one in the network moves to the device of the run
    loss = 1.0 - float(np.mean([fitted.ccc[TARGETS.index(target)] for target in spec.targets]))
    return Start(of_clip, dict.fromkeys(run.validation_clips, whole), loss)


def _check_clips(run: TrainingRun) -> None:
    fusion, config = run.fusion, run.config
    if fusion.length not in (None, config.length):
        raise InputError(
            f"the model takes length={fusion.length} steps, but training windows have length={config.length}",
            remedy="set `training.length` to the model's length",
        )
    columns = [TARGETS.index(target) for target in config.targets]
    for partition, clips in (("train", run.train_clips), ("validation", run.validation_clips)):
        for name, clip in clips.items():
            dims, cues = clip.embedding.dims, clip.embedding.quality_names
            if dims != fusion.dims:
                raise InputError(
                    f"clip {name} has embeddings of width {dims}, but the model takes {fusion.dims}",
                    remedy="embed all clips with the same encoders",
                )
            if missing := sorted(set(fusion.cues) - set(cues)):
                raise InputError(
                    f"the model reads the quality cue {missing[0]}, but clip {name} has {list(cues)}",
                    remedy="run the embedding pipeline again, or leave that cue out of the model's `cues`",
                )
        if not any(np.isfinite(clip.labels[:, columns]).all(axis=1).any() for clip in clips.values()):
            raise InputError(
                f"no step of the {partition} partition is annotated ({counted(len(clips), 'clip')})",
                remedy="check the annotation files and the partition of the corpus",
            )
        _check_tasks(run, partition, clips)


def _check_tasks(run: TrainingRun, partition: str, clips: Clips) -> None:
    columns = {"expression": slice(0, 1), "action_units": slice(1, None)}
    for task in run.fusion.tasks:
        known = (clip.tasks[:, columns[task]] for clip in clips.values() if clip.tasks is not None)
        if not any(np.isfinite(rows).any() for rows in known):
            raise InputError(
                f"no step of the {partition} partition is annotated with {task}",
                remedy="add the challenge's annotation of it to the corpus, or leave the task out of fusion.tasks",
            )


def _trainer(run: TrainingRun) -> lightning.Trainer:
    config = run.config
    stop = ResumableEarlyStopping(monitor="score", mode="max", patience=config.patience, check_on_train_epoch_end=True)
    return lightning.Trainer(
        **placement(config),
        strategy=strategy_of(config),
        num_nodes=config.num_nodes,
        precision=config.precision,
        max_epochs=config.epochs,
        gradient_clip_val=config.gradient_clip,
        plugins=[AtomicCheckpointIO(), *cluster_environment(config)],
        callbacks=[
            stop,
            EpochBar(config) if run.progress else EpochLines(run.checkpoints.name),
            *_trackers(run),
            *checkpoint_callbacks(run.checkpoints),
        ],
        deterministic=True,
        use_distributed_sampler=False,  # `EpochSampler` divides the windows among the processes
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _trackers(run: TrainingRun) -> list[lightning.Callback]:
    if run.tracking is None:
        return []
    known = {"fusion": run.fusion.model_dump(mode="json"), "training": run.config.model_dump(mode="json")}
    opened = partial(run.tracking.store, run.checkpoints, run.fingerprint)
    return [EpochTracker(opened, dict(flat(known)))]


def _metadata(run: TrainingRun, best: Mapping[str, float]) -> dict[str, str]:
    """The origin of the model: what the metadata of all clips agree on, the run, and the scores of the best epoch."""
    common = set.intersection(*(set(clip.embedding.metadata.items()) for clip in run.train_clips.values()))
    origin = {
        "seed": str(run.config.seed),
        "epoch": f"{best['epoch']:.0f}",
        "data_fingerprint": run.data,
        "clips": str(len(run.train_clips)),
    }
    scores = {
        f"validation_{name}": f"{value:.6f}"
        for name, value in best.items()
        if name == "score" or name.startswith(("clean_", "corrupted_"))
    }
    return {**dict(sorted(common)), **origin, **scores}


class FusionTraining(lightning.LightningModule):
    """Trains a `FusionModel` on windows; scores it by pooled CCC on clean and on corrupted validation windows.

    Random generators are seeded at the start of each epoch, and the learning rate follows from the step and the
    history. So an epoch is the same whether or not the run was interrupted before it.
    """

    def __init__(
        self,
        fusion: FusionConfig,
        config: TrainingConfig,
        fingerprint: str,
        weights: Mapping[str, Tensor] = MappingProxyType({}),
    ):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.task_weights = dict(weights)  # of classes and active units
        self.columns = [TARGETS.index(target) for target in config.targets]
        self.supervised = fusion.learns_reliability and config.supervision > 0
        torch.manual_seed(torch_seed(config.seed, Stream.WEIGHTS))
        self.model = FusionModel(fusion)
        self.history: list[dict[str, float]] = []
        self.losses: dict[str, list[Tensor]] = {}  # of the epoch
        self.scored: Scored = {}
        self.tasks: Tasks = {}

    def setup(self, stage: str) -> None:
        if self.config.threads is not None:  # processes of `ddp_spawn` do not inherit these settings
            torch.set_num_threads(self.config.threads)
        set_tf32(self.config.tf32)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        config = self.config
        return torch.optim.AdamW(self.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)

    def forward(self, batch: Batch) -> FusionOutput:
        output: FusionOutput = self.model(*model_arguments(batch, reads_cues=bool(self.model.config.cues)))
        return output

    def on_train_epoch_start(self) -> None:
        torch.manual_seed(torch_seed(self.config.seed, Stream.DROPOUT, self.current_epoch))
        self.losses = {}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        rate = learning_rate(self.config, self.global_step, steps, [row["score"] for row in self.history])
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = rate

    def training_step(self, batch: Batch, index: int) -> Tensor:
        output = self(batch)
        loss = training_loss(*self._targets(output, batch), batch["valid"], self.config.loss)
        losses = {"train_loss": loss}
        if self.supervised:
            supervision = gate_supervision(output.gates, batch["corrupted"], batch["present"], batch["padding"])
            losses["supervision"] = supervision
            loss = loss + self.config.supervision * supervision
        if output.alone and self.config.supervision > 0:
            kept = [*self.columns, -1]  # of the dimensions that are learned, and the log variance
            alone = {m: x[..., kept] for m, x in output.alone.items()}
            gold = batch["labels"][..., self.columns]
            losses["supervision"] = latent_loss(alone, gold, batch["valid"], batch["present"], self.config.loss)
            loss = loss + self.config.supervision * losses["supervision"]
        if output.tasks:
            weights = {task: weight.to(loss.device) for task, weight in self.task_weights.items()}
            of_tasks = task_losses(output.tasks, batch["tasks"], weights)
            losses |= {f"{task}_loss": value for task, value in of_tasks.items()}
            loss = loss + sum(getattr(self.config.loss, task) * value for task, value in of_tasks.items())
        for name, value in losses.items():
            self.losses.setdefault(name, []).append(value.detach())
        return loss

    def on_validation_epoch_start(self) -> None:
        self.scored, self.tasks = {condition: [] for condition in CONDITIONS}, {}

    def validation_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> None:
        output = self(batch)
        prediction, gold = self._targets(output, batch)
        self.scored[CONDITIONS[dataloader_idx]].append((prediction.double(), gold.double(), batch["valid"]))
        if output.tasks:
            self.tasks.setdefault(CONDITIONS[dataloader_idx], []).append((output.tasks, batch["tasks"]))

    def on_validation_epoch_end(self) -> None:
        row = {
            "epoch": float(self.current_epoch),
            **score_row(self.scored, self.config.targets),
            **task_row(self.tasks),
        }
        row["score"] = _score(row, self.config)
        self.log("score", row["score"])
        self.history.append(row)

    def on_train_epoch_end(self) -> None:
        rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        means = {name: torch.stack(values).mean() for name, values in self.losses.items()}
        over_devices = {name: self.trainer.strategy.reduce(mean, reduce_op="mean") for name, mean in means.items()}
        self.history[-1] |= {name: mean.item() for name, mean in over_devices.items()} | {"learning_rate": rate}
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]  # always a list
            if isinstance(callback, EpochTracker):
                callback.record(self.history[-1])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {"fingerprint": self.fingerprint, "history": self.history}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]

    def _targets(self, output: FusionOutput, batch: Batch) -> tuple[Tensor, Tensor]:
        """Prediction and gold of the dimensions that are learned, (b, t, k) each."""
        return output.prediction[..., self.columns], batch["labels"][..., self.columns]


# --- one network per dimension ---


def train_pair(run: TrainingRun) -> tuple[TrainedModel, pd.DataFrame]:
    """Train one network per dimension on the same windows, and join them into one model.

    A finished network is kept in `run.checkpoints` until the pair is complete, so an interrupted pair does not train it
    twice. Result and errors are those of `train`.
    """
    models: dict[str, TrainedModel] = {}
    histories: dict[str, pd.DataFrame] = {}
    for target in TARGETS:
        alone = run.config.model_copy(update={"targets": (target,), "per_dimension": False})
        part = replace(run, config=alone, checkpoints=run.checkpoints / target)
        models[target], histories[target] = _train_once(train_network, part, run.checkpoints, target)
    remove_finished(run.checkpoints, TARGETS)
    return _joined(models), merged_histories(histories)


def _joined(models: Mapping[str, TrainedModel]) -> TrainedModel:
    """One model of two networks. An entry on which their metadata differ gets the dimension as suffix of its name."""
    first, second = (models[target] for target in TARGETS)
    metadata = {name: text for name, text in first.metadata.items() if second.metadata.get(name) == text}
    in_both = first.metadata.keys() & second.metadata.keys()
    for target, model in ((target, models[target]) for target in TARGETS):
        for name in model.metadata.keys() - metadata.keys():
            metadata[f"{name}_{target}" if name in in_both else name] = model.metadata[name]
    weights = {f"{t}.{name}": tensor for t in TARGETS for name, tensor in models[t].weights.items()}
    return TrainedModel(first.config, weights, first.normalisation, metadata, TARGETS, per_dimension=True)
