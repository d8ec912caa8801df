"""What was made fast says the same as what is written plainly."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from fusion_models import SMALL, every_combination, some_inputs, some_model
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.testing import assert_close

from iaca.fusion import FusionConfig, FusionModel
from iaca.fusion.dropout import ChannelDropout, ElementDropout
from iaca.fusion.joint import FixedJointLayer
from iaca.fusion.masks import Masks
from iaca.fusion.products import half_tanh_
from iaca.fusion.selfattention import attend
from iaca.fusion.temporal import BidirectionalLSTM, TemporalConvolution

_PLAIN = Path(__file__).parents[2] / "benchmarks" / "literal_fusion.py"
_SPEC = importlib.util.spec_from_file_location("literal_fusion", _PLAIN)
plainly = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(plainly)

FIXED = FusionConfig(**SMALL, attention="jca_fixed", gate="dca", temporal="lstm", length=9)


@every_combination
def test_predictions_are_those_of_the_equations_written_plainly(config: FusionConfig) -> None:
    model, inputs = some_model(config), some_inputs()
    expected = plainly.literal(model, inputs.audio, inputs.visual)
    assert_close(model(inputs.audio, inputs.visual).prediction, expected, atol=1e-5, rtol=0)
    with torch.inference_mode():
        assert_close(model(inputs.audio, inputs.visual).prediction, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("temporal", ["tcn", "lstm", "transformer"])
@pytest.mark.parametrize("attention", ["none", "ca", "jca", "jca_fixed", "rjca", "mha", "lfan"])
def test_gradients_are_those_of_the_equations_written_plainly(temporal: str, attention: str) -> None:
    length = 9 if attention == "jca_fixed" else None
    config = FusionConfig(**SMALL, temporal=temporal, attention=attention, length=length, dropout=0.0)
    model, inputs = some_model(config).train(), some_inputs()
    goal = torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(2))

    def gradients(prediction: Tensor) -> dict[str, Tensor]:
        model.zero_grad(set_to_none=True)
        (prediction * goal).sum().backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    fast = gradients(model(inputs.audio, inputs.visual).prediction)
    plain = gradients(plainly.literal(model, inputs.audio, inputs.visual))
    assert fast.keys() >= plain.keys()
    for name, gradient in fast.items():  # nothing is absent, so that the absent tokens have no part in the plain form
        assert_close(gradient, plain.get(name, torch.zeros_like(gradient)), atol=1e-5, rtol=1e-4)


def test_at_the_size_of_the_benchmark_outputs_differ_by_less_than_1e_5() -> None:
    torch.manual_seed(0)
    config = FusionConfig(**{**vars(FIXED), "audio_dim": 64, "visual_dim": 64, "width": 256, "length": 120})
    model, x = FusionModel(config).eval(), torch.randn(2, 2, 120, 64)
    with torch.inference_mode():
        assert_close(model(*x).prediction, plainly.literal(model, *x), atol=1e-5, rtol=0)


def _packed(block: BidirectionalLSTM, x: Tensor, steps: Tensor) -> Tensor:
    """The same with packed sequences, whose real steps were brought to the front."""
    order = (~steps).long().argsort(dim=1, stable=True)[..., None].expand_as(x)
    lengths = steps.sum(dim=1).clamp(min=1)
    packed = pack_padded_sequence(x.gather(1, order), lengths, batch_first=True, enforce_sorted=False)
    hidden, _ = pad_packed_sequence(block.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
    return x + torch.zeros_like(x).scatter(1, order, hidden)


@pytest.mark.parametrize(
    "lengths", [[9, 9, 9, 9], [9, 1, 5, 8], [3, 9, 0, 2]], ids=["full", "padding in the middle of the batch", "empty"]
)
@pytest.mark.parametrize("gaps", [False, True])
def test_the_lstm_reads_as_over_packed_sequences(lengths: list[int], gaps: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    block = BidirectionalLSTM(FusionConfig(**SMALL)).eval()
    x = torch.randn(4, 9, SMALL["width"], generator=rng, requires_grad=True)
    steps = torch.arange(9)[None] < torch.tensor(lengths)[:, None]
    if gaps:
        steps &= torch.rand(4, 9, generator=rng) > 0.4
    masks = Masks.build(x, None, None, steps)
    fast, packed = block(x, masks.audio, masks), _packed(block, x, steps)
    assert_close(fast[steps], packed[steps], atol=1e-6, rtol=0)
    goal = torch.randn(x.shape, generator=rng) * steps[..., None]
    parameters = [x, *block.parameters()]
    for one, other in zip(
        torch.autograd.grad((fast * goal).sum(), parameters),
        torch.autograd.grad((packed * goal).sum(), parameters),
        strict=True,
    ):
        assert_close(one, other, atol=1e-5, rtol=0)


def test_the_tcn_convolves_as_torch_does_whatever_the_dilation() -> None:
    config = FusionConfig(**{**SMALL, "temporal_layers": 4, "kernel": 5})
    block, x = TemporalConvolution(config).eval(), torch.randn(2, 21, SMALL["width"])
    masks, expected = Masks.build(x, None, None, None), x
    for norm, convolution in zip(block.norms, block.convolutions, strict=True):
        expected = expected + convolution(norm(expected).transpose(1, 2)).relu().transpose(1, 2)
    assert_close(block(x, masks.audio, masks), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("learned", [False, True], ids=["given bias", "learned bias"])
def test_attention_is_the_same_with_and_without_a_gradient(heads: int, learned: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 7, 8, generator=rng)
    masks = Masks.build(query, torch.rand(2, 7, generator=rng) > 0.5, None, torch.arange(7) < torch.tensor([[7], [4]]))
    bias = masks.key_bias(masks.audio).requires_grad_(learned)
    with torch.no_grad():
        fused = attend(query, key, value, bias, heads)
    assert_close(attend(query, key, value, bias, heads), fused, atol=1e-6, rtol=0)


def test_half_tanh_is_half_the_tanh_of_half() -> None:
    z = torch.linspace(-30, 30, 4001)
    assert_close(half_tanh_(z.clone()), torch.tanh(z / 2) / 2, atol=2e-7, rtol=0)
    small = torch.linspace(-0.01, 0.01, 101).bfloat16()
    assert_close(half_tanh_(small.clone()).float(), torch.tanh(small.float() / 2) / 2, atol=0, rtol=0.01)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.6])
def test_elements_are_dropped_with_the_probability_asked_for_and_independently(p: float) -> None:
    torch.manual_seed(0)
    dropout, count = ElementDropout(p).train(), 1_000_003  # not a multiple of four
    kept = dropout.drop_(torch.ones(count))
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    spread = (p * (1 - p) / count) ** 0.5
    assert abs(float(1 - kept.mean()) - p) < 4 * spread
    for lag in (1, 2, 3, 4):  # four neighbours come from one random word
        both = (kept[:-lag] * kept[lag:]).mean()
        assert abs(float(both) - (1 - p) ** 2) < 4 * spread
    assert dropout.gain == pytest.approx(1 / (1 - p))


def test_what_is_dropped_follows_the_seed() -> None:
    dropout = ElementDropout(0.5).train()
    draws = [dropout.drop_(torch.ones(64)) for seed in (1, 1, 2) if torch.manual_seed(seed)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("kind", [ChannelDropout, ElementDropout])
def test_nothing_is_dropped_in_evaluation_or_at_probability_zero(kind: type[nn.Module]) -> None:
    x, update = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    for dropout in (kind(0.5).eval(), kind(0.0).train()):
        add = dropout.residual if kind is ChannelDropout else dropout.add_dropped
        assert torch.equal(add(x, update), x + update)


def test_dropped_channels_are_dropped_at_every_step_and_the_rest_scaled() -> None:
    torch.manual_seed(0)
    dropout, x = ChannelDropout(0.25).train(), torch.zeros(4, 5, 64)
    out = dropout.residual(x, torch.ones_like(x))
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert out.unique().tolist() == pytest.approx([0.0, 4 / 3])
    torch.manual_seed(0)
    assert torch.equal(dropout(torch.ones_like(x)), out)


def test_the_fixed_layer_drops_and_scales_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout of S_m and of the update, each of what stays times 1 / (1 - p), by masks that the test gives."""
    torch.manual_seed(0)
    p, rng = 0.6, torch.Generator().manual_seed(1)
    layer = FixedJointLayer(FusionConfig(**{**SMALL, "dropout": p}, attention="jca_fixed", length=9)).train()
    given: list[Tensor] = []

    def kept(_: ElementDropout, like: Tensor) -> Tensor:
        given.append((torch.rand(like.shape, generator=rng) >= p).to(like.dtype))
        return given[-1]

    monkeypatch.setattr(ElementDropout, "_kept", kept)
    x_a, x_v = torch.randn(2, 2, 9, SMALL["width"])
    fast = layer(x_a, x_v, Masks.build(x_a, None, None, None))
    value = layer.joint(torch.cat([x_a, x_v], dim=-1))
    for x, m, out, s_kept, x_kept in zip((x_a, x_v), ("audio", "visual"), fast, given[::2], given[1::2], strict=True):
        scores = torch.tanh(layer.mix[m](x.transpose(1, 2)) @ value / value.shape[-1] ** 0.5) * s_kept / (1 - p)
        hidden = F.relu(torch.tanh(layer.query[m](x) @ scores))
        assert_close(out, x + F.relu(layer.out[m](hidden)) * x_kept / (1 - p), atol=1e-6, rtol=0)


def test_padding_and_absence_reach_the_fixed_layer_as_if_rows_were_empty() -> None:
    """K_m and Q over the observed and real steps alone."""
    torch.manual_seed(0)
    layer = FixedJointLayer(FusionConfig(**SMALL, attention="jca_fixed", length=9)).double().eval()
    x_a, x_v = torch.randn(2, 1, 9, SMALL["width"], dtype=torch.float64)
    steps, seen = torch.arange(9)[None] < 6, torch.rand(1, 9) > 0.3
    fast = layer(x_a, x_v, Masks.build(x_a, seen, None, steps))[0]
    empty_a, empty_v = x_a * (seen & steps)[..., None], x_v * steps[..., None]
    value = layer.joint(torch.cat([empty_a, empty_v], dim=-1)) * steps[..., None]
    scores = torch.tanh(layer.mix["audio"](empty_a.transpose(1, 2)) @ value / value.shape[-1] ** 0.5)
    hidden = F.relu(torch.tanh(layer.query["audio"](x_a) @ scores))
    assert_close(fast, x_a + F.relu(layer.out["audio"](hidden)), atol=1e-9, rtol=0)


@pytest.mark.parametrize("config", [FIXED, FusionConfig(**SMALL)], ids=["jca_fixed", "iaca"])
def test_training_under_bfloat16_autocast_has_finite_gradients_near_those_of_float32(config: FusionConfig) -> None:
    model, inputs = some_model(config.model_copy(update={"dropout": 0.0})).train(), some_inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = inputs.through(model).prediction.float()
    coarse.square().sum().backward()
    found = torch.cat([p.grad.flatten() for p in model.parameters()])
    model.zero_grad()
    inputs.through(model).prediction.square().sum().backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert float(F.cosine_similarity(found, expected, dim=0)) > 0.99
