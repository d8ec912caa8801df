"""Audio encoders: their layouts, what they hear, and when. Weights are random where none can be had."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchaudio
from safetensors.torch import save_file

from iaca.encoders.audio import FIELD, GE2E, STRIDE, gain, pieces
from iaca.encoders.config import ENCODERS, EmbeddingConfig, EncoderChoice, NoOptions
from iaca.encoders.networks import AudioEncoder, build_encoders, build_network
from iaca.encoders.weights import WEIGHTS, weights_folder

RATE = 16_000
WINDOWED = ["logmel_resnet18", "vggish", "ge2e"]
WHOLE = ["wavlm_base_plus", "hubert_base"]
HALF_S = {"logmel_resnet18": 0.545, "vggish": 0.4925, "ge2e": 0.815}  # half of what a row hears, with half a frame


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], AudioEncoder]:
    """Encoders of random weights, each read back from a file in the published layout, made once."""
    folder = tmp_path_factory.mktemp("weights")
    made: dict[str, AudioEncoder] = {}

    def make(name: str) -> AudioEncoder:
        if name not in made:
            torch.manual_seed(0)
            network = build_network(EncoderChoice(name=name), "audio", None)
            state = getattr(network, "backbone", getattr(network, "network", network)).state_dict()
            path = folder / f"{name}.safetensors"
            save_file({key: value.half() for key, value in state.items()}, path)
            config = EmbeddingConfig(audio={"name": name, "weights": str(path)}, device="cpu", batch=8)
            made[name] = build_encoders(config)[1]
            path.unlink()
        return made[name]

    return make


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(int(seconds * RATE))).astype(np.float32)


@pytest.mark.parametrize("name", [*WINDOWED, *WHOLE, "emotion2vec_plus_base"])
def test_rows_have_the_registered_width_and_differ_over_time(name: str, encoder: Callable[[str], AudioEncoder]) -> None:
    times = np.array([0.0, 0.8, 1.2, 9.0])
    rows = encoder(name).encode(noise(1.5), times)
    assert rows.shape == (4, ENCODERS["audio"][name].dim)
    assert np.isfinite(rows).all()
    assert np.abs(rows[1] - rows[2]).max() > 1e-6
    assert encoder(name).encode(noise(0), times).tolist() == np.zeros_like(rows).tolist()
    assert encoder(name).encode(noise(1), times[:0]).shape == (0, ENCODERS["audio"][name].dim)


@pytest.mark.parametrize("name", WINDOWED)
def test_a_row_hears_the_sound_around_its_step_and_no_other(name: str, encoder: Callable[[str], AudioEncoder]) -> None:
    times = np.arange(1.0, 3.02, 0.08)
    sound = noise(4)
    quieter = sound.copy()
    quieter[2 * RATE : 2 * RATE + 160] *= 0.2
    rows, other = (encoder(name).encode(some, times) for some in (sound, quieter))
    changed = times[np.abs(rows - other).max(1) > 3e-4 * np.abs(rows).max()] - 2.005
    assert len(changed)
    assert np.abs(changed).max() <= HALF_S[name] + 0.03
    if name == "ge2e":  # with random weights, a recurrent network remembers the end of its window alone
        assert changed.min() < -0.7
    else:
        assert len(changed) >= 0.8 * 2 * HALF_S[name] / 0.08
        assert abs(changed.mean()) <= 0.04


@pytest.mark.parametrize("name", WINDOWED)
def test_sound_that_comes_later_gives_the_same_rows_later(name: str, encoder: Callable[[str], AudioEncoder]) -> None:
    sound, times = noise(2), np.arange(0.2, 1.8, 0.2)
    late = np.concatenate([np.zeros(RATE // 5, np.float32), sound])
    if name == "ge2e":
        sound, late = 2 * sound, 2 * late  # above the level to which quiet sound is raised
    np.testing.assert_allclose(
        encoder(name).encode(late, times + 0.2), encoder(name).encode(sound, times), atol=2e-4, rtol=1e-3
    )


@pytest.mark.parametrize("name", WINDOWED)
def test_a_step_is_the_same_alone_and_among_others(name: str, encoder: Callable[[str], AudioEncoder]) -> None:
    sound, times = noise(2), np.arange(0.1, 1.9, 0.17)
    whole = encoder(name).encode(sound, times)
    alone = np.concatenate([encoder(name).encode(sound, times[i : i + 1]) for i in range(len(times))])
    np.testing.assert_allclose(alone, whole, atol=1e-5)


@pytest.mark.parametrize("name", WHOLE)
def test_hidden_states_are_taken_at_their_moments(name: str, encoder: Callable[[str], AudioEncoder]) -> None:
    sound = noise(1.5)
    network = encoder(name).networks[0]
    states = network.run(torch.from_numpy(sound)[None])[0].numpy()
    centres = (np.arange(len(states)) * STRIDE + FIELD / 2) / RATE
    np.testing.assert_allclose(encoder(name).encode(sound, centres), states, atol=1e-4)
    between = encoder(name).encode(sound, (centres[:-1] + centres[1:]) / 2)
    np.testing.assert_allclose(between, (states[:-1] + states[1:]) / 2, atol=1e-4)


@pytest.mark.parametrize("samples", [10, 400, 16_000, 10 * RATE, 27 * RATE + 77])
def test_pieces_of_a_long_sound_give_every_hidden_state_once(samples: int) -> None:
    sound = torch.arange(samples, dtype=torch.float32)
    starts = [float(piece[index * STRIDE]) for piece, first, last in pieces(sound) for index in range(first, last)]
    total = max((samples - FIELD) // STRIDE + 1, 1)
    assert starts == [float(i * STRIDE) for i in range(total)]
    assert all(len(piece) >= (last - 1) * STRIDE + FIELD for piece, _, last in pieces(sound))


def test_a_layer_is_an_option(encoder: Callable[[str], AudioEncoder]) -> None:
    network = encoder("hubert_base").networks[0].module
    with torch.inference_mode():
        all_states, _ = network.network.extract_features(torch.from_numpy(noise(1))[None])
        network.layer = 3
        third = network(torch.from_numpy(noise(1))[None])
        network.layer = 12
    torch.testing.assert_close(third, all_states[2])


def test_the_front_end_of_ge2e_is_the_published_one() -> None:
    sound = torch.from_numpy(noise(1))
    mel = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=400, hop_length=160, n_mels=40, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )
    torch.testing.assert_close(
        torch.cat(list(GE2E(NoOptions(), None).frames_of(sound))), mel(sound).T, rtol=1e-4, atol=1e-6
    )


def test_quiet_sound_is_raised_and_loud_sound_and_silence_stay() -> None:
    quiet, loud = torch.from_numpy(noise(1)) * 0.01, torch.from_numpy(noise(1)) * 2
    assert 20 * float((gain(quiet) * quiet).square().mean().sqrt().log10()) == pytest.approx(-30, abs=0.01)
    assert gain(loud) == 1
    assert np.isfinite(gain(torch.zeros(100)))


@pytest.mark.skipif(not (weights_folder() / WEIGHTS["ge2e"].name).exists(), reason="needs the weights of ge2e")
def test_the_true_ge2e_tells_a_voice_from_noise() -> None:
    config = EmbeddingConfig(audio="ge2e", device="cpu")
    clock = np.arange(3 * RATE) / RATE
    voices = [
        sum(np.sin(2 * np.pi * f * k * clock) / k for k in range(1, 20)) * (1 + np.sin(2 * np.pi * 4 * clock)) / 20
        for f in (110, 112, 220)
    ]
    times = np.array([1.5])
    rows = [build_encoders(config)[1].encode(v.astype(np.float32), times)[0] for v in (*voices, noise(3))]
    assert np.linalg.norm(rows[0]) == pytest.approx(1, abs=1e-4)
    assert rows[0] @ rows[1] > max(rows[0] @ rows[2], rows[0] @ rows[3])


def test_no_encoder_has_the_name_of_another() -> None:
    assert not set(ENCODERS["audio"]) & set(ENCODERS["visual"])
