"""Fuzz targets: readers of foreign files. Each writes bytes to a file and reads it; only `InputError` may be raised.

`tests/test_fuzz_targets.py` runs each of them on arbitrary bytes, and on inputs that once broke a reader.
"""

from __future__ import annotations

import io
import json
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from iaca.corpora.index import SUBJECT_FILE, Problem, read_partitions, read_subjects
from iaca.corpora.recordings import partition_table
from iaca.encoders.checkpoint import read_tensors
from iaca.encoders.config import EmbeddingConfig, config_of
from iaca.encoders.embedding import read_embedding
from iaca.engine.results import Manifest, check_result, read_failures
from iaca.errors import InputError, printable
from iaca.formats.labels import inspect_labels, parse_annotation, read_event_table
from iaca.formats.predictions import check_submission, parse_predictions
from iaca.formats.tables import read_rows, read_table
from iaca.fusion.config import FusionConfig
from iaca.inference import zero_shot
from iaca.inference.members import FIRST, WEIGHTS, load_member
from iaca.inference.members import HEADER as ADAPTED
from iaca.parameters import MODALITIES
from iaca.training.model_file import HEADER, TrainedModel, network, save_model
from iaca.training.sample import Normalisation

LONGEST_MESSAGE = 5000
CORRECTION = np.zeros((FIRST + 2 + sum(EmbeddingConfig().dim(modality) for modality in MODALITIES), 2))
RULES = json.loads((Path(zero_shot.__file__).parent / "zero_shot.json").read_text())
Target = Callable[[bytes, Path], object]


def _labels(content: bytes, folder: Path) -> None:
    """Annotations of Aff-Wild2 and of a folder of videos. All labels must be in [-1, 1] or NaN."""
    values, faults = parse_annotation(_file(folder, "labels.txt", content))
    assert values.shape[1] == 2
    assert not (abs(values) > 1).any()
    assert all(fault.row is not None for fault in faults)
    inspect_labels(_file(folder, "labels.csv", content))


def _manifest(content: bytes, folder: Path) -> None:
    """Tables of partitions, subjects, events, and partitions of other corpora."""
    problems: list[Problem] = []
    path = _file(folder, SUBJECT_FILE, content)
    for read in (lambda: read_partitions(path, problems), lambda: read_subjects(folder),
                 lambda: read_event_table(path), lambda: partition_table(path)):  # fmt: skip
        _refusing(read)


def _journal(content: bytes, folder: Path) -> None:
    """A folder of results: its journal, its table of failures, and a clip's embedding."""
    journal = _file(folder, ".manifest.jsonl", content)
    manifest = Manifest(folder)
    for entry in manifest.items.values():
        entry.damage(folder)
    _refusing(lambda: check_result(_file(folder, "a.parquet", b"")))
    manifest.compact()
    compacted = Manifest(folder)
    assert compacted.items == manifest.items
    assert compacted.unreadable == 0
    journal.unlink()
    _file(folder, "failures.csv", content)
    _refusing(lambda: read_failures(folder))
    metadata = {"iaca_embedding": content.decode("utf-8", "replace")}
    embedding = _file(folder, "embedding.safetensors", save({"times": np.zeros(1)}, metadata))
    _refusing(lambda: read_embedding(embedding))


def _features(content: bytes, folder: Path) -> None:
    """Time series of features, in each of their formats."""
    for suffix in ("csv", "parquet", "safetensors"):
        path = _file(folder, f"features.{suffix}", content)
        _refusing(lambda path=path: read_table(path))
    for suffix in ("csv", "arff"):
        path = _file(folder, f"rows.{suffix}", content)
        _refusing(lambda path=path: read_rows(path))


def _predictions(content: bytes, folder: Path) -> None:
    """Predictions of other programs, and submissions."""
    sample = _file(folder, "sample.txt", b"image_location,valence,arousal\nc/00001.jpg,-5,-5\n")
    for name in ("predictions.csv", "predictions.parquet"):
        path = _file(folder, name, content)
        _refusing(lambda path=path: parse_predictions(path))
    check_submission(_file(folder, "submission.txt", content), sample)


def _model(content: bytes, folder: Path) -> None:
    """The JSON header of a trained and of an adapted model, rules of a zero-shot model, and encoder choices."""
    text = content.decode("utf-8", "replace")
    for kind, tensors in ((HEADER, {}), (ADAPTED, {WEIGHTS: CORRECTION})):
        path = _file(folder, "model.safetensors", save(tensors, {kind: text}))
        _refusing(lambda path=path: load_member(path, torch.device("cpu")))
    rules = _file(folder, "rules.json", content)
    _refusing(lambda: load_member(rules, torch.device("cpu")))
    try:
        config_of({"visual_choice": text, "audio_encoder": "prosody"})
    except (ValueError, RecursionError):
        return


def _checkpoint(content: bytes, folder: Path) -> None:
    """Checkpoints of encoders: safetensors and torch files."""
    for suffix in ("safetensors", "pt"):
        path = _file(folder, f"checkpoint.{suffix}", content)
        _refusing(lambda path=path: read_tensors(path))
    member = _file(folder, "model.safetensors", content)
    _refusing(lambda: load_member(member, torch.device("cpu")))


def _file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _refusing(read: Callable[[], object]) -> None:
    """The message of an `InputError` must be printable and short, whatever the file."""
    message = ""
    try:
        read()
    except InputError as error:
        message = str(error)
    assert printable(message) == message
    assert len(message) < LONGEST_MESSAGE


TARGETS: dict[str, Target] = {
    "labels": _labels,
    "manifest": _manifest,
    "journal": _journal,
    "features": _features,
    "predictions": _predictions,
    "model": _model,
    "checkpoint": _checkpoint,
}


def run(target: str, content: bytes, folder: Path) -> None:
    """Run a target on one input. Any exception except `InputError` is a finding."""
    try:
        TARGETS[target](content, folder)
    except InputError:
        return


# Seeds: inputs from which mutation starts


def _small(**changes: object) -> FusionConfig:
    return FusionConfig.model_validate({"audio_dim": 3, "visual_dim": 4, "width": 8} | changes)


def _header(**parts: object) -> bytes:
    return json.dumps({"version": 3, "metadata": {"a": "b"}} | parts).encode()


def _pickled(content: object) -> bytes:
    torch.save(content, file := io.BytesIO())
    return file.getvalue()


def _audio_model() -> bytes:
    """The smallest complete model: audio only."""
    config = FusionConfig(audio_dim=1, visual_dim=1, modalities=("audio",), width=4, temporal="none")
    moments = Normalisation(*(np.ones(1, np.float32) for _ in range(4)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(TrainedModel(config, network(config, per_dimension=False).state_dict(), moments, {}), path)
        return path.read_bytes()


SEEDS: dict[str, tuple[bytes, ...]] = {
    "labels": (b"valence,arousal\n0.1,-5\n-5,-5\n", b"time_s,valence,arousal\n0,0.1,\n0.5,nan,1\n",
               b"\xef\xbb\xbfframe;valence;arousal\r\n0;1e999;0\r\n"),
    "manifest": (b"clip,partition,subject\na,train,\"b\"\n", b"clip,modality,kind,start_s,end_s\na,audio,silent,0,1\n",
                 b"Id;Proposal\n1;devel\n"),
    "journal": (b'{"item": "a", "fingerprint": "00ff", "files": {"a.parquet": "' + 64 * b"e" + b'"}}\n',
                b'{"item": "a", "fingerprint": "00ff"}\n{"item": "../b", "fingerprint": "0", "files": {"/x": "ff"}}\n',
                b"item,reason\na,no sound\n", b'{"version": 3, "encoders": {"visual": "a"}}'),
    "features": (b"time_s,f0,f1\n0,1,2\n0.5,3,nan\n", b"name;time;f0\n'a';0.5;1\n'a';1;2\n",
                 b"@relation r\n@attribute name string\n@attribute time numeric\n@attribute f numeric\n@data\nx,1,2\n"),
    "predictions": (b"clip,frame,valence,arousal\na,0,0.5,-1\na,9000000,0,0\n",
                    b"image_location,valence,arousal\nc/00001.jpg,0,0\n"),
    "model": (_header(config=_small().model_dump(mode="json"), targets=["valence", "arousal"], per_dimension=False),
              _header(config=_small(modalities=["audio"]).model_dump(mode="json", exclude_defaults=True)),
              json.dumps({"version": 1, "zero_shot": RULES, "facts": {"a": "b"}}).encode(),
              json.dumps(RULES).encode(),
              b'[{"name": "resnet18", "weights": "x", "changes": {"size": 112}}]', b'{"version": 1, "prior_s": 1e999}'),
    "checkpoint": (struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}      ' + bytes(4),
                   b"\x80\x02}q\x00X\x01\x00\x00\x00aK\x01s.", _pickled({"state_dict": {"module.a": torch.zeros(1)}}),
                   _audio_model()),
}  # fmt: skip
