"""Large encoders: equal to their libraries' own forward pass, by their published layouts, and when they hear."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from drawn_numbers import RATE, filled, sound
from iaca.encoders.audio import FIELD, STRIDE, pieces
from iaca.encoders.checkpoint import load, read_tensors
from iaca.encoders.config import (
    ENCODERS,
    EmbeddingConfig,
    EncoderChoice,
    LargeLayerOptions,
    PatchOptions,
    PooledOptions,
)
from iaca.encoders.foundation import (
    FOUNDATION,
    ClipB32,
    EmotionalSpeech,
    HubertLarge,
    LargeHiddenStates,
    Shape,
    VisionTransformer,
    WavLMLarge,
    arranged,
    robust_wav2vec2,
)
from iaca.encoders.networks import build_network
from iaca.errors import InputError

GOLDEN = Path(__file__).parent / "golden/foundation.json"
"""Outputs of transformers and open_clip's layout in timm for the tensors of `filled`, so that they need not be here."""
DINO, CLIP = Shape(32, 4, 14, 37, layers=2), Shape(32, 4, 32, 7, layers=2, clip=True)
SPEECH = {"width": 32, "layers": 2, "heads": 4, "inner": 64, "convolutions": [(32, 10, 5), (32, 19, 4), (32, 16, 16)]}
Tensors = dict[str, Tensor]


def pictures(side: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).standard_normal((2, 3, side, side))).float()


# The libraries' own networks, with the tensors of `filled`; their layouts are those of the published files.


def dinov2() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 518, "patch_size": 14}
    return transformers.Dinov2Model(transformers.Dinov2Config(**sizes))


def clip() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    return transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**sizes, patch_size=32, image_size=224))


class PublishedVad(nn.Module):
    """The network of the model's page: wav2vec2, its states averaged, then dense, tanh, projection."""

    def __init__(self) -> None:
        transformers = pytest.importorskip("transformers")
        super().__init__()
        widths, kernels, strides = zip(*SPEECH["convolutions"], strict=True)
        self.wav2vec2 = transformers.Wav2Vec2Model(
            transformers.Wav2Vec2Config(
                hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, conv_dim=widths,
                conv_kernel=kernels, conv_stride=strides, num_feat_extract_layers=3, feat_extract_norm="layer",
                conv_bias=True, do_stable_layer_norm=True,
            )
        )  # fmt: skip
        self.classifier = nn.ModuleDict({"dense": nn.Linear(32, 32), "out_proj": nn.Linear(32, 3)})

    def forward(self, samples: Tensor) -> Tensor:
        pooled = self.wav2vec2(samples)[0].mean(1)
        judged: Tensor = self.classifier["out_proj"](torch.tanh(self.classifier["dense"](pooled)))
        return judged


def of_library(network: nn.Module) -> nn.Module:
    network.load_state_dict(filled(network.state_dict()))
    return network.eval()


def as_published(state: Tensors) -> Tensors:
    """Names of the files on the hub, which are older than those that transformers uses now."""
    changes = (
        ("attention.q_proj", "attention.attention.query"), ("attention.k_proj", "attention.attention.key"),
        ("attention.v_proj", "attention.attention.value"), ("attention.o_proj", "attention.output.dense"),
        ("parametrizations.weight.original0", "weight_g"), ("parametrizations.weight.original1", "weight_v"),
    )  # fmt: skip
    for new, old in changes:
        renamed = ("attention" not in new) or any(
            name.startswith("encoder.layer.") for name in state
        )  # of DINOv2 alone
        state = {name.replace(new, old) if renamed else name: tensor for name, tensor in state.items()}
    return state


def as_open_clip(state: Tensors) -> Tensors:
    """The picture half of CLIP under open_clip's names, beside a text half."""
    renamed: Tensors = {}
    for name, tensor in state.items():
        for theirs, ours in (
            ("embeddings.class_embedding", "class_embedding"), ("embeddings.patch_embedding", "conv1"),
            ("embeddings.position_embedding.weight", "positional_embedding"), ("pre_layrnorm", "ln_pre"),
            ("post_layernorm", "ln_post"), ("encoder.layers", "transformer.resblocks"), ("layer_norm", "ln_"),
            ("self_attn", "attn"), ("fc1", "c_fc"), ("fc2", "c_proj"),
        ):  # fmt: skip
            name = name.replace(theirs, ours)
        renamed[f"visual.{name}"] = tensor
    for i in range(2):
        base = f"visual.transformer.resblocks.{i}.attn."
        for kind in ("weight", "bias"):
            renamed[f"{base}in_proj_{kind}"] = torch.cat([renamed.pop(f"{base}{x}_proj.{kind}") for x in "qkv"])
    text = {"transformer.resblocks.0.ln_1.weight": torch.zeros(3), "positional_embedding": torch.zeros(77, 3)}
    return renamed | text | {"visual.proj": torch.zeros(32, 16), "logit_scale": torch.zeros(())}


def outputs(network: nn.Module, given: Tensor) -> Tensor:
    with torch.inference_mode():
        found = network(given)
    return found if isinstance(found, Tensor) else found.pooler_output


def test_dinov2_is_equal_to_transformers_at_the_stored_and_at_other_sizes() -> None:
    theirs, ours = of_library(dinov2()), VisionTransformer(DINO).eval()
    for state in (theirs.state_dict(), as_published(dict(theirs.state_dict()))):
        ours.load_state_dict(arranged(state))
        for side in (112, 224, 518):
            torch.testing.assert_close(
                outputs(ours, pictures(side)), outputs(theirs, pictures(side)), atol=1e-5, rtol=1e-5
            )


def test_clip_is_equal_to_transformers_in_either_layout() -> None:
    theirs, ours = of_library(clip()), VisionTransformer(CLIP).eval()
    state = dict(theirs.state_dict())
    for layout in (state, {f"vision_model.{name}": tensor for name, tensor in state.items()}, as_open_clip(state)):
        ours.load_state_dict(arranged(layout))
        torch.testing.assert_close(outputs(ours, pictures(224)), outputs(theirs, pictures(224)), atol=1e-5, rtol=1e-5)


def test_clip_is_equal_to_timm_with_quickgelu() -> None:
    timm = pytest.importorskip("timm")
    from timm.models.vision_transformer import checkpoint_filter_fn

    theirs = timm.create_model("vit_base_patch32_clip_quickgelu_224", num_classes=0).eval()
    torch.manual_seed(0)
    ours = ClipB32(ENCODERS["visual"]["clip_vitb32"].configured({}), None)
    layout: Tensors = {}
    for name, tensor in ours.backbone.state_dict().items():  # from ours to open_clip's names, which timm reads
        for mine, other in (
            ("blocks.", "transformer.resblocks."), (".norm", ".ln_"), (".qkv.", ".attn.in_proj_"),
            (".out.", ".attn.out_proj."), (".fc1.", ".mlp.c_fc."), (".fc2.", ".mlp.c_proj."), ("before.", "ln_pre."),
            ("after.", "ln_post."), ("patches.", "conv1."), ("positions", "positional_embedding"),
        ):  # fmt: skip
            name = name.replace(mine, other)
        layout["visual." + ("class_embedding" if name == "cls" else name)] = tensor
    torch.testing.assert_close(arranged(layout), dict(ours.backbone.state_dict()))
    layout["visual.proj"] = torch.zeros(768, 512)
    state = checkpoint_filter_fn(layout, theirs)
    theirs.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("head.")})
    torch.testing.assert_close(outputs(ours.backbone, pictures(224)), theirs(pictures(224)), atol=1e-4, rtol=1e-4)


def run_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
    def run(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            found: Tensor = network(batch)
        return found

    return run


def loaded_speech(state: Tensors, folder: Path, pool_s: float = 60) -> EmotionalSpeech:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
    network = robust_wav2vec2(**SPEECH)  # type: ignore[arg-type]
    return EmotionalSpeech(PooledOptions(pool_s=pool_s), folder / "model.safetensors", network)


def test_emotional_speech_is_equal_to_the_network_of_its_page(tmp_path: Path) -> None:
    theirs = of_library(PublishedVad())
    heard = sound(2.0)
    samples = (heard - heard.mean()) / torch.sqrt(heard.var(unbiased=False) + 1e-7)
    with torch.inference_mode():
        arousal, dominance, valence = theirs(samples[None])[0].tolist()
        states = theirs.wav2vec2(samples[None])[0][0]
        for state in (dict(theirs.state_dict()), as_published(dict(theirs.state_dict()))):
            ours = loaded_speech(state, tmp_path)
            centres = (torch.arange(len(states)).double() * STRIDE + FIELD / 2) / RATE
            rows = ours.encode(heard, centres, run_of(ours), 1)
            torch.testing.assert_close(rows[:, :32], states, atol=1e-5, rtol=1e-5)
            expected = 2 * torch.tensor([dominance, valence, arousal]) - 1
            torch.testing.assert_close(rows[:, 32:], expected.expand(len(rows), 3), atol=1e-5, rtol=1e-5)


# The same without the libraries: their outputs are in `GOLDEN`


def golden(name: str) -> tuple[Tensors, Tensor]:
    """The tensors that a library's network was filled with, and what it gave."""
    kept = json.loads(GOLDEN.read_text())[name]
    return filled({key: torch.zeros(shape) for key, shape in kept["shapes"].items()}), torch.tensor(kept["output"])


def standardised(samples: Tensor) -> Tensor:
    return (samples - samples.mean()) / torch.sqrt(samples.var(unbiased=False) + 1e-7)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "dinov2": (dinov2, pictures(112)), "clip": (clip, pictures(224)),
    "vad": (PublishedVad, standardised(sound(2))[None]),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_kept_is_what_the_libraries_give(name: str) -> None:
    make, given = NETWORKS[name]
    network = of_library(make())
    found = outputs(network, given)[0]
    if os.environ.get("IACA_WRITE_GOLDEN"):
        kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        shapes = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
        kept[name] = {"shapes": shapes, "output": [round(value, 6) for value in found.tolist()]}
        GOLDEN.write_text(json.dumps(kept) + "\n")
    torch.testing.assert_close(found, golden(name)[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("published", [False, True])
def test_pictures_are_seen_as_the_libraries_see_them(published: bool) -> None:
    for name, shape in (("dinov2", DINO), ("clip", CLIP)):
        state, expected = golden(name)
        ours = VisionTransformer(shape).eval()
        layout = (as_open_clip(state) if name == "clip" else as_published(state)) if published else state
        ours.load_state_dict(arranged(layout))
        torch.testing.assert_close(outputs(ours, NETWORKS[name][1])[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("published", [False, True])
def test_speech_is_judged_as_the_library_judges_it(published: bool, tmp_path: Path) -> None:
    state, (arousal, dominance, valence) = golden("vad")
    ours = loaded_speech(as_published(state) if published else state, tmp_path)
    rows = ours.encode(sound(2), torch.tensor([0.4, 1.0]).double(), run_of(ours), 1)
    expected = (2 * torch.stack([dominance, valence, arousal]) - 1).expand(2, 3)
    torch.testing.assert_close(rows[:, 32:], expected, atol=1e-5, rtol=1e-5)


# What they see and hear, and when


@pytest.mark.parametrize("name", FOUNDATION["visual"])
def test_faces_become_rows_of_the_registered_width_alone_as_in_a_batch(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(EncoderChoice(name=name), "visual", None)
    faces = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8))
    rows = outputs(network, faces)
    assert rows.shape == (3, ENCODERS["visual"][name].dim)
    torch.testing.assert_close(outputs(network, faces[1:2]), rows[1:2], atol=1e-4, rtol=1e-4)
    assert (rows[0] - rows[1]).abs().max() > 1e-3


def test_the_side_of_a_face_is_an_option_and_a_multiple_of_the_patch() -> None:
    changed = EmbeddingConfig(visual={"name": "dinov2_vits14", "changes": {"side": 112}})
    assert changed.visual[0].entry("visual").configured({"side": 112}) == PatchOptions(side=112)
    with pytest.raises(ValueError, match="multiple of 14"):
        EmbeddingConfig(visual={"name": "dinov2_vits14", "changes": {"side": 200}})


def test_a_fine_tuned_checkpoint_of_its_own_is_read_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tuned = build_network(EncoderChoice(name="dinov2_vits14"), "visual", None)
    save_file(tuned.state_dict(), tmp_path / "tuned.safetensors")
    torch.manual_seed(1)
    again = build_network(EncoderChoice(name="dinov2_vits14"), "visual", tmp_path / "tuned.safetensors")
    torch.testing.assert_close(dict(again.state_dict()), dict(tuned.state_dict()), atol=0, rtol=0)
    state, _ = golden("vad")
    speech = loaded_speech(state, tmp_path)
    torch.testing.assert_close(dict(loaded_speech(speech.state_dict(), tmp_path).state_dict()), speech.state_dict())


def test_a_file_that_lacks_or_adds_a_tensor_is_refused_by_name(tmp_path: Path) -> None:
    state, _ = golden("dinov2")
    for changed, message in (
        ({n: t for n, t in state.items() if "layer.1.attention.k_proj" not in n}, "blocks.1.qkv.* is missing"),
        (state | {"encoder.layer.0.attention.new": torch.zeros(2)}, "encoder.layer.0.attention.new is not part of it"),
    ):
        save_file(changed, tmp_path / "a.safetensors")
        with pytest.raises(InputError, match=re.escape(message).replace(r"\*", ".*")):
            load(VisionTransformer(DINO), tmp_path / "a.safetensors", arrange=arranged)


class Shifted(LargeHiddenStates):
    """A network that gives the mean of the samples that a state hears, and their deviation."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, samples: Tensor) -> Tensor:
        parts = samples.unfold(1, FIELD, STRIDE)
        return torch.stack([parts.mean(2), parts.std(2, correction=0)], 2)


def test_large_networks_hear_a_sound_of_mean_0_and_deviation_1_however_long_it_is() -> None:
    network, heard = Shifted(), sound(30)
    heard[: len(heard) // 2] *= 0.1  # standardised as a whole, not piece by piece
    times = torch.tensor([3.0, 24.0]).double()
    rows = network.encode(heard, times, run_of(network), 1)
    scaled = (heard - heard.mean()) / heard.std(correction=0)
    around = [scaled[int(t * RATE) - FIELD // 2 :][:FIELD] for t in times]
    torch.testing.assert_close(rows[:, 1], torch.stack([part.std() for part in around]), rtol=0.1, atol=0.0)
    torch.testing.assert_close(network.encode(3 * heard - 1, times, run_of(network), 1), rows, atol=1e-4, rtol=1e-3)


def test_large_networks_are_torchaudios_with_its_standardisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundles of torchaudio standardise the sound of their large networks by `layer_norm`."""
    torch.manual_seed(0)
    small = robust_wav2vec2(**SPEECH).eval()  # type: ignore[arg-type]
    network = LargeHiddenStates(LargeLayerOptions(layer=2), small, None)
    heard = sound(2)
    with torch.inference_mode():
        states, _ = small.extract_features(F.layer_norm(heard, heard.shape)[None], num_layers=2)
    centres = (torch.arange(states[1].shape[1]).double() * STRIDE + FIELD / 2) / RATE
    torch.testing.assert_close(network.encode(heard, centres, run_of(network), 1), states[1][0], atol=1e-5, rtol=1e-4)


def test_a_judgement_is_of_the_states_around_its_step_across_pieces_and_blocks(tmp_path: Path) -> None:
    state, _ = golden("vad")
    ours = loaded_speech(state, tmp_path, pool_s=1.0)
    heard, times = sound(25), torch.arange(0, 25, 0.04).double()  # 3 pieces of sound, 2 blocks of steps
    rows = ours.encode(heard, times, run_of(ours), 1)
    scaled = (heard - heard.double().mean().float()) / heard.std(correction=0)
    with torch.inference_mode():
        states = torch.cat([ours(piece[None])[0, first:last] for piece, first, last in pieces(scaled)])
        for step in (0, 2, 250, 499, 500, 624):
            place = max(round((float(times[step]) * RATE - FIELD / 2) / STRIDE), 0)
            expected = ours.judged(states[max(place - 25, 0) : place + 26].mean(0, keepdim=True))
            torch.testing.assert_close(rows[step : step + 1, 32:], expected, atol=1e-3, rtol=1e-3)
    assert (rows[100, 32:] - rows[500, 32:]).abs().max() > 2e-3


@pytest.mark.parametrize("name", ["wavlm_base_plus", "hubert_base"])
def test_published_files_have_the_former_names_of_weight_normalisation(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(EncoderChoice(name=name), "audio", None)
    state = as_published({key: tensor.half() for key, tensor in network.network.state_dict().items()})
    assert any(key.endswith("pos_conv_embed.conv.weight_g") for key in state)
    save_file(state, tmp_path / "published.safetensors")
    again = build_network(EncoderChoice(name=name), "audio", tmp_path / "published.safetensors")
    key = "encoder.transformer.pos_conv_embed.conv.parametrizations.weight.original1"
    assert read_tensors(tmp_path / "published.safetensors").keys() == state.keys()
    torch.testing.assert_close(again.network.state_dict()[key].half(), network.network.state_dict()[key].half())


@pytest.mark.parametrize("name", ["wavlm_base_plus", "wav2vec2_vad"])
def test_the_last_layers_of_a_transformer_over_sound_are_those_nearest_to_its_rows(name: str, tmp_path: Path) -> None:
    if name == "wav2vec2_vad":
        network = loaded_speech(golden("vad")[0], tmp_path)
        last = {"network.encoder.transformer.layers.1", "network.encoder.transformer.layer_norm", "dense", "out_proj"}
    else:
        network = build_network(EncoderChoice(name=name, changes={"layer": 7}), "audio", None)
        last = {"network.encoder.transformer.layers.6"}
    names = {part: key for key, part in network.named_modules()}
    assert {names[part] for part in network.last_layers(1)} == last


def test_training_windows_are_heard_as_the_network_hears_sounds(tmp_path: Path) -> None:
    ours = loaded_speech(golden("vad")[0], tmp_path)
    heard, times = sound(3), torch.tensor([1.5]).double()
    windows = ours.windows(heard, times, 1.0)
    with torch.inference_mode():
        rows = ours.rows(windows[0][None])
        part = heard[int(1.5 * RATE) - windows.length // 2 :][: windows.length]
        middle = torch.tensor([windows.length / 2 / RATE]).double()
        expected = ours.encode(part, middle, run_of(ours), 1)
    torch.testing.assert_close(rows, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("kind", "parameters", "relative"), [(WavLMLarge, 315.45e6, True), (HubertLarge, 315.44e6, False)]
)
def test_the_large_speech_networks_are_those_that_were_published(
    kind: type[WavLMLarge] | type[HubertLarge], parameters: int, relative: bool
) -> None:
    """24 layers of 1024 features; WavLM's attention has relative positions, HuBERT's has not."""
    with torch.device("meta"):  # a gigabyte of weights otherwise
        encoder = kind(LargeLayerOptions(layer=9), None)
    names = [name for name, _ in encoder.network.named_parameters()]
    assert sum(weights.numel() for weights in encoder.network.parameters()) == pytest.approx(parameters, rel=1e-4)
    assert len(encoder.network.encoder.transformer.layers) == 24
    assert encoder.network.encoder.transformer.layers[0].final_layer_norm.normalized_shape == (1024,)
    assert any("rel_attn" in name for name in names) == relative
    assert encoder.layer == 9
    assert not encoder.training


def test_the_network_for_emotion_in_speech_is_the_one_that_was_published() -> None:
    """The sizes in `config.json` of audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim, counted by hand."""
    width, inner, channels = 1024, 4096, 512
    extractor = sum(channels * into * kernel + 3 * channels
                    for into, kernel in zip((1, *[channels] * 6), (10, 3, 3, 3, 3, 2, 2), strict=True))  # fmt: skip
    projection, positions = 2 * channels + (channels + 1) * width, 128 + 128 * width * width // 16 + width
    layer = 4 * (width + 1) * width + 2 * inner * width + inner + width + 2 * 2 * width
    head = (width + 1) * width + (width + 1) * 3
    with torch.device("meta"):
        encoder = EmotionalSpeech(PooledOptions(), None)
    found = sum(weights.numel() for weights in encoder.parameters())
    assert found == extractor + projection + positions + 12 * layer + 2 * width + head
    layers = encoder.network.encoder.transformer.layers
    assert {(one.attention.num_heads, one.final_layer_norm.normalized_shape) for one in layers} == {(16, (width,))}
    assert len(layers) == 12
