"""Model files: what was saved comes back; what is not a model file is refused by name."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from iaca.errors import InputError
from iaca.fusion import FusionConfig, FusionModel, preset
from iaca.training.model_file import (
    TrainedBaselines,
    TrainedModel,
    load_baselines,
    load_model,
    model_file,
    save_baselines,
    save_model,
    weights_digest,
)
from iaca.training.sample import Normalisation

CONFIG = FusionConfig(audio_dim=3, visual_dim=4, width=8, heads=2)


@pytest.fixture
def model() -> TrainedModel:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    moments = (rng.random(dim, dtype=np.float32) for dim in (3, 3, 4, 4))
    return TrainedModel(CONFIG, FusionModel(CONFIG).state_dict(), Normalisation(*moments), {"b": "2", "a": "ä\n1"})


@pytest.fixture
def path(model: TrainedModel, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "models" / "iaca.safetensors")
    return tmp_path / "models" / "iaca.safetensors"


def header_of(path: Path) -> dict:
    content = path.read_bytes()
    return json.loads(json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])["__metadata__"]["iaca_model"])


def rewrite(path: Path, header: object | None = None, **tensors: torch.Tensor | None) -> None:
    """The same file with another header, or with some tensors replaced, added, or (None) left out."""
    text = json.dumps(header_of(path) if header is None else header)
    whole = load_file(path) | tensors
    save_file({name: t for name, t in whole.items() if t is not None}, path, metadata={"iaca_model": text})


def test_what_was_saved_comes_back(model: TrainedModel, path: Path) -> None:
    loaded = load_model(path)
    assert (loaded.config, loaded.metadata) == (model.config, model.metadata)
    for name, values in vars(model.normalisation).items():
        np.testing.assert_array_equal(getattr(loaded.normalisation, name), values)
    inputs = torch.randn(1, 5, 3), torch.randn(1, 5, 4)
    assert torch.equal(loaded.build()(*inputs).prediction, model.build()(*inputs).prediction)


def test_baselines_come_back_with_the_digest_of_their_main_model(model: TrainedModel, tmp_path: Path) -> None:
    concat = preset("concat", 3, 4, width=8)
    other = replace(model, config=concat, weights=FusionModel(concat).state_dict(), metadata={"preset": "concat"})
    file = tmp_path / "baselines.safetensors"
    save_baselines(TrainedBaselines(weights_digest(model), {"a": model, "ab": other}), file)
    found = load_baselines(file)
    assert found.main == weights_digest(model)
    for name, saved in (("a", model), ("ab", other)):
        assert (found.models[name].config, found.models[name].metadata) == (saved.config, saved.metadata)
        assert weights_digest(found.models[name]) == weights_digest(saved)
    save_baselines(TrainedBaselines("", {}), file)
    assert load_baselines(file).models == {}


def test_a_digest_is_of_the_weights_and_of_nothing_else(model: TrainedModel) -> None:
    assert weights_digest(model) == weights_digest(replace(model, metadata={"seed": "7"}))
    changed = {name: tensor + (name == min(model.weights)) for name, tensor in model.weights.items()}
    assert weights_digest(model) != weights_digest(replace(model, weights=changed))


def test_a_model_is_no_file_of_baselines(path: Path) -> None:
    with pytest.raises(InputError, match="not a file of baselines"):
        load_baselines(path)


def test_files_of_version_1_still_predict_as_they_did(model: TrainedModel, path: Path) -> None:
    """Of models without gates; gated ones have learned more since, and are refused by name."""
    concat = preset("concat", 3, 4, width=8)
    model = replace(model, config=concat, weights=FusionModel(concat).state_dict())
    save_model(model, path)
    old = header_of(path) | {"version": 1}
    for name in ("cues", "input_norm", "context", "head", "repair"):  # what configurations did not have then
        old["config"].pop(name)
    head = {name: tensor for name, tensor in load_file(path).items() if "head.regressors" in name}
    renamed = {name.replace("regressors.0.", ""): tensor for name, tensor in head.items()}
    rewrite(path, {name: old[name] for name in ("version", "config", "metadata")}, **dict.fromkeys(head), **renamed)
    assert "model.head.0.weight" in load_file(path)
    inputs = torch.randn(1, 5, 3), torch.randn(1, 5, 4)
    assert torch.equal(load_model(path).build()(*inputs).prediction, model.build()(*inputs).prediction)


def test_a_file_from_before_the_repair_has_none(tmp_path: Path) -> None:
    config = preset("iaca_plus", 3, 4, width=8, heads=2, repair=False)
    file = tmp_path / "plus.safetensors"
    moments = (np.ones(dim, np.float32) for dim in (3, 3, 4, 4))
    save_model(TrainedModel(config, FusionModel(config).state_dict(), Normalisation(*moments), {}), file)
    old = header_of(file) | {"version": 2}
    old["config"].pop("repair")
    rewrite(file, old)
    assert load_model(file).config == config


def test_an_lstm_saved_as_one_module_for_both_ways_still_predicts_as_it_did(model: TrainedModel, path: Path) -> None:
    config = preset("concat", 3, 4, width=8, temporal="lstm", temporal_layers=2, context="lstm")
    model = replace(model, config=config, weights=FusionModel(config).state_dict())
    save_model(model, path)
    layer, older = re.compile(r"layers\.(\d)\.(ahead|back)\.(\w+)_l0$"), {}
    for name, tensor in load_file(path).items():
        if found := layer.search(name):
            end = f"{found[3]}_l{found[1]}" + ("_reverse" if found[2] == "back" else "")
            older |= {name: None, f"{name[: found.start()]}lstm.{end}": tensor}
    assert len(older) == 2 * (2 * 2 + 1) * 2 * 4  # names of then and now: layers, ways, and tensors of each
    rewrite(path, **older)
    assert "model.streams.audio.temporal.lstm.weight_ih_l1_reverse" in load_file(path)
    inputs = torch.randn(1, 5, 3), torch.randn(1, 5, 4)
    assert torch.equal(load_model(path).build()(*inputs).prediction, model.build()(*inputs).prediction)


def test_a_model_that_reads_cues_carries_what_normalises_them(tmp_path: Path) -> None:
    reads = preset("iaca_plus", 3, 4, cues=("face_score", "synchrony"), width=8, heads=2)
    moments = (np.full(dim, i, np.float32) for i, dim in enumerate((3, 3, 4, 4, 2, 2)))
    file = tmp_path / "plus.safetensors"
    save_model(TrainedModel(reads, FusionModel(reads).state_dict(), Normalisation(*moments), {}), file)
    loaded = load_model(file)
    assert loaded.config.cues == ("face_score", "synchrony")
    assert loaded.normalisation.quality_mean.tolist() == [4.0, 4.0]
    assert loaded.normalisation.quality_std.tolist() == [5.0, 5.0]
    rewrite(file, **{"normalisation.quality_mean": None})
    with pytest.raises(InputError, match=r"lacks tensor 'normalisation\.quality_mean'"):
        load_model(file)


def test_a_model_of_one_dimension_says_so(model: TrainedModel, path: Path) -> None:
    save_model(replace(model, targets=("arousal",)), path)
    assert load_model(path).targets == ("arousal",)


def test_the_same_model_gives_the_same_bytes_and_no_unfinished_file(model: TrainedModel, path: Path) -> None:
    first = path.read_bytes()
    save_model(load_model(path), path)
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == ["iaca.safetensors"]


def test_a_failed_save_leaves_the_old_file_and_no_other(
    model: TrainedModel, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_model(replace(model, metadata={}), path)
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"not a model", b"\x80\x04K\x01.", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 5) + b"[[[[[",
     struct.pack("<Q", 2) + b"{}"],
    ids=["empty", "text", "pickle", "endless header", "broken header", "foreign"],
)  # fmt: skip
def test_files_that_are_no_model_files_are_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors: .*Remedy: ") as refusal:
        load_model(file)
    assert refusal.value.file == file


def test_a_torn_file_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for size in (4, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match="not a complete safetensors file"):
            load_model(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model file"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="no such model file"):
        load_model(tmp_path)


def test_a_version_and_a_folder_of_versions_are_models_and_several_models_are_not(
    model: TrainedModel, path: Path, tmp_path: Path
) -> None:
    old, new = (tmp_path / f"runs/m.x/2026-01-31T12.00.00.00{n}Z/m.x" for n in (1, 2))
    for version, epoch in ((old, "1"), (new, "2")):
        version.parent.mkdir(parents=True)
        save_model(replace(model, metadata={"epoch": epoch}), version)
    for given, epoch in ((old, "1"), (new.parent.parent, "2")):
        assert load_model(given).metadata == {"epoch": epoch}
    (folder := tmp_path / "several").mkdir()
    save_model(model, folder / "a.safetensors")
    assert model_file(folder) == folder / "a.safetensors"
    save_model(model, folder / "b.safetensors")
    with pytest.raises(InputError, match=r"has 2 models, such as a\.safetensors and b\.safetensors Remedy: name one"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"version": 5}, "version 5, this program reads 1, 2, 3, 4"),
        ({"targets": ["arousal", "valence"]}, "are not those of a model"),
        ({"targets": []}, "are not those of a model"),
        ({"targets": "valence"}, "are not those of a model"),
        ({"per_dimension": 1}, "are not those of a model"),
        ({"metadata": {"a": 1}}, "not a mapping of strings"),
        ({"metadata": None}, "not a mapping of strings"),
        ({"config": None}, "configuration is not valid"),
        (
            {"config": {"audio_dim": 3, "visual_dim": 4, "gate": "unheard_of"}},
            "configuration is not valid",
        ),
        (
            {"config": {"audio_dim": 3, "visual_dim": 4, "width": 10**9, "heads": 1}},
            "configuration is not valid",
        ),
    ],
)
def test_headers_that_say_something_else_are_refused(path: Path, changes: dict, problem: str) -> None:
    rewrite(path, header_of(path) | changes)
    with pytest.raises(InputError, match=problem):
        load_model(path)


@pytest.mark.parametrize("header", [[], "iaca", 3])
def test_headers_that_are_no_table_are_refused(path: Path, header: object) -> None:
    rewrite(path, header)
    with pytest.raises(InputError, match="version None"):
        load_model(path)


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_headers_that_are_no_json_are_refused(path: Path, text: str) -> None:
    save_file(load_file(path), path, metadata={"iaca_model": text})
    with pytest.raises(InputError, match="not JSON"):
        load_model(path)


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({"model.head.regressors.0.0.bias": None}, r"lacks tensor 'model\.head\.regressors\.0\.0\.bias'"),
        ({"normalisation.audio_std": None}, "lacks tensor 'normalisation.audio_std'"),
        ({"model.extra": torch.zeros(1)}, r"has an unknown tensor 'model\.extra'"),
        (
            {"model.head.regressors.0.0.bias": torch.zeros(9)},
            r"\(9,\), but needs to be torch.float32 \(8,\)",
        ),
        ({"model.head.regressors.0.0.bias": torch.zeros(8, dtype=torch.float64)}, r"torch.float64 \(8,\)"),
        ({"model.head.regressors.0.0.bias": torch.full((8,), torch.nan)}, "values that are not finite"),
    ],
)
def test_tensors_that_are_not_those_of_the_configuration_are_refused(path: Path, tensors: dict, problem: str) -> None:
    rewrite(path, **tensors)
    with pytest.raises(InputError, match=problem):
        load_model(path)


def test_a_huge_configuration_is_refused_without_being_built(path: Path) -> None:
    """65536 x 4096 x ... floats would take gigabytes: shapes are compared without allocating them."""
    rewrite(path, header_of(path) | {"config": {"audio_dim": 65536, "visual_dim": 65536, "width": 4096}})
    with pytest.raises(InputError, match="tensor"):
        load_model(path)
