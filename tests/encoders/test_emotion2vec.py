"""emotion2vec: equal to FunASR's forward pass, by its published layout, and only from files of tensors."""

import argparse
import json
import os
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from drawn_numbers import RATE, filled, sound
from iaca.encoders.audio import FIELD, STRIDE, count_states
from iaca.encoders.config import NoOptions
from iaca.encoders.foundation import (
    Emotion2vec,
    Emotion2vecLarge,
    SpeechShape,
    alibi_slopes,
    arranged_speech,
)
from iaca.errors import InputError
from project import ROOT

GOLDEN = Path(__file__).parent / "golden/emotion2vec.json"
"""Shapes of FunASR's tensors, and its output for a second of sound and the tensors of `filled`."""
EVERY = 16  # hidden states from one that is kept to the next
SMALL = SpeechShape(
    width=48, heads=12, prenet=2, blocks=2, convolutions=((32, 10, 5), (32, 19, 4), (32, 16, 16))
)  # 12 heads: slopes of two series
Tensors = dict[str, Tensor]


class SmallEmotion2vec(Emotion2vec):
    shape = SMALL


class Published(nn.Module):
    """FunASR's network, under the names that its tensors have in files of emotion2vec+."""

    def __init__(self) -> None:
        super().__init__()
        pytest.importorskip("funasr")
        from funasr.models.emotion2vec.model import Emotion2vec as Theirs

        audio = {
            "feature_encoder_spec": str(list(SMALL.convolutions)), "extractor_mode": "layer_norm",
            "conv_pos_width": 95, "conv_pos_depth": 5, "conv_pos_groups": 16, "conv_pos_pre_ln": False,
            "prenet_depth": SMALL.prenet, "prenet_layerdrop": 0, "prenet_dropout": 0, "start_drop_path_rate": 0,
            "end_drop_path_rate": 0, "decoder": None, "local_grad_mult": 1, "num_extra_tokens": 10,
            "init_extra_token_zero": True, "use_alibi_encoder": True, "num_alibi_heads": SMALL.heads,
            "alibi_scale": 1, "learned_alibi": False, "learned_alibi_scale": True,
            "learned_alibi_scale_per_head": True, "learned_alibi_scale_per_layer": False,
        }  # fmt: skip
        model = {
            "modalities": {"audio": audio}, "embed_dim": SMALL.width, "num_heads": SMALL.heads,
            "depth": SMALL.blocks, "mlp_ratio": 4, "norm_eps": 1e-5, "norm_affine": True, "layer_norm_first": False,
            "end_of_block_targets": False, "encoder_dropout": 0, "attention_dropout": 0, "activation_dropout": 0,
            "post_mlp_drop": 0, "dropout_input": 0, "start_drop_path_rate": 0, "end_drop_path_rate": 0,
        }  # fmt: skip
        self.d2v_model, self.proj = Theirs(model_conf=model), nn.Linear(SMALL.width, 9)

    def forward(self, samples: Tensor) -> Tensor:
        """Samples (m,) -> hidden states (t, w), of the standardised sound as in FunASR's inference."""
        given = F.layer_norm(samples, samples.shape)
        with torch.inference_mode():
            states: Tensor = self.d2v_model.extract_features(given[None])["x"]
        return states[0]


def of_funasr() -> Published:
    network = Published()
    network.load_state_dict(filled(network.state_dict()))
    return network.eval()


def golden() -> tuple[Tensors, Tensor]:
    """The tensors that FunASR's network was filled with, and every 16th of its hidden states."""
    kept = json.loads(GOLDEN.read_text())
    return filled({name: torch.zeros(shape) for name, shape in kept["shapes"].items()}), torch.tensor(kept["output"])


def as_pretrained(state: Tensors) -> Tensors:
    """Names of the file of emotion2vec without +, which has a decoder and no head."""
    state = {name.removeprefix("d2v_model."): tensor for name, tensor in state.items() if name.startswith("d2v_model.")}
    return state | {"modality_encoders.AUDIO.decoder.blocks.0.0.weight": torch.zeros(3, 3, 7)}


LAYOUTS = {"emotion2vec+": dict, "emotion2vec": as_pretrained}


def fairseq_file(state: Tensors, **changes: Any) -> dict[str, Any]:
    """A checkpoint as fairseq saves it, like the published files: the network beside the state of its training."""
    return {
        "args": None, "cfg": {"model": {"_name": "data2vec_multi", "depth": 2}}, "model": OrderedDict(state),
        "criterion": None, "optimizer_history": [{"optimizer_name": "Adam", "num_updates": 3}], "task_state": {},
        "extra_state": {"epoch": 1}, "last_optimizer_state": {"state": {0: {"exp_avg": torch.zeros(2)}}},
    } | changes  # fmt: skip


def loaded(state: Tensors, folder: Path) -> SmallEmotion2vec:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "own.safetensors")
    return SmallEmotion2vec(NoOptions(), folder / "own.safetensors")


def states_of(encoder: Emotion2vec, samples: Tensor) -> Tensor:
    """The rows at the centres of the hidden states."""
    centres = (torch.arange(count_states(len(samples))).double() * STRIDE + FIELD / 2) / RATE
    with torch.inference_mode():
        rows: Tensor = encoder.encode(samples, centres, encoder, 1)
    return rows


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seconds", [0.025, 0.7, 9.9])
def test_emotion2vec_is_equal_to_funasr(layout: str, seconds: float, tmp_path: Path) -> None:
    theirs, heard = of_funasr(), sound(seconds)
    ours = loaded(LAYOUTS[layout](theirs.state_dict()), tmp_path)
    torch.testing.assert_close(states_of(ours, heard), theirs(heard), atol=1e-5, rtol=1e-5)


def test_what_is_kept_is_what_funasr_gives() -> None:
    network = of_funasr()
    found = network(sound(1))[::EVERY]
    if os.environ.get("IACA_WRITE_GOLDEN"):
        shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
        output = [[round(value, 6) for value in state] for state in found.tolist()]
        GOLDEN.write_text(json.dumps({"shapes": shapes, "output": output}) + "\n")
    torch.testing.assert_close(found, golden()[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sounds_are_heard_as_funasr_hears_them(layout: str, tmp_path: Path) -> None:
    state, expected = golden()
    ours = loaded(LAYOUTS[layout](state), tmp_path)
    torch.testing.assert_close(states_of(ours, sound(1))[::EVERY], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states_of(ours, 3 * sound(1) - 1)[::EVERY], expected, atol=1e-4, rtol=1e-4)


def test_slopes_are_those_of_the_paper() -> None:
    eight = [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]
    torch.testing.assert_close(alibi_slopes(8), torch.tensor(eight), atol=0, rtol=0)
    torch.testing.assert_close(alibi_slopes(16)[1::2], torch.tensor(eight))
    torch.testing.assert_close(alibi_slopes(12), torch.cat([alibi_slopes(8), alibi_slopes(16)[::2][:4]]))


def test_a_learned_scale_below_zero_counts_as_zero(tmp_path: Path) -> None:
    state, _ = golden()
    name = "d2v_model.modality_encoders.AUDIO.alibi_scale"
    assert (state[name] < 0).any()
    clamped = loaded(state | {name: state[name].clamp(min=0)}, tmp_path)
    torch.testing.assert_close(states_of(loaded(state, tmp_path), sound(1)), states_of(clamped, sound(1)))


# Files


def test_a_file_of_fairseq_that_holds_tensors_and_plain_values_is_read(tmp_path: Path) -> None:
    state, expected = golden()
    teacher = {"_ema": {"blocks.0.norm1.weight": torch.zeros(3)}}
    torch.save(fairseq_file(as_pretrained(state) | teacher), tmp_path / "published.pt")
    ours = SmallEmotion2vec(NoOptions(), tmp_path / "published.pt")
    torch.testing.assert_close(states_of(ours, sound(1))[::EVERY], expected, atol=1e-5, rtol=1e-5)


class Runs:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["settings", "code"])
def test_a_file_with_other_objects_is_refused_by_their_name_and_nothing_runs(kind: str, tmp_path: Path) -> None:
    extra, named = {
        "settings": (argparse.Namespace(arch="data2vec_multi"), "argparse.Namespace"),
        "code": (Runs(tmp_path / "ran"), "getattr"),
    }[kind]
    torch.save(fairseq_file(golden()[0], args=extra), tmp_path / "published.pt")
    with pytest.raises(
        InputError, match=rf"published\.pt: it holds other objects than tensors \(({named})\)"
    ) as caught:
        SmallEmotion2vec(NoOptions(), tmp_path / "published.pt")
    assert "docs/reference/encoders.md, Converting a pickled checkpoint" in str(caught.value)
    assert not (tmp_path / "ran").exists()
    assert "### Converting a pickled checkpoint" in page()


def page() -> str:
    return (ROOT / "docs/reference/encoders.md").read_text()


def test_the_conversion_of_the_docs_gives_a_file_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, expected = golden()
    monkeypatch.chdir(tmp_path)
    settings = {"_ema": {"blocks.0.norm1.weight": torch.zeros(3)}}
    torch.save(fairseq_file(as_pretrained(state) | settings, args=argparse.Namespace(arch="x")), "emotion2vec_base.pt")
    (written,) = re.findall(r"### Converting a pickled checkpoint.*?```python\n(.*?)```", page(), re.DOTALL)
    exec(written, {})
    assert set(load_file("emotion2vec_base.safetensors")) == set(as_pretrained(state))
    ours = SmallEmotion2vec(NoOptions(), tmp_path / "emotion2vec_base.safetensors")
    torch.testing.assert_close(states_of(ours, sound(1))[::EVERY], expected, atol=1e-5, rtol=1e-5)


def published_layout(width: int, heads: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a file of emotion2vec, without its decoder."""
    audio, shapes = "modality_encoders.AUDIO", dict[str, tuple[int, ...]]()
    for i, kernel in enumerate((10, 3, 3, 3, 3, 2, 2)):
        shapes[f"{audio}.local_encoder.conv_layers.{i}.0.weight"] = (512, 512 if i else 1, kernel)
        shapes |= {f"{audio}.local_encoder.conv_layers.{i}.2.1.{kind}": (512,) for kind in ("weight", "bias")}
    shapes |= {f"{audio}.project_features.1.{kind}": (512,) for kind in ("weight", "bias")}
    shapes |= {f"{audio}.project_features.2.weight": (width, 512), f"{audio}.project_features.2.bias": (width,)}
    for i in range(1, 6):
        shapes[f"{audio}.relative_positional_encoder.{i}.0.weight"] = (width, width // 16, 19)
        shapes[f"{audio}.relative_positional_encoder.{i}.0.bias"] = (width,)
    shapes |= {f"{audio}.alibi_scale": (1, 1, heads, 1, 1), f"{audio}.extra_tokens": (1, 10, width)}
    shapes |= {f"{audio}.context_encoder.norm.{kind}": (width,) for kind in ("weight", "bias")}
    blocks = [f"{audio}.context_encoder.blocks.{i}" for i in range(4)] + [f"blocks.{i}" for i in range(8)]
    linear = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
    for block in blocks:
        for layer, (outputs, inputs) in linear.items():
            shapes[f"{block}.{layer}.weight"] = (outputs * width, inputs * width)
            shapes[f"{block}.{layer}.bias"] = (outputs * width,)
        shapes |= {f"{block}.norm{i}.{kind}": (width,) for i in (1, 2) for kind in ("weight", "bias")}
    return shapes


SIZES = [(Emotion2vec, 768, 12, 93_171_212), (Emotion2vecLarge, 1024, 16, 162_130_960)]


@pytest.mark.parametrize(("kind", "width", "heads", "parameters"), SIZES)
def test_the_networks_are_those_that_were_published(
    kind: type[Emotion2vec], width: int, heads: int, parameters: int
) -> None:
    """With the head, the smaller one has the 93.18 million weights and the larger one the 185 tensors that public
    inspections of the published files report."""
    layout = published_layout(width, heads)
    assert len(layout) == 185 - 2
    with torch.device("meta"):
        encoder = kind(NoOptions(), None)
        named = arranged_speech({name: torch.zeros(shape) for name, shape in layout.items()})
    own = encoder.network.state_dict()
    assert {name: tensor.shape for name, tensor in named.items()} == {name: own[name].shape for name in own}
    assert sum(weights.numel() for weights in encoder.parameters()) == parameters
    assert {block.heads for block in encoder.last_layers(12)} == {heads}
    assert not encoder.training


@pytest.mark.parametrize(("kind", "width", "heads", "parameters"), SIZES)
def test_the_docs_list_every_tensor_with_its_shape(
    kind: type[Emotion2vec], width: int, heads: int, parameters: int
) -> None:
    del kind, parameters
    section = page().split("### Converting a pickled checkpoint")[1]
    listed = dict(re.findall(r"^\| (?:\d+) \| `([\w.]+)` \| ([^|]+) \|$", section, re.MULTILINE))
    numbers = {"w": width, "h": heads, "w/16": width // 16, "3w": 3 * width, "4w": 4 * width}
    found = {}
    for name, shape in published_layout(width, heads).items():
        pattern = re.sub(r"(conv_layers|encoder|blocks)\.\d+", r"\1.N", name)
        found[pattern] = shape
        sizes = [numbers.get(size, size) for size in listed[pattern].split(", ")]
        assert len(sizes) == len(shape)
        assert all(size in ("c", "k") or int(size) == real for size, real in zip(sizes, shape, strict=True))
    assert set(listed) == set(found)


def test_a_fine_tuned_checkpoint_of_its_own_is_read_again(tmp_path: Path) -> None:
    tuned = loaded(golden()[0], tmp_path)
    again = loaded(tuned.state_dict(), tmp_path)
    torch.testing.assert_close(dict(again.state_dict()), dict(tuned.state_dict()), atol=0, rtol=0)


def test_a_file_that_lacks_or_adds_a_tensor_is_refused_by_name(tmp_path: Path) -> None:
    state, _ = golden()
    without = {name: tensor for name, tensor in state.items() if "blocks.1.mlp.fc2.bias" not in name}
    with pytest.raises(InputError, match=r"prenet\.1\.fc2\.bias is missing; blocks\.1\.fc2\.bias is missing"):
        loaded(without, tmp_path)
    with pytest.raises(InputError, match=r"norm_of_everything is not part of it"):
        loaded(state | {"d2v_model.norm_of_everything": torch.zeros(2)}, tmp_path)


# Training


def test_the_last_blocks_are_those_nearest_to_the_rows_and_all_weights_learn(tmp_path: Path) -> None:
    encoder = loaded(golden()[0], tmp_path)
    names = {part: name for name, part in encoder.named_modules()}
    assert [names[part] for part in encoder.last_layers(3)] == [
        "network.prenet.1",
        "network.blocks.0",
        "network.blocks.1",
    ]
    encoder.rows(torch.stack([sound(0.5), sound(0.5, 1)])).square().sum().backward()
    assert [name for name, weights in encoder.named_parameters() if weights.grad is None] == []


def test_training_windows_are_heard_as_the_network_hears_sounds(tmp_path: Path) -> None:
    encoder, heard = loaded(golden()[0], tmp_path), sound(3)
    windows = encoder.windows(heard, torch.tensor([1.5]).double(), 1.0)
    part = heard[int(1.5 * RATE) - windows.length // 2 :][: windows.length]
    with torch.inference_mode():
        rows = encoder.rows(windows[0][None])
    states = states_of(encoder, part)
    torch.testing.assert_close(rows[0], states[len(states) // 2], atol=1e-4, rtol=1e-3)
