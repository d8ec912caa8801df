"""Forms that are not the plainest one say the same as the plain one; and the model says what published modules say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from fusion_models import SMALL, some_inputs, some_model
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.testing import assert_close

from iaca.fusion import FusionConfig, FusionModel
from iaca.fusion.attention import ChannelDropout, FixedJointLayer, Masks, attend
from iaca.fusion.temporal import BidirectionalLSTM, TemporalConvolution, current_name

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FIXED = FusionConfig(**SMALL, attention="jca_fixed", gate="dca", temporal="lstm", length=9)


@pytest.fixture(scope="module")
def published() -> type[nn.Module]:
    """The published module, as the benchmark times it."""
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("fusion_speed", BENCHMARKS / "fusion_speed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(BENCHMARKS))
    return module.Published


def one_layer(config: FusionConfig) -> FusionConfig:
    return config.model_copy(update={"temporal_layers": 1, "dropout": 0.0})


def test_predictions_and_gradients_are_those_of_the_published_module(published: type[nn.Module]) -> None:
    model, inputs = some_model(one_layer(FIXED)).train(), some_inputs()
    other = published(model)
    goal = torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(2))
    ours, theirs = model(inputs.audio, inputs.visual).prediction, other(inputs.audio, inputs.visual)
    assert_close(ours, theirs, atol=1e-5, rtol=0)
    (ours * goal).sum().backward()
    (theirs * goal).sum().backward()
    for part, copy in ((model.attention.layers, other.layers), (model.gating.stage1.gates, other.gates)):
        for one, same in zip(part.parameters(), copy.parameters(), strict=True):
            assert_close(one.grad, same.grad, atol=1e-5, rtol=1e-4)
    for m in ("audio", "visual"):
        gradients = {name: p.grad for name, p in model.streams[m].temporal.named_parameters()}
        for name, p in other.lstm[m].named_parameters():
            assert_close(gradients[current_name(f"lstm.{name}")], p.grad, atol=1e-5, rtol=1e-4)


def test_at_the_size_of_the_benchmark_outputs_differ_by_less_than_1e_5(published: type[nn.Module]) -> None:
    torch.manual_seed(0)
    sizes = {"audio_dim": 64, "visual_dim": 64, "width": 256, "length": 120}
    model, x = FusionModel(FusionConfig(**{**vars(one_layer(FIXED)), **sizes})).eval(), torch.randn(2, 2, 120, 64)
    with torch.inference_mode():
        assert_close(model(*x).prediction, published(model).eval()(*x), atol=1e-5, rtol=0)


def packed(lstm: nn.LSTM, x: Tensor, steps: Tensor) -> Tensor:
    """The encoder with one `nn.LSTM` over packed sequences, whose real steps were brought to the front."""
    order = (~steps).long().argsort(dim=1, stable=True)[..., None].expand_as(x)
    lengths = steps.sum(dim=1).clamp(min=1)
    sequences = pack_padded_sequence(x.gather(1, order), lengths, batch_first=True, enforce_sorted=False)
    hidden, _ = pad_packed_sequence(lstm(sequences)[0], batch_first=True, total_length=x.shape[1])
    return x + torch.zeros_like(x).scatter(1, order, hidden)


@pytest.mark.parametrize(
    "lengths", [[9, 9, 9, 9], [9, 1, 5, 8], [3, 9, 0, 2]], ids=["full", "padding in the middle of the batch", "empty"]
)
@pytest.mark.parametrize("gaps", [False, True])
def test_the_lstm_reads_as_over_packed_sequences(lengths: list[int], gaps: bool) -> None:
    """Two layers, loaded from the tensors of that one `nn.LSTM`, as files of earlier versions hold them."""
    rng = torch.Generator().manual_seed(0)
    d = SMALL["width"]
    lstm = nn.LSTM(d, d // 2, SMALL["temporal_layers"], batch_first=True, bidirectional=True)
    block = BidirectionalLSTM(FusionConfig(**SMALL)).eval()
    block.load_state_dict({f"lstm.{name}": tensor for name, tensor in lstm.state_dict().items()})
    x = torch.randn(4, 9, d, generator=rng, requires_grad=True)
    steps = torch.arange(9)[None] < torch.tensor(lengths)[:, None]
    if gaps:
        steps &= torch.rand(4, 9, generator=rng) > 0.4
    masks = Masks.build(x, None, None, steps)
    found, expected = block(x, masks.audio, masks), packed(lstm, x, steps)
    assert_close(found[steps], expected[steps], atol=1e-6, rtol=0)
    goal = torch.randn(x.shape, generator=rng) * steps[..., None]
    ours = dict(block.named_parameters())
    pairs = [(ours[current_name(f"lstm.{name}")], p) for name, p in lstm.named_parameters()]
    for one, other in zip(
        torch.autograd.grad((found * goal).sum(), [x, *(one for one, _ in pairs)]),
        torch.autograd.grad((expected * goal).sum(), [x, *(other for _, other in pairs)]),
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
    bias = masks.key_bias(masks.audio)
    fused = attend(query, key, value, bias, heads)
    assert_close(attend(query, key, value, bias.requires_grad_(learned), heads), fused, atol=1e-6, rtol=0)
    parts = zip(*(x.chunk(heads, dim=-1) for x in (query, key, value)), strict=True)  # (b, t, d/h) each, per head
    plain = [torch.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5 + bias[:, 0], dim=-1) @ v for q, k, v in parts]
    assert_close(fused, torch.cat(plain, dim=-1), atol=1e-6, rtol=0)


def test_what_is_dropped_follows_the_seed() -> None:
    model, inputs = some_model(FIXED).train(), some_inputs()
    draws = [inputs.through(model).prediction for seed in (1, 1, 2) if torch.manual_seed(seed)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_nothing_is_dropped_in_evaluation_or_at_probability_zero() -> None:
    x = torch.randn(2, 3, 4)
    for dropout in (ChannelDropout(0.5).eval(), ChannelDropout(0.0).train()):
        assert torch.equal(dropout(x), x)


def test_dropped_channels_are_dropped_at_every_step_and_the_rest_scaled() -> None:
    torch.manual_seed(0)
    out = ChannelDropout(0.25).train()(torch.ones(4, 5, 64))
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert out.unique().tolist() == pytest.approx([0.0, 4 / 3])


def test_the_fixed_layer_drops_and_scales_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout of S_m and of the update, each of what stays times 1 / (1 - p), by masks that the test gives."""
    torch.manual_seed(0)
    p, rng = 0.6, torch.Generator().manual_seed(1)
    layer = FixedJointLayer(FusionConfig(**{**SMALL, "dropout": p}, attention="jca_fixed", length=9)).train()
    given: list[Tensor] = []

    def drop(dropout: nn.Dropout, x: Tensor) -> Tensor:
        assert dropout.p == p
        given.append((torch.rand(x.shape, generator=rng) >= p).to(x.dtype))
        return x * given[-1] / (1 - p)

    monkeypatch.setattr(nn.Dropout, "forward", drop)
    x_a, x_v = torch.randn(2, 2, 9, SMALL["width"])
    found = layer(x_a, x_v, Masks.build(x_a, None, None, None))
    value = layer.joint(torch.cat([x_a, x_v], dim=-1))
    for x, m, out, s_kept, x_kept in zip((x_a, x_v), ("audio", "visual"), found, given[::2], given[1::2], strict=True):
        scores = torch.tanh(layer.mix[m](x.transpose(1, 2)) @ value / value.shape[-1] ** 0.5) * s_kept / (1 - p)
        hidden = F.relu(torch.tanh(layer.query[m](x) @ scores))
        assert_close(out, x + F.relu(layer.out[m](hidden)) * x_kept / (1 - p), atol=1e-6, rtol=0)


def test_padding_and_absence_reach_the_fixed_layer_as_if_rows_were_empty() -> None:
    """K_m and Q over the observed and real steps alone."""
    torch.manual_seed(0)
    layer = FixedJointLayer(FusionConfig(**SMALL, attention="jca_fixed", length=9)).double().eval()
    x_a, x_v = torch.randn(2, 1, 9, SMALL["width"], dtype=torch.float64)
    steps, seen = torch.arange(9)[None] < 6, torch.rand(1, 9) > 0.3
    found = layer(x_a, x_v, Masks.build(x_a, seen, None, steps))[0]
    empty_a, empty_v = x_a * (seen & steps)[..., None], x_v * steps[..., None]
    value = layer.joint(torch.cat([empty_a, empty_v], dim=-1)) * steps[..., None]
    scores = torch.tanh(layer.mix["audio"](empty_a.transpose(1, 2)) @ value / value.shape[-1] ** 0.5)
    hidden = F.relu(torch.tanh(layer.query["audio"](x_a) @ scores))
    assert_close(found, x_a + F.relu(layer.out["audio"](hidden)), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    "config",
    [FIXED, FusionConfig(**SMALL), FusionConfig(**{**SMALL, "temporal": "lstm", "causal": True})],
    ids=["jca_fixed", "iaca", "causal"],
)
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
