"""Log-mel front ends: the published values, the time grid, and the level."""

import numpy as np
import pytest
import soundfile
import torch

from iaca.audio.features import BLOCK, VGGISH, LogMel, frame_blocks
from shared import SHARED, needs_shared

REFERENCE = SHARED / "reference" / "vggish_logmel"


def patches(logmel: torch.Tensor, frames: int = 96) -> torch.Tensor:
    """Cut (n, mels) into consecutive patches (n // frames, frames, mels) and drop the rest, as VGGish does."""
    whole = len(logmel) // frames
    return logmel[: whole * frames].reshape(whole, frames, -1)


@needs_shared("reference/vggish_logmel")
def test_vggish_patches_of_a_recording_are_the_reference_ones() -> None:
    samples, rate = soundfile.read(REFERENCE / "test.wav")
    expected = np.load(REFERENCE / "vggish_logmel_ref.npz")["torchvggish_test_wav"]
    assert rate == VGGISH.rate
    np.testing.assert_allclose(patches(LogMel(VGGISH)(torch.from_numpy(samples))), expected, atol=1e-4)


@needs_shared("reference/vggish_logmel")
def test_vggish_patches_of_a_sine_and_of_silence_are_the_reference_ones() -> None:
    expected = np.load(REFERENCE / "vggish_logmel_ref.npz")
    sine = np.sin(2 * np.pi * 1000 * np.linspace(0, 3, 48_000))
    np.testing.assert_allclose(patches(LogMel(VGGISH)(torch.from_numpy(sine))), expected["sine1k_16000"], atol=1e-4)
    silence = patches(LogMel(VGGISH)(torch.zeros(32_000)))
    np.testing.assert_allclose(silence, expected["silence_2s_16000"], atol=1e-4)


def test_a_click_is_brightest_in_the_frame_of_its_moment() -> None:
    samples = torch.zeros(16_000)
    samples[8_000] = 1.0
    assert int(LogMel()(samples).mean(1).argmax()) == 8_000 // 160


def test_twice_the_amplitude_is_six_decibels_more() -> None:
    sine = 0.2 * torch.sin(2 * torch.pi * 440 * torch.arange(16_000) / 16_000)
    soft, loud = LogMel()(sine).max(), LogMel()(2 * sine).max()
    assert float(loud - soft) == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_blocks_leave_no_seam() -> None:
    noise = torch.randn(160 * (BLOCK + 50), generator=torch.Generator().manual_seed(0))
    whole, end = LogMel()(noise), LogMel()(noise[160 * (BLOCK - 50) :])
    torch.testing.assert_close(whole[-40:-10], end[-40:-10], atol=1e-4, rtol=0)


@pytest.mark.parametrize("samples", [0, 1, 100, 160, 4_000])
def test_short_sounds_have_their_frames(samples: int) -> None:
    assert LogMel()(torch.zeros(samples)).shape == (1 + samples // 160, 64)


def test_frames_in_blocks_are_those_of_the_padded_whole() -> None:
    sound = torch.arange(1, 101, dtype=torch.float32)
    for length, hop, before in ((10, 4, 5), (7, 3, 0), (40, 50, 20)):
        count = 1 + len(sound) // hop
        whole = torch.nn.functional.pad(sound, (before, length + hop)).unfold(0, length, hop)[:count]
        for block in (1, 4, 1000):
            parts = list(frame_blocks(sound, length, hop, before, count, block))
            assert torch.equal(torch.cat(parts), whole)
            assert max(len(part) for part in parts) <= block


def test_blocks_of_a_long_sound_share_the_floor_of_the_whole() -> None:
    sound = torch.randn(160 * (BLOCK + 500), generator=torch.Generator().manual_seed(0)) * 1e-4
    sound[-1600:] *= 1e4  # the loudest frame is in the second block, and lifts the floor of the first
    blocks = list(LogMel().blocks(sound))
    assert [len(block) for block in blocks] == [BLOCK, 501]
    torch.testing.assert_close(torch.cat(blocks), LogMel()(sound))
    assert blocks[0].min() == blocks[1].max() - 80
