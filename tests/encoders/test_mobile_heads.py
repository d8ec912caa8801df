"""The mobile networks of EmotiEffLib: equal to the networks they were exported from, read from files of their layout.

The published files were not at hand. What is known of them: widths of their features, and the number of values in them.
"""

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from iaca.encoders.checkpoint import _in_order
from iaca.encoders.config import ENCODERS, NoOptions
from iaca.encoders.visual import EmotiEffMobile, EmotiEffMobileFace, EmotiEffMobileVit
from iaca.errors import InputError

GOLDEN = Path(__file__).parent / "golden/mobile_heads.json"
"""Outputs of the networks of timm (MobileViTv2) and of EmotiEffLib's own code (MobileFaceNet), filled by `fill`."""
ENCODER = {"mbf_va_mtl": EmotiEffMobileFace, "mobilevit_va_mtl": EmotiEffMobileVit}
SIDE, VALUES = {"mbf_va_mtl": 112, "mobilevit_va_mtl": 224}, {"mbf_va_mtl": 2_054_282, "mobilevit_va_mtl": 9_821_779}


def pictures(side: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(3).standard_normal((2, 3, side, side))).float()


def fill(network: nn.Module, side: int) -> nn.Module:
    """Give the layers the same tensors in the order in which they compute, whatever they are called."""
    network.eval()
    for number, (_, module) in enumerate(_in_order(network, torch.zeros(1, 3, side, side))):
        random = np.random.default_rng(number)
        for name, tensor in sorted(module.state_dict().items()):
            if tensor.is_floating_point():
                size = 0.7 / np.sqrt(max(tensor[0].numel(), 1)) if tensor.ndim > 1 else 0.2
                around = 1.0 if name in ("running_var", "weight") and tensor.ndim == 1 else 0.0
                drawn = around + size * random.standard_normal(tuple(tensor.shape)).clip(-2, 2)
                tensor.copy_(torch.from_numpy(drawn))
    return network


def timm_vit() -> nn.Module:
    timm = pytest.importorskip("timm")
    network: nn.Module = timm.create_model("mobilevitv2_150", num_classes=10)
    return network


def export(network: nn.Module, side: int, path: Path) -> Path:
    """As the publisher exports: opset 11, constants folded, any batch."""
    axes = {"input": {0: "batch_size"}, "output": {0: "batch_size"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (torch.randn(1, 3, side, side),), str(path), dynamo=False, opset_version=11,
            do_constant_folding=True, input_names=["input"], output_names=["output"], dynamic_axes=axes,
        )  # fmt: skip
    return path


@pytest.mark.parametrize("name", ENCODER)
def test_the_network_is_the_published_one(name: str) -> None:
    """Outputs of the published code for the same tensors."""
    ours = fill(ENCODER[name](NoOptions(), None).backbone, SIDE[name])
    with torch.inference_mode():
        found = ours(pictures(SIDE[name]))
    expected = torch.tensor(json.loads(GOLDEN.read_text())[name])
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_mobilevit_is_equal_to_timm() -> None:
    theirs = fill(timm_vit(), 224)
    with torch.inference_mode():
        found = theirs(pictures(224))
    if os.environ.get("IACA_WRITE_GOLDEN"):
        kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        GOLDEN.write_text(json.dumps(kept | {"mobilevit_va_mtl": found.tolist()}) + "\n")
    torch.testing.assert_close(torch.tensor(json.loads(GOLDEN.read_text())["mobilevit_va_mtl"]), found)


@pytest.mark.parametrize("name", ENCODER)
def test_an_exported_file_has_as_many_values_as_the_published_one_and_is_read_back(name: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    network = ENCODER[name](NoOptions(), None)
    fill(network.backbone, SIDE[name])
    path = export(network.backbone, SIDE[name], tmp_path / f"{name}.onnx")
    graph = onnx.load(path).graph
    assert sum(int(np.prod(tensor.dims)) for tensor in graph.initializer) == VALUES[name]
    check_same(network, ENCODER[name](NoOptions(), path))


def check_same(network: EmotiEffMobile, again: EmotiEffMobile) -> None:
    faces = torch.randint(0, 256, (2, 112, 112, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        rows, expected = again(faces), network(faces)
        outputs = network.backbone[1](expected[:, :-10])
    assert rows.shape == (2, network.backbone[1].in_features + 10)
    torch.testing.assert_close(rows, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(rows[:, -10:], outputs, atol=1e-5, rtol=1e-4)


def test_an_export_of_timms_network_is_read(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    path = export(fill(timm_vit(), 224), 224, tmp_path / "timm.onnx")
    expected = EmotiEffMobileVit(NoOptions(), None)
    fill(expected.backbone, 224)
    check_same(expected, EmotiEffMobileVit(NoOptions(), path))


def test_a_file_of_the_other_network_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    path = export(EmotiEffMobileFace(NoOptions(), None).backbone, 112, tmp_path / "a.onnx")
    with pytest.raises(InputError, match=r"a\.onnx: not the weights of this network"):
        EmotiEffMobileVit(NoOptions(), path)


@pytest.mark.parametrize("name", ENCODER)
def test_dims_are_as_registered(name: str) -> None:
    make: Callable[..., EmotiEffMobile] = ENCODER[name]
    with torch.inference_mode():
        rows = make(NoOptions(), None)(torch.zeros(1, 112, 112, 3, dtype=torch.uint8))
    assert rows.shape == (1, ENCODERS["visual"][name].dim)
