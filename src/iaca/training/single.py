"""One run: one network, trained on the embeddings of clips until it gets no better."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import lightning
import numpy as np
import pandas as pd

from iaca.encoders.embedding import embeddings_of
from iaca.errors import InputError
from iaca.fusion.config import FusionConfig
from iaca.training import checkpoints as store
from iaca.training.config import TARGETS, TrainingConfig
from iaca.training.history import history_table
from iaca.training.launch import strategy_of
from iaca.training.loaders import training_loader, validation_loaders
from iaca.training.model_file import TrainedModel
from iaca.training.module import FusionTraining
from iaca.training.normalisation import Normalisation
from iaca.training.patience import ResumableEarlyStopping
from iaca.training.progress import EpochBar
from iaca.training.quiet import restored_torch_settings, silenced_lightning
from iaca.training.sample import WindowSpec
from iaca.training.windows import Clips


def train_single(
    fusion: FusionConfig,
    config: TrainingConfig,
    train_clips: Clips,
    validation_clips: Clips,
    checkpoints: Path,
    progress: bool = False,
) -> tuple[TrainedModel, pd.DataFrame]:
    """`train` for one network, of `config.targets`."""
    _check(fusion, config, {"train": train_clips, "validation": validation_clips})
    data = store.data_fingerprint(train_clips)
    fingerprint = store.run_fingerprint(fusion, config, data, store.data_fingerprint(validation_clips))
    normalisation = Normalisation.fit(embeddings_of(train_clips), fusion.cues)
    spec = WindowSpec(config.length, normalisation, fusion.cues, config.targets)
    with silenced_lightning(), restored_torch_settings(config.threads):
        module = FusionTraining(fusion, config, fingerprint)
        trainer = _trainer(config, checkpoints, progress)
        trainer.fit(
            module,
            training_loader(train_clips, config, spec),
            validation_loaders(validation_clips, config, spec),
            ckpt_path=store.resumable(checkpoints, fingerprint),
            weights_only=True,
        )
        trainer.strategy.barrier()
        best, history = store.read(checkpoints / store.BEST), store.read(checkpoints / store.LAST)["history"]
        trainer.strategy.barrier()
    if trainer.is_global_zero:
        store.clear(checkpoints)
    weights = {name.removeprefix("model."): tensor for name, tensor in best["state_dict"].items()}
    metadata = _metadata(config, train_clips, data, best["history"][-1])
    return TrainedModel(fusion, weights, normalisation, metadata, config.targets), history_table(history)


def _trainer(config: TrainingConfig, checkpoints: Path, progress: bool) -> lightning.Trainer:
    stop = ResumableEarlyStopping(monitor="score", mode="max", patience=config.patience, check_on_train_epoch_end=True)
    return lightning.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        strategy=strategy_of(config),
        num_nodes=config.num_nodes,
        precision=config.precision,
        max_epochs=config.epochs,
        gradient_clip_val=config.gradient_clip,
        plugins=[store.AtomicCheckpointIO()],
        callbacks=[stop, *([EpochBar(config)] if progress else []), *store.checkpoint_callbacks(checkpoints)],
        deterministic=True,
        use_distributed_sampler=False,  # `EpochSampler` shares the windows itself
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _check(fusion: FusionConfig, config: TrainingConfig, partitions: Mapping[str, Clips]) -> None:
    if fusion.length not in (None, config.length):
        raise InputError(
            f"the model takes length={fusion.length} steps, but training windows have length={config.length}"
        )
    columns = [TARGETS.index(target) for target in config.targets]
    for partition, clips in partitions.items():
        for name, clip in clips.items():
            dims, cues = clip.embedding.dims, clip.embedding.quality_names
            if dims != fusion.dims:
                raise InputError(f"clip {name} has embeddings of width {dims}, but the model takes {fusion.dims}")
            if lacking := sorted(set(fusion.cues) - set(cues)):
                raise InputError(
                    f"the model reads the quality cue {lacking[0]}, but clip {name} has {list(cues)}",
                    remedy="run the embedding pipeline again, or leave that cue out of the model's `cues`",
                )
        if not any(np.isfinite(clip.labels[:, columns]).all(axis=1).any() for clip in clips.values()):
            raise InputError(
                f"no step of the {partition} partition is annotated ({len(clips)} clips)",
                remedy="check the annotation files and the partition of the corpus",
            )


def _metadata(config: TrainingConfig, clips: Clips, data: str, best: Mapping[str, float]) -> dict[str, str]:
    """The origin that the model file states; of the clips' own metadata, what they all agree on."""
    common = [set(clip.embedding.metadata.items()) for clip in clips.values()]
    scores = {
        f"validation_{name}": f"{value:.6f}"
        for name, value in best.items()
        if name == "score" or name.startswith(("clean_", "corrupted_"))
    }
    run = {
        "seed": str(config.seed),
        "epoch": f"{best['epoch']:.0f}",
        "data_fingerprint": data,
        "clips": str(len(clips)),
    }
    return {**dict(sorted(set.intersection(*common))), **run, **scores}
