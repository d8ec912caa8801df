"""Visual encoders: their layouts, what they see, and when. Weights are random where none can be had."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skimage.data
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from iaca.encoders import ClipEmbedding
from iaca.encoders.checkpoint import read_tensors
from iaca.encoders.config import ENCODERS, ClipOptions, EmbeddingConfig, EncoderChoice
from iaca.encoders.embed import embed
from iaca.encoders.networks import build_encoders, build_network, nearest_faces
from iaca.encoders.visual import AFFECTNET_NAMES as PUBLISHED
from iaca.encoders.visual import PaddedConv2d, torchvision_name
from iaca.errors import InputError
from iaca.faces import encode_face
from iaca.media import AudioTrack

SILENCE = AudioTrack(np.zeros(0, np.float32), 16_000, ())
LEARNED = [name for name, facts in ENCODERS["visual"].items() if name != "mini_xception" and not facts.runtime]
OWN_HEADS = ("resnet50_affectnet", "enet_b0_8_va_mtl", "enet_b0_8_best_vgaf", "mbf_va_mtl", "mobilevit_va_mtl")
"""Their outputs are part of the rows."""
STAGES = {0: 1, 1: 2, 2: 2, 3: 3, 4: 3, 5: 4, 6: 1}  # blocks of EfficientNet-B0


def published_names(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a network under the names of its published file."""
    if name.startswith("enet_b0_8"):
        ours = {torchvision_name(theirs): theirs for theirs in timm_names()}
        return {ours[key]: value for key, value in tensors.items()}
    if name == "resnet50_affectnet":
        for mine, theirs in (("backbone.", ""), *((ours, published) for published, ours in PUBLISHED)):
            tensors = {key.replace(mine, theirs, 1): value for key, value in tensors.items()}
    return tensors


def timm_names() -> list[str]:
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["conv_stem.weight", "conv_head.weight", "classifier.0.weight", "classifier.0.bias"]
    names += [f"{bn}.{field}" for bn in ("bn1", "bn2") for field in norm]
    for stage, blocks in STAGES.items():
        convolutions = ("conv_dw", "conv_pw") if stage == 0 else ("conv_pw", "conv_dw", "conv_pwl")
        for block in (f"blocks.{stage}.{i}" for i in range(blocks)):
            names += [f"{block}.{conv}.weight" for conv in convolutions]
            names += [f"{block}.bn{i + 1}.{field}" for i in range(len(convolutions)) for field in norm]
            names += [f"{block}.se.{conv}.{x}" for conv in ("conv_reduce", "conv_expand") for x in ("weight", "bias")]
    return names


def embedded(table: pd.DataFrame, audio: AudioTrack, config: EmbeddingConfig) -> ClipEmbedding:
    return embed(table, table["jpeg"].to_list(), audio, config)


def shaken(network: nn.Module) -> nn.Module:
    """Random statistics in its batch normalisations, so that loading them matters."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.8, 1.2)
    return network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files of random weights, each in the published layout of its encoder, made once."""
    folder = tmp_path_factory.mktemp("weights")

    def make(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            torch.manual_seed(0)
            network = shaken(build_network(EncoderChoice(name=name), "visual", None))
            inner = network if name == "resnet50_affectnet" else network.backbone
            state = inner.state_dict()
            if name not in OWN_HEADS:
                head = "classifier.1" if "efficient" in name else "fc"
                state |= {f"{head}.weight": torch.zeros(3, 4), f"{head}.bias": torch.zeros(3)}  # of another task
            save_file(published_names(name, state), path)
        return path

    return make


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    """Eight crops of a portrait, 112 px."""
    picture = skimage.data.astronaut()
    return np.stack([picture[40 + 4 * i : 152 + 4 * i, 170 + 3 * i : 282 + 3 * i] for i in range(8)])


def table_of(faces: np.ndarray, found: np.ndarray | None = None) -> pd.DataFrame:
    found = np.ones(len(faces), bool) if found is None else found
    jpegs = [encode_face(face, 92) if there else b"" for face, there in zip(faces, found, strict=True)]
    return pd.DataFrame(
        {"time_s": np.arange(len(faces)) / 25, "face_found": found, "score": np.float32(0.9), "jpeg": jpegs}
    )


@pytest.mark.parametrize("name", LEARNED)
def test_weights_in_the_published_layout_are_loaded_and_dims_are_as_registered(
    name: str, checkpoint: Callable[[str], Path], faces: np.ndarray
) -> None:
    path = checkpoint(name)
    loaded = build_network(EncoderChoice(name=name), "visual", path)
    seen = torch.from_numpy(faces[:2])
    seen = seen[:, None].expand(-1, 8, -1, -1, -1) if name == "r2plus1d_18" else seen
    with torch.inference_mode():
        rows = loaded(seen)
    assert rows.shape == (2, ENCODERS["visual"][name].dim)
    assert not torch.equal(rows[0], rows[1])
    stored = read_tensors(path)
    means = [value for key, value in stored.items() if key.endswith("running_mean")]
    mine = [
        part.running_mean
        for part in loaded.modules()
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
    ]
    assert sorted(float(m.sum()) for m in means) == sorted(float(m.sum()) for m in mine)


@pytest.mark.parametrize("name", ["mini_xception", "resnet18", "efficientnet_b0"])
def test_a_row_is_the_same_alone_and_in_any_batch(
    name: str, checkpoint: Callable[[str], Path], faces: np.ndarray
) -> None:
    weights = None if name == "mini_xception" else str(checkpoint(name))
    encoder, _ = build_encoders(EmbeddingConfig(visual={"name": name, "weights": weights}, device="cpu"))
    whole = encoder.encode(faces)
    alone = np.concatenate([encoder.encode(face[None]) for face in faces])
    parts = np.concatenate([encoder.encode(some) for some in np.split(faces, [3])])
    np.testing.assert_allclose(alone, whole, atol=1e-5)
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_several_encoders_stand_side_by_side(checkpoint: Callable[[str], Path], faces: np.ndarray) -> None:
    both = ["mini_xception", {"name": "resnet18", "weights": str(checkpoint("resnet18"))}]
    clip = embedded(table_of(faces), SILENCE, EmbeddingConfig(visual=both, device="cpu"))
    assert clip.visual.shape == (8, 135 + 512)
    assert clip.metadata["visual_encoder"] == "mini_xception+resnet18"
    for choice, columns in zip(both, (slice(0, 135), slice(135, None)), strict=True):
        one = embedded(table_of(faces), SILENCE, EmbeddingConfig(visual=choice, device="cpu"))
        np.testing.assert_array_equal(one.visual, clip.visual[:, columns])


def test_step_i_is_of_frame_i_with_gaps_and_in_any_batch(faces: np.ndarray) -> None:
    found = np.array([True, True, False, True, True, True, False, True])
    clips = [embedded(table_of(faces, found), SILENCE, EmbeddingConfig(batch=size)) for size in (2, 3, 64)]
    encoder, _ = build_encoders(EmbeddingConfig())
    decoded = embedded(table_of(faces), SILENCE, EmbeddingConfig()).visual
    for clip in clips:
        np.testing.assert_allclose(clip.visual[found], decoded[found], atol=1e-5)
        assert not clip.visual[~found].any()
        np.testing.assert_array_equal(clip.quality, clips[0].quality)
    assert encoder.batch <= 64


def test_a_clip_is_centred_on_its_step_and_reaches_fourteen_frames() -> None:
    assert ClipOptions().offsets == (-14, -10, -6, -2, 2, 6, 10, 14)
    everywhere = np.arange(100)
    np.testing.assert_array_equal(
        nearest_faces(everywhere, np.array([50, 51]), ClipOptions().offsets)[1], 51 + np.array(ClipOptions().offsets)
    )


def test_gaps_take_the_nearest_face_of_the_clip_and_none_from_outside() -> None:
    with_face = np.array([4, 5, 20, 30, 31])
    near = nearest_faces(with_face, np.array([5, 20]), (-2, 0, 2, 6))
    np.testing.assert_array_equal(near[0], [4, 5, 5, 5])  # 20 is outside of 5 +- 6
    np.testing.assert_array_equal(near[1], [20, 20, 20, 20])
    wide = nearest_faces(with_face, np.array([20]), (-16, -8, 6, 10))
    np.testing.assert_array_equal(wide[0], [4, 5, 30, 30])  # 12 lies between 5 and 20: the nearer, 5
    tie = nearest_faces(np.array([0, 4, 8]), np.array([4]), (-2, 2))
    np.testing.assert_array_equal(tie[0], [4, 4])
    between = nearest_faces(np.array([0, 2, 6]), np.array([0]), (4, 6))
    np.testing.assert_array_equal(between[0], [2, 6])  # 4 is as far from 2 as from 6: the earlier


def test_a_clip_encoder_moves_with_its_faces_and_ignores_what_is_out_of_reach(
    checkpoint: Callable[[str], Path], faces: np.ndarray
) -> None:
    choice = {
        "name": "r2plus1d_18", "weights": str(checkpoint("r2plus1d_18")),
        "changes": {"side": 32, "frames": 3, "dilation": 2},
    }  # fmt: skip
    config = EmbeddingConfig(visual=choice, device="cpu", batch=4)
    long = np.concatenate([faces, faces[4:]])
    rows, later = (embedded(table_of(some), SILENCE, config).visual for some in (long, long[3:]))
    np.testing.assert_allclose(later[2:], rows[5:], atol=1e-5)
    assert not np.allclose(later[0], rows[3], atol=1e-5)  # its clip began before the cut
    changed = long.copy()
    changed[6] = 0
    touched = np.abs(embedded(table_of(changed), SILENCE, config).visual - rows).max(1) > 1e-5
    np.testing.assert_array_equal(np.flatnonzero(touched), [4, 6, 8])


def test_bfloat16_stays_near_float32_in_a_residual_network(
    checkpoint: Callable[[str], Path], faces: np.ndarray
) -> None:
    choice = {"name": "resnet18", "weights": str(checkpoint("resnet18")), "changes": {"side": 64}}
    exact, fast = (
        build_encoders(EmbeddingConfig(visual=choice, device="cpu", precision=p))[0].encode(faces[:2])
        for p in ("float32", "bfloat16")
    )
    assert np.linalg.norm(fast - exact) < 0.02 * np.linalg.norm(exact)
    with pytest.raises(InputError, match="float16 needs a GPU"):
        build_encoders(EmbeddingConfig(device="cpu", precision="float16"))


def test_names_of_timm_are_those_of_torchvision() -> None:
    state = build_network(EncoderChoice(name="enet_b0_8_va_mtl"), "visual", None).backbone.state_dict()
    assert {torchvision_name(name) for name in timm_names()} == set(state)


@pytest.mark.parametrize("kernel", [3, 5])
def test_strided_convolutions_are_padded_as_in_tensorflow(kernel: int) -> None:
    convolution = PaddedConv2d(1, 1, kernel, stride=2, bias=False)
    picture = torch.randn(1, 1, 8, 8)
    total = kernel - 2  # of 8 px to 4, windows 2 apart
    padded = nn.functional.pad(picture, (total // 2, total - total // 2) * 2)
    torch.testing.assert_close(convolution(picture), nn.functional.conv2d(padded, convolution.weight, stride=2))


@pytest.mark.parametrize("name", ["resnet50_affectnet", "enet_b0_8_va_mtl", "mini_xception"])
def test_networks_trained_in_keras_or_tensorflow_normalise_with_its_epsilon(name: str) -> None:
    network = build_network(EncoderChoice(name=name), "visual", None)
    assert {part.eps for part in network.modules() if isinstance(part, nn.BatchNorm2d)} == {1e-3}


def test_a_checkpoint_of_another_network_is_named(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"resnet18\.safetensors: these weights do not fit the network: .* is missing"):
        build_network(EncoderChoice(name="resnet50"), "visual", checkpoint("resnet18"))
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(checkpoint("resnet18").read_bytes()[:1000])
    with pytest.raises(InputError, match=r"torn\.safetensors: not a checkpoint of tensors"):
        build_network(EncoderChoice(name="resnet18"), "visual", torn)


def test_a_pickled_model_is_never_loaded_and_a_wrapped_state_dict_is(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    network = build_network(EncoderChoice(name="resnet18"), "visual", checkpoint("resnet18"))
    torch.save(network, tmp_path / "whole.pt")
    with pytest.raises(InputError, match="whole pickled models are never loaded"):
        build_network(EncoderChoice(name="resnet18"), "visual", tmp_path / "whole.pt")
    wrapped = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in network.backbone.state_dict().items()}}
    torch.save(wrapped, tmp_path / "wrapped.pt")
    again = build_network(EncoderChoice(name="resnet18"), "visual", tmp_path / "wrapped.pt")
    assert torch.equal(again.backbone.conv1.weight, network.backbone.conv1.weight)
