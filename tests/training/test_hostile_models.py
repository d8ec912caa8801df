"""Model files and checkpoints from anyone: nothing in them is executed, and none takes more memory than its content."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from iaca.encoders.checkpoint import load, read_tensors
from iaca.encoders.embedding import ClipEmbedding
from iaca.encoders.visual import load_mini_xception
from iaca.encoders.weights import locate
from iaca.errors import InputError
from iaca.fusion import FusionConfig, FusionModel
from iaca.inference import Predictor
from iaca.inference.config import NAMED, ZERO_SHOT
from iaca.inference.members import HEADER as ADAPTED
from iaca.inference.members import VERSION as ADAPTED_VERSION
from iaca.inference.members import WEIGHTS, load_member
from iaca.training.model_file import HEADER, TrainedModel, load_model, save_model
from iaca.training.predict import predict_clip
from iaca.training.sample import Normalisation

CONFIG = FusionConfig(audio_dim=3, visual_dim=4, width=8, heads=2)
CPU = torch.device("cpu")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    moments = (np.ones(dim, np.float32) for dim in (3, 3, 4, 4))
    file = tmp_path / "m.safetensors"
    save_model(TrainedModel(CONFIG, FusionModel(CONFIG).state_dict(), Normalisation(*moments), {}), file)
    return file


def parts(path: Path) -> tuple[dict, bytes]:
    """The outer header of a safetensors file, and what follows it."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def rewrite(path: Path, outer: bytes, body: bytes) -> None:
    path.write_bytes(struct.pack("<Q", len(outer)) + outer + body)


def rewrite_header(path: Path, **changes: object) -> None:
    """The same model, with another inner header."""
    outer, body = parts(path)
    inner = json.loads(outer["__metadata__"][HEADER]) | changes
    outer["__metadata__"][HEADER] = json.dumps(inner)
    rewrite(path, json.dumps(outer).encode(), body)


class Harmful:
    """Unpickled, it leaves a file behind."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


def test_no_pickle_is_executed_under_any_file_name(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    harmful = {"a": torch.zeros(2), "b": Harmful(mark)}
    for name, old in (("zip", False), ("old", True)):
        torch.save(harmful, tmp_path / f"{name}.pt", _use_new_zipfile_serialization=not old)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Harmful(mark)))
    for source in ("zip", "old", "plain"):
        content = (tmp_path / f"{source}.pt").read_bytes()
        for suffix in ("pt", "safetensors", "json", "hdf5"):
            file = tmp_path / f"model.{suffix}"
            file.write_bytes(content)
            for read in (read_tensors, load_mini_xception, lambda path: load_member(path, CPU), load_model):
                with pytest.raises(InputError, match="Remedy: "):
                    read(file)
    assert not mark.exists()
    pickle.loads((tmp_path / "plain.pt").read_bytes())
    assert mark.exists()  # it would have been, had anything unpickled it


def test_tensors_that_overlap_repeat_or_claim_too_much_are_refused(path: Path) -> None:
    outer, body = parts(path)
    first, second = [name for name in sorted(outer) if name != "__metadata__"][:2]
    changed = [
        {first: {**outer[first], "data_offsets": outer[second]["data_offsets"]}},
        {first: {**outer[first], "shape": [2**62, 4]}},
        {first: {**outer[first], "shape": [10**9]}},
        *({first: {**outer[first], "dtype": dtype}} for dtype in ("F64", "BF16", "I8", "BOOL", "OBJECT")),
    ]
    for changes in changed:
        rewrite(path, json.dumps(outer | changes).encode(), body)
        with pytest.raises(InputError, match="not a complete safetensors file"):
            load_model(path)
    for outer_text in (b"[" * 10**6, b'{"a":' * 10**5, b"{}", b"\xff" * 100):
        rewrite(path, outer_text, body)
        with pytest.raises(InputError, match="Remedy: "):
            load_member(path, CPU)
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    with pytest.raises(InputError, match="not a complete safetensors file"):
        load_member(path, CPU)


CONFIGS = [
    {"width": 10**6}, {"width": 10**400}, {"temporal_layers": 10**5}, {"width": "9" * 5000}, {"nope": 1},
    {"attention": "os.system"}, {"attention": "x" * 10**6}, {"modalities": ["audio"] * 10**5}, {"temperature": 1e999},
    {"gate": {"type": "builtins.eval"}}, {f"k{i}": i for i in range(10_000)},
    {"width": 4096, "audio_dim": 65536, "visual_dim": 65536, "temporal_layers": 16, "kernel": 129},
    {"attention": "jca_fixed", "length": 8192, "layers": 16, "width": 4096},
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("changes", CONFIGS, ids=lambda changes: str(changes)[:40])
def test_a_configuration_of_anything_costs_nothing_and_is_told_in_short(changes: dict, path: Path) -> None:
    outer, _ = parts(path)
    rewrite_header(path, config=json.loads(outer["__metadata__"][HEADER])["config"] | changes)
    with pytest.raises(InputError, match=r"configuration|tensor") as refusal:
        load_model(path)
    assert len(str(refusal.value)) < 2500


@pytest.mark.parametrize(
    "changes",
    [{"version": "x" * 10**6}, {"version": True}, {"version": [3]}, {"targets": "x" * 10**6},
     {"per_dimension": "x" * 10**6}, {"metadata": {"caveat": "\ud800"}}, {"metadata": {"caveat": ["x"]}}],
    ids=lambda changes: str(changes)[:30],
)  # fmt: skip
def test_what_a_header_says_is_checked_and_told_in_short(changes: dict, path: Path) -> None:
    rewrite_header(path, **changes)
    with pytest.raises(InputError, match="Remedy: ") as refusal:
        load_model(path)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize(
    "choice",
    ["[" * 10**5, "{", "1e999", '"os.system"', '[{"name": "resnet18", "weights": "../../x"}]', "null", '{"name": {}}',
     '[{"name": "resnet18", "weights": "/dev/zero"}]', '[{"name": "resnet18", "changes": {"size": 1000000000}}]',
     '[{"name": "mini_xception", "weights": "' + "a" * 5000 + '"}]', '[{"name": "resnet18", "weights": "\\u0000"}]'],
    ids=lambda choice: choice[:40],
)  # fmt: skip
def test_encoders_that_a_model_file_names_are_those_of_the_registry(choice: str, path: Path) -> None:
    rewrite_header(path, metadata={"visual_choice": choice, "audio_choice": '"prosody"'})
    with pytest.raises(InputError, match="Remedy: ") as refusal:
        Predictor.load(path)
    assert len(str(refusal.value)) < 1000


def test_answers_that_are_not_finite_are_no_predictions(path: Path) -> None:
    tensors = {
        name: torch.full_like(t, 3e38) if name.startswith("model.") else t for name, t in load_file(path).items()
    }
    outer, _ = parts(path)
    save_file(tensors, path, metadata=outer["__metadata__"])
    there = np.ones(20, np.bool_)
    streams = (np.ones((20, dim), np.float32) for dim in (3, 4))
    rest = np.arange(20) / 25, np.zeros((20, 0), np.float32)
    with pytest.raises(InputError, match="predictions are not finite"):
        predict_clip(load_model(path), ClipEmbedding(*streams, there, there, *rest))
    tensors = load_file(path) | {"normalisation.audio_std": torch.zeros(3)}
    save_file(tensors, path, metadata=outer["__metadata__"])
    with pytest.raises(InputError, match="deviations that are not above 0"):
        load_model(path)


@pytest.mark.parametrize(
    "header",
    ["[]", "3", "{}", "[" * 10**5, json.dumps({"version": "x" * 10**6}), json.dumps({"version": ADAPTED_VERSION}),
     json.dumps({"version": ADAPTED_VERSION, "zero_shot": {f"k{i}": 1 for i in range(10_000)}, "facts": {}}),
     json.dumps({"version": ADAPTED_VERSION, "zero_shot": {}, "facts": {"caveat": "\ud800"}})],
    ids=lambda header: header[:30],
)  # fmt: skip
def test_adapted_models_are_checked_alike(header: str, tmp_path: Path) -> None:
    for dtype in (torch.float64, torch.bfloat16):
        save_file({WEIGHTS: torch.zeros(2, dtype=dtype)}, tmp_path / "a.safetensors", metadata={ADAPTED: header})
        with pytest.raises(InputError, match="Remedy: ") as refusal:
            load_member(tmp_path / "a.safetensors", CPU)
        assert len(str(refusal.value)) < 2500


@pytest.mark.parametrize("changes", [{"prior_s": 1e999}, {"smoothing_s": float("nan")}, {"sources": {"a": "\ud800"}},
                                     {"face": {"trust": {"a": {"none": float("nan"), "full": 1}}}}])  # fmt: skip
def test_rules_are_finite_numbers_and_texts(changes: dict, tmp_path: Path) -> None:
    rules = json.loads(NAMED[ZERO_SHOT].read_text())
    changes = {name: rules[name] | value if isinstance(value, dict) else value for name, value in changes.items()}
    (tmp_path / "rules.json").write_text(json.dumps(rules | changes))
    with pytest.raises(InputError, match="Remedy: "):
        load_member(tmp_path / "rules.json", CPU)


@pytest.mark.parametrize("text", ["9" * 5000, '{"version": ' + "9" * 5000 + "}", "[" * 10**5, "\ud800"])
def test_json_of_anything_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match="not a JSON file of rules"):
        load_member(tmp_path / "rules.json", CPU)


def test_a_checkpoint_that_unpacks_to_gigabytes_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iaca.files.ALWAYS_ALLOWED", 2**22)
    torch.save({"a": torch.zeros(10)}, tmp_path / "small.pt")
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(tmp_path / "small.pt") as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in source.namelist():
            packed.writestr(entry, bytes(10_000_000) if "data/" in entry else source.read(entry))
    assert bomb.stat().st_size < 10**5
    with pytest.raises(InputError, match="MB in memory: probably damaged"):
        read_tensors(bomb)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_checkpoint_with_values_that_are_no_numbers_is_refused(value: float, tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 1)
    save_file({"weight": torch.tensor([[1.0, value]]), "bias": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="weight holds values that are not finite"):
        load(network, tmp_path / "w.safetensors")


@pytest.mark.parametrize("kind", ["huge", "external", "shape", "nan", "torn"])
def test_hdf5_that_asks_for_more_or_for_other_files_is_refused(kind: str, tmp_path: Path) -> None:
    path, secret = tmp_path / "w.hdf5", tmp_path / "secret"
    shutil.copy(locate("mini_xception"), path)
    secret.write_bytes(bytes(10_000))
    with h5py.File(path, "r+") as file:
        layer = file["model_weights/conv2d_1"]
        name = next(name for name in layer.attrs["weight_names"].astype(str) if name.endswith("/kernel:0"))
        shape = layer[name].shape
        del layer[name]
        if kind == "huge":
            layer.create_dataset(name, shape=(200_000, 200_000), dtype="f4", chunks=(1000, 1000))
        elif kind == "external":
            layer.create_dataset(name, shape=shape, dtype="f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        elif kind != "torn":
            layer[name] = np.full(shape if kind == "nan" else shape[::-1], np.nan, np.float32)
    with pytest.raises(InputError, match="not the weights of mini-XCEPTION"):
        load_mini_xception(path)
