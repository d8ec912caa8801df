"""Untrained models in files and made-up score rows: the parts of a benchmark without hours of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from benchmark_clips import AUDIO_DIM, VISUAL_DIM, annotated

from iaca.encoders.cues import NAMES
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding, write_embedding
from iaca.evaluation.benchmark_scores import clip_sums, statistics
from iaca.evaluation.metrics import SCORES, pooled_ccc
from iaca.fusion.config import preset
from iaca.fusion.model import FusionModel
from iaca.training.model_file import TrainedModel, save_model
from iaca.training.sample import Normalisation


def write_clips(clips: dict[str, AnnotatedClip], folder: Path) -> tuple[Path, ...]:
    """Embeddings, then timelines, in the order of `score_file`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, clip in clips.items():
        write_embedding(clip.embedding, folder / f"{name}.safetensors")
        pd.DataFrame(clip.labels, columns=["valence", "arousal"]).to_parquet(folder / f"{name}.parquet")
    return tuple(folder / f"{name}{suffix}" for suffix in (".safetensors", ".parquet") for name in sorted(clips))


def untrained(name: str, clips: dict[str, ClipEmbedding], seed: int = 0) -> TrainedModel:
    """A model with random weights large enough that its predictions and gates vary."""
    config = preset(name, AUDIO_DIM, VISUAL_DIM, cues=NAMES, width=8, temporal_layers=1, heads=2)
    torch.manual_seed(seed)
    model = FusionModel(config)
    weights = {k: torch.randn_like(v) * 0.3 if v.is_floating_point() else v for k, v in model.state_dict().items()}
    return TrainedModel(config, weights, Normalisation.fit(clips, config.cues), {})


def save(model: TrainedModel, path: Path) -> Path:
    save_model(model, path)
    return path


def certainty(skill: float, seed: int) -> dict[str, list[dict[str, object]]]:
    """Intervals in both dimensions, and inconsistency in an event of the voice that has steps with a value."""
    width = {"coverage": 0.9 + 0.01 * seed, "width": 1 - skill, "width_error_correlation": None, "frames": 400}
    score = {"auroc": 0.6 + 0.01 * seed, "gate_auroc": 0.5, "event_frames": 10, "clean_frames": 300}
    score |= {"modality": "audio", "kind": "noisy", "unknown_event": 3, "unknown_clean": 0}
    return {"coverage": [{"dimension": name, **width} for name in ("valence", "arousal")], "inconsistency": [score]}


CONDITIONS = [("clean", 0.0), ("conflict", 0.0), ("conflict", 0.5), ("conflict", 0.9), ("time_shift", -1.0),
              ("time_shift", 0.0), ("time_shift", 2.0)]  # fmt: skip


def made_up(skill: float, seed: int, clips: int = 4) -> list[dict[str, object]]:
    """Score rows of a model that gets worse with less skill and with a higher level."""
    rows = []
    for i, (corruption, level) in enumerate(CONDITIONS):
        clean = [c for c in (("clean", 0.0), ("conflict", 0.0), ("time_shift", 0.0)) if c == (corruption, level)]
        rng = np.random.default_rng([seed, int(1000 * skill), 0 if clean else i])
        sums = []
        for number in range(clips):
            one = annotated(number, 120, observed=1.0)
            gold = np.nan_to_num(one.labels)
            noise = rng.standard_normal(gold.shape) * (1 - skill) * (1 + abs(level))
            sums += clip_sums(f"clip{number}", one, (0.6 * gold + 0.3 * noise).astype(np.float32))
        pooled = pooled_ccc(statistics(sums), np.ones((1, clips), np.int64))[0]
        scores = dict(zip(SCORES, map(float, pooled), strict=True))
        gate = {"gate": "modalities", "modality": "audio", "kind": corruption, "weight_event": 0.3, "weight_clean": 0.5}
        gate |= {"auroc": 0.5 + 0.4 * skill + 0.01 * seed, "event_frames": 100, "clean_frames": 300}
        gates = [gate | {"kind": "silent"}] if corruption == "clean" else [gate] if level else []
        certain = certainty(skill, seed) if corruption == "clean" else {"coverage": None, "inconsistency": None}
        rows.append({"corruption": corruption, "level": level, **scores, "clips": sums, "gates": gates, **certain})
    return rows
