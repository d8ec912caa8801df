"""What an encoder is fed: its values per channel, its axes, and the order of its frames. Weights are random where none
can be had."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import skimage.data
import torch
from torch import Tensor, nn

from iaca.audio.features import VGGISH, LogMel
from iaca.encoders.config import EmbeddingConfig, EncoderChoice
from iaca.encoders.cues import FaceCues
from iaca.encoders.embed import encode_faces
from iaca.encoders.networks import Network, VisualEncoder, build_encoders, build_network
from iaca.encoders.visual import resize
from iaca.faces import align, encode_face

LANDMARKS = np.array([[205.0, 101.7], [246.8, 103.7], [224.7, 129.0], [201.7, 139.2], [245.3, 141.9]])
COLOUR = (200, 100, 50)
RATE = 16_000
LOGITS = [-2.1161, -5.3549, -2.7801, 9.0533, -4.3571, 1.7854, 2.2790]
FEATURES = [0.4994, 0.2313, 0.1590, 0.2908, 0.2513, 0.0474, 0.0162, -0.2708]  # every 16th


def seen_by(part: nn.Module) -> list[Tensor]:
    """All inputs that a part of a network gets from now on."""
    inputs: list[Tensor] = []
    part.register_forward_pre_hook(lambda _, given: inputs.append(given[0].detach().clone()))
    return inputs


def test_the_default_encoder_gives_its_known_row_on_a_known_face() -> None:
    face = align(skimage.data.astronaut(), LANDMARKS)
    row = build_encoders(EmbeddingConfig(device="cpu"))[0].encode(face[None])[0]
    np.testing.assert_allclose(row[128:], LOGITS, atol=2e-3)
    np.testing.assert_allclose(row[:128:16], FEATURES, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", [(200 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (50 / 255 - 0.406) / 0.225]),
        ("efficientnet_b0", [(200 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (50 / 255 - 0.406) / 0.225]),
        ("enet_b0_8_va_mtl", [(200 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (50 / 255 - 0.406) / 0.225]),
        ("resnet50_affectnet", [50 - 91.4953, 100 - 103.8827, 200 - 131.0912]),  # BGR
        (
            "r2plus1d_18",
            [(200 / 255 - 0.43216) / 0.22803, (100 / 255 - 0.394666) / 0.22145, (50 / 255 - 0.37645) / 0.216989],
        ),
        ("mini_xception", [(0.299 * 200 + 0.587 * 100 + 0.114 * 50) / 127.5 - 1]),  # grey
    ],
)
def test_a_face_of_one_colour_reaches_the_network_as_the_published_values(name: str, expected: list[float]) -> None:
    network = build_network(EncoderChoice(name=name), "visual", None)
    faces = torch.tensor(COLOUR, dtype=torch.uint8).expand(1, 112, 112, 3)
    first = next(part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Conv3d | nn.ZeroPad2d))
    inputs = seen_by(first)
    with torch.inference_mode():
        network(faces[:, None].expand(-1, 8, -1, -1, -1) if name == "r2plus1d_18" else faces)
    pixels = inputs[0].transpose(0, 1).flatten(1)  # channels, all pixels
    torch.testing.assert_close(pixels.amin(1), torch.tensor(expected), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(pixels.amax(1), torch.tensor(expected), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "mini_xception", "resnet50_affectnet"])
def test_a_face_is_neither_turned_nor_mirrored(name: str) -> None:
    network = build_network(EncoderChoice(name=name), "visual", None)
    face = torch.zeros(1, 112, 112, 3, dtype=torch.uint8)
    face[:, :28, 84:] = 255  # top right
    first = next(part for part in network.modules() if isinstance(part, nn.Conv2d | nn.ZeroPad2d))
    inputs = seen_by(first)
    with torch.inference_mode():
        network(face)
    side = inputs[0].shape[-1]
    row, column = divmod(int(inputs[0][0].mean(0).argmax()), side)
    assert row < side / 4
    assert column >= side * 3 / 4


def test_a_picture_that_shrinks_is_averaged() -> None:
    stripes = torch.zeros(1, 112, 112, 3, dtype=torch.uint8)
    stripes[:, :, ::4] = 200  # between them lie the centres of the smaller pixels
    inner = resize(stripes, 28)[..., 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, 50.0), atol=3.0, rtol=0)
    assert torch.equal(resize(stripes, 112), stripes.permute(0, 3, 1, 2).float())


@pytest.mark.parametrize(
    ("name", "last", "width"), [("resnet50_affectnet", "fc2", 512), ("enet_b0_8_va_mtl", "backbone.classifier", 1280)]
)
def test_a_row_is_the_features_and_then_what_the_last_layer_makes_of_them(name: str, last: str, width: int) -> None:
    network = build_network(EncoderChoice(name=name), "visual", None)
    inputs = seen_by(layer := network.get_submodule(last))
    face = torch.randint(0, 255, (1, 112, 112, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    with torch.inference_mode():
        row = network(face)
        torch.testing.assert_close(row[:, :width], inputs[0])
        torch.testing.assert_close(row[:, width:], layer(inputs[0]))
    if name == "resnet50_affectnet":
        assert row[:, :width].min() == 0  # rectified


def test_a_clip_encoder_sees_its_frames_in_order() -> None:
    choice = EncoderChoice(name="r2plus1d_18", changes={"side": 32, "frames": 4, "dilation": 2})
    module = build_network(choice, "visual", None)
    inputs = seen_by(module.backbone)
    encoder = VisualEncoder([Network(module, torch.device("cpu"), torch.float32, 512, 4, (-3, -1, 1, 3))])
    levels = 20 + 15 * np.arange(13)
    jpegs = [encode_face(np.full((32, 32, 3), level, np.uint8), 95) for level in levels]
    with ThreadPoolExecutor(2) as pool:
        encode_faces(
            jpegs, np.ones(13, bool), encoder, pool, FaceCues(pd.DataFrame({"score": np.ones(13, np.float32)}))
        )
    volumes = torch.cat(inputs)  # step 3 frame side side
    seen = 255 * (0.22803 * volumes[:, 0].mean((2, 3)) + 0.43216).numpy()
    for step in range(3, 10):
        np.testing.assert_allclose(seen[step], levels[step + np.array([-3, -1, 1, 3])], atol=2)


def test_vggish_gives_what_its_plain_forward_gives() -> None:
    """As torchvggish writes it: axes swapped twice, then flattened in rows of time, band and channel."""
    network = build_network(EncoderChoice(name="vggish"), "audio", None)
    sound = torch.randn(2 * RATE, generator=torch.Generator().manual_seed(0)) / 10
    moment = torch.tensor([(95 * 160 + 400) / 2 / RATE], dtype=torch.float64)  # the middle of the first 96 frames
    with torch.inference_mode():
        row = network.encode(sound, moment, network, 8)
        maps = network.features(LogMel(VGGISH)(sound)[:96][None, None])
        flat = maps.transpose(1, 3).transpose(1, 2).contiguous().view(1, -1)
        expected = network.embeddings(flat)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-4)


def test_ge2e_is_the_last_output_of_its_last_layer() -> None:
    network = build_network(EncoderChoice(name="ge2e"), "audio", None)
    windows = torch.rand(3, 160, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        outputs, _ = network.lstm(windows)  # of the last layer
        expected = nn.functional.normalize(network.linear(outputs[:, -1]).relu(), dim=1)
        torch.testing.assert_close(network(windows), expected)


def test_the_window_of_the_log_mel_network_is_bands_by_time_with_mean_0_and_deviation_1() -> None:
    network = build_network(EncoderChoice(name="logmel_resnet18"), "audio", None)
    inputs = seen_by(network.backbone)
    clock = torch.arange(3 * RATE) / RATE
    tone = 0.1 * torch.sin(2 * torch.pi * 3000 * clock)
    tone[int(1.7 * RATE) :] = 0  # it stops 0.2 s after the step
    with torch.inference_mode():
        network.encode(tone, torch.tensor([1.5], dtype=torch.float64), network, 8)
        network.encode(torch.zeros(3 * RATE), torch.tensor([1.5], dtype=torch.float64), network, 8)
    picture, silent = (given[0, 0] for given in inputs)
    assert picture.shape == (64, 107)
    assert picture.mean().item() == pytest.approx(0, abs=1e-4)
    assert picture.std().item() == pytest.approx(1, abs=1e-4)
    loudest = picture[:, :50].mean(1).argmax().item()
    assert loudest == pytest.approx(65 * np.log1p(3000 / 700) / np.log1p(8000 / 700) - 1, abs=1)  # equal steps in mel
    bright = np.flatnonzero(picture[loudest] > picture[loudest].mean())
    assert bright[0] == 0
    assert bright[-1] == pytest.approx(53 + 20, abs=2)
    assert not silent.any()
