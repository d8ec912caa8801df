"""Exported models predict what the model predicts, at any length, and carry what a user has to know."""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_clips import AUDIO_DIM, VISUAL_DIM, clip
from torch import Tensor
from torch.export import ExportedProgram

from iaca.encoders.embedding import write_embedding
from iaca.errors import InputError
from iaca.fusion import PRESETS, FusionConfig, FusionModel, preset
from iaca.training import export
from iaca.training.calibration import Calibration, Recalibration
from iaca.training.export import (
    BATCH,
    STEPS,
    check,
    example,
    export_model,
    facts_of,
    main,
    onnx_bytes,
    onnx_runner,
    program_bytes,
    trace,
)
from iaca.training.model_file import PerDimension, TrainedModel, save_model
from iaca.training.predict import predict_clip
from iaca.training.sample import Normalisation, where_known

DOCS = Path(__file__).parents[2] / "docs" / "guide" / "export.md"
needs_onnx = pytest.mark.skipif(not all(map(find_spec, export.PACKAGES)), reason="needs pip install -e '.[export]'")
SMALL = {"audio_dim": AUDIO_DIM, "visual_dim": VISUAL_DIM, "width": 8, "heads": 2, "temporal_layers": 1}
CUES = ("mouth_motion", "sound_level", "synchrony", "not_ours")
METADATA = {"caveat": "made up", "audio_encoder": "descriptors", "visual_encoder": "fer", "history": "long"}
# Each part of each preset is in one of these; all of them would take minutes, and each export checks itself.
COVERING = (
    "concat", "lfan", "mha", "iaca", "iaca_dca", "iaca_hierarchical", "iaca_plus", "dca_paper", "grjca_paper", "hgrjca",
    "tagf", "cold", "raav", "late", "ridge",
)  # fmt: skip
NOT_PRESETS = {
    "lstm": FusionConfig(**SMALL | {"temporal_layers": 2}, temporal="lstm", context="lstm"),
    "small": FusionConfig(**SMALL, temporal="none", attention="ca", gate="dca"),
    "fixed": FusionConfig(**SMALL, temporal="none", attention="jca_fixed", length=5, gate="none"),
    "causal": FusionConfig(**SMALL, causal=True, lookahead=2, memory=4),
}

every_part = pytest.mark.parametrize("name", [*COVERING, "causal"])


@cache
def trained(name: str) -> TrainedModel:
    """A small model of that name, none of whose parameters or readings are at their initial value."""
    config = NOT_PRESETS.get(name) or preset(name, cues=CUES, **SMALL)
    torch.manual_seed(0)
    model, rng = FusionModel(config), np.random.default_rng(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for readings in model.buffers():
            readings.add_(0.1 * torch.rand_like(readings))
    widths = (AUDIO_DIM, AUDIO_DIM, VISUAL_DIM, VISUAL_DIM, len(config.cues), len(config.cues))
    moments = (0.5 + rng.random(width, dtype=np.float32) for width in widths)
    return TrainedModel(config, model.state_dict(), Normalisation(*moments), {**METADATA, "preset": name})


@cache
def program(name: str) -> ExportedProgram:
    return trace(trained(name))


@cache
def onnx(name: str) -> bytes:
    return onnx_bytes(program(name), trained(name), facts_of(trained(name)))


def session(name: str):
    return pytest.importorskip("onnxruntime").InferenceSession(onnx(name), providers=["CPUExecutionProvider"])


def outputs_of_the_model(
    model: TrainedModel, inputs: dict[str, Tensor], dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """The outputs of the model itself, its inputs normalised as in training."""
    normalisation, padding = model.normalisation, inputs["padding"].numpy()
    present = {m: inputs[f"{m}_present"].numpy() & padding for m in ("audio", "visual")}
    normalised = {}
    for m, there in present.items():
        rows = zip(inputs[m].numpy(), there, strict=True)
        normalised[m] = torch.from_numpy(np.stack([normalisation.apply(*row, m) for row in rows]))
    if "quality" in inputs:
        rows = zip(*present.values(), strict=True)
        known = [where_known(model.config.cues, {"audio": audio, "visual": visual}) for audio, visual in rows]
        cues = np.where(np.stack(known), inputs["quality"].numpy(), np.float32(np.nan))
        normalised["quality"] = torch.from_numpy(normalisation.apply_cues(cues))
    built = model.build().to(dtype)
    given = {n: v.to(dtype) if v.is_floating_point() else v for n, v in (inputs | normalised).items()}
    with torch.inference_mode():
        if "rate" in inputs:
            there = torch.stack([torch.from_numpy(present[m]) for m in ("audio", "visual")], dim=-1)
            given["readings"] = built.read([{m: given[m] for m in present}], there, given.pop("rate"))
        output = built(**given)
    gates = {f"gate_{name}": weights for name, weights in output.gates.items()}
    return {"prediction": output.prediction, **gates, "observed": output.observed}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert list(found) == list(expected)
    assert torch.equal(found["observed"], expected["observed"])
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=0, atol=tolerance, msg=lambda text, n=name: f"{n}: {text}")


def batches(model: TrainedModel) -> list[dict[str, Tensor]]:
    """Batches of other sizes than the traced one, with absent steps, padding, and NaN under the masks."""
    sizes = ((1, 1), (1, 37), (4, 7))
    assert all(b != BATCH and t != STEPS for b, t in sizes)
    return [example(model, b, model.config.length or t, seed) for seed, (b, t) in enumerate(sizes)]


@every_part
def test_every_part_becomes_a_program_that_says_what_the_model_says(name: str) -> None:
    model, module = trained(name), program(name).module()
    for inputs in batches(model):
        assert_same(module(**inputs), outputs_of_the_model(model, inputs), 1e-6)


@needs_onnx
@every_part
def test_every_part_becomes_an_onnx_file_that_predicts_what_the_model_predicts(name: str) -> None:
    model, run = trained(name), onnx_runner(onnx(name))
    for inputs in batches(model):
        expected = outputs_of_the_model(model, inputs)
        assert_same(run(inputs), expected, 1e-4 + rounding(model, inputs, expected))


def rounding(model: TrainedModel, inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> float:
    """By how much the model itself misses its exact outputs in float32: 1e-7 for most, on some processors 1.5e-4 with
    random weights and sharp gates (`grjca_paper`). No other program can be expected to be nearer to it than that."""
    exact = outputs_of_the_model(model, inputs, torch.float64)
    errors = [(outputs[name] - exact[name]).abs().max() for name in outputs if outputs[name].is_floating_point()]
    return float(torch.stack(errors).nan_to_num(0.0).max())


def test_the_exported_presets_have_every_part_of_all() -> None:
    def parts(names: Iterable[str]) -> set[tuple[str, object]]:
        configs = [preset(name, cues=CUES, **SMALL) for name in names]
        fields = (
            "temporal",
            "attention",
            "gate",
            "stage1_source",
            "stage2",
            "context",
            "head",
            "input_norm",
            "readings",
            "bounds",
        )
        same = {"rjca": "jca"}  # several of its layers
        return {(field, same.get(value := getattr(c, field), value)) for c in configs for field in fields}

    assert parts(COVERING) == parts(PRESETS)


@needs_onnx
@pytest.mark.slow
def test_an_lstm_of_any_length_can_be_exported() -> None:
    model, module, run = trained("lstm"), program("lstm").module(), onnx_runner(onnx("lstm"))
    for inputs in batches(model):
        assert_same(module(**inputs), outputs_of_the_model(model, inputs), 1e-6)
        assert_same(run(inputs), outputs_of_the_model(model, inputs), 1e-4)


def test_a_torch_without_the_lstm_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(InputError, match="cannot export an LSTM Remedy: "):
        trace(trained("lstm"))


def test_a_network_per_dimension_comes_out_as_one_model() -> None:
    config = NOT_PRESETS["small"]
    torch.manual_seed(0)
    weights = {name: torch.randn_like(x) for name, x in PerDimension(config).state_dict().items()}
    model = replace(trained("small"), weights=weights, per_dimension=True)
    inputs = example(model, 1, 8)
    found = trace(model).module()(**inputs)
    assert_same(found, outputs_of_the_model(model, inputs), 1e-6)
    assert {"gate_valence_audio", "gate_arousal_visual"} < set(found)


def test_a_dimension_that_was_not_learned_is_nan() -> None:
    model = replace(trained("small"), targets=("arousal",))
    inputs = example(model, 1, 8)
    module = trace(model).module()
    found = module(**inputs)["prediction"]
    assert found[..., 0].isnan().all()
    torch.testing.assert_close(found[..., 1], outputs_of_the_model(model, inputs)["prediction"][..., 1])
    assert check(model, lambda inputs: module(**inputs), 1e-6) <= 1e-6
    assert json.loads(facts_of(model)["targets"]) == ["arousal"]


def test_a_recalibrated_model_is_exported_with_scale_and_offset() -> None:
    scale, offset = np.array([1.5, 0.5], np.float32), np.array([0.1, -0.2], np.float32)
    calibration = Calibration(("audio", "visual"), None, None, None, {}, Recalibration(scale, offset))
    model = replace(trained("small"), calibration=calibration)
    inputs = example(model, 1, 8)
    found = trace(model).module()(**inputs)["prediction"]
    raw = outputs_of_the_model(model, inputs)["prediction"]
    torch.testing.assert_close(found, (raw * torch.from_numpy(scale) + torch.from_numpy(offset)).clamp(-1, 1))


@needs_onnx
def test_what_stands_under_a_mask_has_no_influence() -> None:
    run, inputs = onnx_runner(onnx("iaca")), example(trained("iaca"), 3, 20)
    assert inputs["audio"].isnan().any()
    assert inputs["visual"].isnan().any()
    filled = {name: x.nan_to_num(nan=-1e30) if x.is_floating_point() else x for name, x in inputs.items()}
    for name, values in run(inputs).items():
        assert torch.equal(run(filled)[name], values)
        assert not values.isnan().any()


@needs_onnx
def test_a_sequence_alone_and_in_a_padded_batch_are_told_the_same() -> None:
    run, inputs = onnx_runner(onnx("iaca")), example(trained("iaca"), 3, 21)
    alone = {name: x[-1:, :14] for name, x in inputs.items()}
    assert inputs["padding"][-1].sum() == 14
    for name, values in run(alone).items():
        torch.testing.assert_close(run(inputs)[name][-1:, :14].float(), values.float(), rtol=0, atol=1e-6)


@needs_onnx
def test_the_program_in_the_docs_gives_the_predictions_of_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "iaca.onnx").write_bytes(onnx("iaca"))
    write_embedding(clip(seed=3, steps=50), tmp_path / "video.safetensors")
    (snippet,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    namespace: dict = {}
    exec(compile(snippet, str(DOCS), "exec"), namespace)
    expected = predict_clip(trained("iaca"), clip(seed=3, steps=50))
    np.testing.assert_allclose(namespace["outputs"]["prediction"][0], expected.prediction, atol=1e-5)
    np.testing.assert_array_equal(namespace["outputs"]["observed"][0], expected.observed)
    for gate, weights in expected.gates.items():
        np.testing.assert_allclose(namespace["outputs"][f"gate_{gate}"][0], weights, atol=1e-5)
    assert "made up" in capsys.readouterr().out


@pytest.mark.slow
def test_an_unknown_cue_is_told_by_nan() -> None:
    model, module = trained("iaca_plus"), program("iaca_plus").module()
    inputs = example(model, 2, 9)
    unknown = module(**inputs | {"quality": torch.full_like(inputs["quality"], torch.nan)})
    means = torch.from_numpy(model.normalisation.quality_mean).expand_as(inputs["quality"])
    assert_same(unknown, module(**inputs | {"quality": means}), 1e-6)
    assert not torch.allclose(unknown["prediction"], module(**inputs)["prediction"])


@needs_onnx
@pytest.mark.slow
def test_raw_cues_give_the_predictions_of_the_pipeline() -> None:
    some, names = clip(seed=4, steps=40), CUES[:3]
    cues = np.random.default_rng(0).normal(1, 2, (40, 3)).astype(np.float32)
    some = replace(some, quality=cues, quality_names=names)
    expected = predict_clip(trained("iaca_plus"), some)
    arrays = {"audio": some.audio, "visual": some.visual, "audio_present": some.audio_present,
              "visual_present": some.face_found, "padding": np.ones(40, np.bool_),
              "quality": np.column_stack([cues, np.full(40, np.nan, np.float32)])}  # fmt: skip
    given = {name: torch.from_numpy(array[None]) for name, array in arrays.items()}
    found = onnx_runner(onnx("iaca_plus"))(given | {"rate": torch.tensor([25.0])})
    np.testing.assert_allclose(found["prediction"][0], expected.prediction, atol=1e-5)
    for gate, weights in expected.gates.items():
        np.testing.assert_allclose(found[f"gate_{gate}"][0], weights, atol=1e-5)


@needs_onnx
def test_an_onnx_file_names_what_goes_in_and_out_and_leaves_batch_and_length_open() -> None:
    inputs, outputs = ({value.name: value.shape for value in some} for some in (
        session("iaca").get_inputs(), session("iaca").get_outputs()
    ))  # fmt: skip
    both = ["batch", "steps"]
    masks = dict.fromkeys(("audio_present", "visual_present", "padding"), both)
    assert inputs == {"audio": [*both, AUDIO_DIM], "visual": [*both, VISUAL_DIM], **masks}
    gates = {f"gate_{name}": [*both, 2] for name in ("audio", "visual", "modalities")}
    assert outputs == {"prediction": [*both, 2], **gates, "observed": both}


@needs_onnx
def test_a_model_with_its_length_in_its_weights_takes_that_length_alone() -> None:
    model, length = session("fixed"), trained("fixed").config.length
    assert [value.shape[:2] for value in model.get_inputs()] == [["batch", length]] * 5
    shorter = {name: x.numpy() for name, x in example(trained("fixed"), 2, length - 1).items()}
    with pytest.raises(Exception, match="invalid dimensions"):
        model.run(None, shorter)


@needs_onnx
def test_both_kinds_of_file_carry_where_the_model_comes_from() -> None:
    metadata = session("concat").get_modelmeta().custom_metadata_map
    content = program_bytes(program("concat"), facts_of(trained("concat")))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        extra = {name.split("/")[-1]: archive.read(name).decode() for name in archive.namelist() if "/extra/" in name}
    assert extra == metadata == facts_of(trained("concat"))
    assert FusionConfig.model_validate_json(metadata["config"]) == trained("concat").config
    assert {name: metadata[name] for name in ("caveat", "audio_encoder", "visual_encoder", "preset")} == {
        "caveat": "made up", "audio_encoder": "descriptors", "visual_encoder": "fer", "preset": "concat"
    }  # fmt: skip
    labels = json.loads(session("iaca").get_modelmeta().custom_metadata_map["gate_labels"])
    assert labels["gate_modalities"] == ["audio", "visual"]
    assert set(labels) == {output.name for output in session("iaca").get_outputs()} - {"prediction", "observed"}


@needs_onnx
def test_no_file_says_where_it_was_made() -> None:
    folders = [str(Path(place).resolve()).encode() for place in (__file__, torch.__file__, export.__file__)]
    for content in (onnx("concat"), program_bytes(program("concat"), {})):
        assert not any(folder in content for folder in folders)
        assert b".py" not in content


@needs_onnx
def test_the_same_model_gives_the_same_bytes() -> None:
    again = trace(trained("concat"))
    assert onnx_bytes(again, trained("concat"), facts_of(trained("concat"))) == onnx("concat")
    assert program_bytes(again, {}) == program_bytes(program("concat"), {})


@needs_onnx
@pytest.mark.parametrize("form", ["onnx", "torch"])
def test_the_command_writes_a_file_that_can_be_used(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained("concat")
    save_model(model, tmp_path / "mine.safetensors")
    main([str(tmp_path / "mine.safetensors"), str(tmp_path / "out"), "--format", form])
    (written,) = (tmp_path / "out").iterdir()
    assert written.name == {"onnx": "mine.onnx", "torch": "mine.pt2"}[form]
    assert capsys.readouterr().out.startswith(f"{written}: differs from the model by ")
    run = onnx_runner(written.read_bytes()) if form == "onnx" else None
    inputs = example(model, 2, 5)
    found = run(inputs) if run else torch.export.load(written).module()(**inputs)  # our own file, made a line ago
    assert_same(found, outputs_of_the_model(model, inputs), 1e-4)


def test_the_command_takes_a_folder_of_versions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = tmp_path / "mine.safetensors/2026-01-31T12.00.00.000Z"
    version.mkdir(parents=True)
    save_model(trained("concat"), version / "mine.safetensors")
    for given in (version.parent, version, version / "mine.safetensors"):
        main([str(given), str(tmp_path / "out"), "--format", "torch"])
        assert capsys.readouterr().out.startswith(f"{tmp_path / 'out/mine.pt2'}: differs from the model by")


def test_the_command_says_what_is_wrong_with_a_model_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "none.safetensors"), str(tmp_path)])
    assert ended.value.code == 2
    assert re.fullmatch(r".*none\.safetensors: there is no such model file Remedy: .*\n", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", export.PACKAGES)
def test_a_missing_package_is_named_with_its_remedy(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in export.PACKAGES:  # as if the others were there
        monkeypatch.setitem(sys.modules, name, None if name == package else sys)
    with pytest.raises(InputError, match=rf"needs {package} Remedy: pip install -e '\.\[export\]'"):
        export_model(trained("concat"), tmp_path / "model.onnx")


def test_a_folder_that_can_not_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InputError, match=r"taken: a file is in the place of this folder Remedy: move that file"):
        export_model(trained("audio"), tmp_path / "taken" / "model.pt2", "torch")


def test_a_model_too_large_for_one_onnx_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "LARGEST", 100)
    with pytest.raises(InputError, match="an ONNX file at most 100 Remedy: use --format torch"):
        onnx_bytes(program("concat"), trained("concat"), {})


@pytest.mark.parametrize("wrong", [0.01, torch.nan])
def test_an_export_that_says_something_else_is_refused(wrong: float) -> None:
    model = trained("concat")

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        outputs = outputs_of_the_model(model, inputs)
        return outputs | {"prediction": outputs["prediction"] + wrong}

    assert check(model, lambda inputs: outputs_of_the_model(model, inputs), 1e-4) <= 1e-6
    with pytest.raises(InputError, match="differs from the model by"):
        check(model, run, 1e-4)


def test_a_gate_that_differs_is_noticed_too() -> None:
    model = trained("iaca")

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        outputs = outputs_of_the_model(model, inputs)
        return outputs | {"gate_modalities": outputs["gate_modalities"].flip(-1)}

    with pytest.raises(InputError, match="differs from the model by"):
        check(model, run, 1e-4)


@needs_onnx
def test_the_locked_onnxruntime_is_one_that_sends_no_usage_data() -> None:
    """From 1.29 on its Linux packages send usage data to their maker unless disabled."""
    assert tuple(int(part) for part in version("onnxruntime").split(".")[:2]) < (1, 29)
