"""Fine-tuning of an encoder on sound: what it hears around a step, what is hidden, and the checkpoint it leaves."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from iaca.audio.features import Stretches
from iaca.encoders.config import EmbeddingConfig, EncoderChoice
from iaca.encoders.networks import build_encoders, build_network
from iaca.engine import ClipPaths
from iaca.errors import InputError
from iaca.media import AudioTrack, write_audio
from iaca.pipelines.encoder_training.pipeline import plan_encoder
from iaca.pipelines.ingestion.nodes import IngestionConfig
from iaca.training.config import EncoderTrainingConfig
from iaca.training.encoders import SoundSamples, fine_tune, masked_sound

RATE = 16_000
FOLDER = IngestionConfig.model_validate({"importer": "folder"})
CONFIG = EncoderTrainingConfig(
    encoder={"name": "logmel_resnet18", "changes": {"frames": 33}}, start="random", epochs=4, batch=16, every=1,
    device="cpu", learning_rate=1e-3, mask_time=0.0, mask_bands=0.1,
)  # fmt: skip


def write_clip(folder: Path, name: str, seed: int, seconds: int = 8, present: tuple[float, float] = (0, 99)) -> None:
    """Valence is the pitch of a tone, arousal how much noise is in it; both change every half second."""
    rng = np.random.default_rng(seed)
    labels = rng.uniform(-1, 1, (2 * seconds, 2)).astype(np.float32)
    held = labels.repeat(RATE // 2, 0)
    tone = np.sin(np.cumsum(2 * np.pi * 400 * 4 ** held[:, 0] / RATE))
    noise = rng.normal(size=len(tone)) * 10 ** (held[:, 1] - 1)
    track = AudioTrack((0.2 * (tone + noise)).astype(np.float32).clip(-1, 1), RATE, (present,))
    write_audio(folder / f"{name}.flac", track)
    timeline = pd.DataFrame(labels.repeat(5, 0), columns=["valence", "arousal"])
    timeline["time_s"] = np.arange(len(timeline)) / 10 + 0.05
    timeline.to_parquet(folder / f"{name}.timeline")


def gathered(folder: Path, *names: str, **changes: object) -> SoundSamples:
    files = [(folder / f"{name}.flac", folder / f"{name}.timeline") for name in names]
    return SoundSamples.gather(files, CONFIG.model_copy(update=changes))


def test_it_learns_what_the_sound_holds(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b", "c")):
        write_clip(tmp_path, name, seed)
    tuned = fine_tune(CONFIG, gathered(tmp_path, "a", "b"), gathered(tmp_path, "c"))
    assert tuned.best["score"] > 0.4
    again = fine_tune(CONFIG.model_copy(update={"epochs": 1}), gathered(tmp_path, "a", "b"), gathered(tmp_path, "c"))
    assert again.history == tuned.history[:1]


@pytest.mark.parametrize("name", ["logmel_resnet18", "vggish", "ge2e"])
def test_what_it_trains_on_is_what_it_embeds(name: str) -> None:
    samples = torch.randn(3 * RATE, generator=torch.Generator().manual_seed(0)) / 10
    times = torch.tensor([0.0, 0.4, 1.01, 2.9, 3.3], dtype=torch.float64)
    encoder = build_network(EncoderChoice(name=name), "audio", None)
    with torch.inference_mode():
        embedded = encoder.encode(samples, times, encoder, 8)
        windows = encoder.windows(samples, times, 1.0)
        rows = encoder.rows(torch.stack([windows[i] for i in range(len(times))]))
    torch.testing.assert_close(rows, embedded, atol=1e-5, rtol=1e-4)


def test_an_encoder_of_whole_sounds_hears_what_is_around_the_step() -> None:
    samples = torch.arange(1, 2 * RATE + 1, dtype=torch.float32)
    encoder = build_network(EncoderChoice(name="hubert_base", changes={"layer": 1}), "audio", None)
    windows = encoder.windows(samples, torch.tensor([0.0, 1.0, 2.5], dtype=torch.float64), 0.5)
    first, middle, late = (windows[i] for i in range(3))
    half = windows.length // 2
    assert abs(windows.length - RATE // 2) <= 400
    assert middle[half] == RATE + 1
    assert first[half] == 1
    assert not first[:half].any()
    assert not late.any()
    with torch.inference_mode():
        rows = encoder.rows(torch.stack([middle, middle / 2 + 3]) / RATE)
    assert rows.shape == (2, 768)
    assert not torch.equal(rows[0], rows[1])


def test_samples_are_annotated_steps_with_sound_thinned_out(tmp_path: Path) -> None:
    write_clip(tmp_path, "a", 0, seconds=2, present=(0.5, 1.5))
    assert len(gathered(tmp_path, "a").labels) == 10
    assert len(gathered(tmp_path, "a", every=4).labels) == 3
    timeline = pd.read_parquet(tmp_path / "a.timeline")
    timeline.loc[5:8, "valence"] = np.nan
    timeline.to_parquet(tmp_path / "a.timeline")
    np.testing.assert_array_equal(gathered(tmp_path, "a").labels, timeline[["valence", "arousal"]].iloc[9:15])
    timeline.assign(arousal=np.nan).to_parquet(tmp_path / "a.timeline")
    with pytest.raises(InputError, match=r"no annotated step has sound.*annotations and sound"):
        gathered(tmp_path, "a")


def test_as_much_is_hidden_as_was_asked_for_and_the_rest_stays() -> None:
    windows = torch.rand(200, 40, 20, generator=torch.Generator().manual_seed(1)) + 1
    random = torch.Generator().manual_seed(0)
    torch.testing.assert_close(masked_sound(windows, 0, 0, random), windows, rtol=0, atol=0)
    changed = masked_sound(windows, 0.5, 0.25, random) != windows
    frames, bands = changed.all(2).sum(1), changed.all(1).sum(1)
    assert frames.max() == 20
    assert bands.max() == 5
    assert 8 < frames.float().mean() < 12
    left = ~changed.all(2)[:, :, None] & ~changed.all(1)[:, None, :]
    assert not (changed & left).any()
    sound = masked_sound(windows[:, :, 0], 0.5, 0.5, random)
    hidden = sound != windows[:, :, 0]
    assert hidden.sum(1).max() == 20
    assert torch.equal(sound[hidden], windows[:, :, 0].mean(1, keepdim=True).expand_as(sound)[hidden])


def test_the_checkpoint_is_an_encoder_by_its_name(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        write_clip(tmp_path, name, seed, seconds=2)
    audio, timelines = (
        ClipPaths({name: tmp_path / f"{name}.{kind}" for name in ("a", "b")}, {}) for kind in ("flac", "timeline")
    )
    clips = pd.DataFrame({"clip": ["a", "b"], "partition": ["train", "validation"]})
    config = CONFIG.model_copy(update={"epochs": 1, "encoder": EncoderChoice(name="ge2e")})
    task = plan_encoder(clips, ClipPaths({}, {}), audio, timelines, {"name": "tones"}, config, FOLDER)["ge2e"]
    task.run(tmp_path / "tuned.safetensors")
    choice = {"name": "ge2e", "weights": str(tmp_path / "tuned.safetensors")}
    encoder = build_encoders(EmbeddingConfig(audio=choice, device="cpu"))[1]
    rows = encoder.encode(np.zeros(RATE, np.float32), np.arange(5) / 5)
    assert rows.shape == (5, 256)
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("name", ["logmel_resnet18", "ge2e"])
def test_what_is_saved_of_an_encoder_is_what_it_loads(name: str, tmp_path: Path) -> None:
    network = build_network(EncoderChoice(name=name), "audio", None)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    again = build_network(EncoderChoice(name=name), "audio", tmp_path / "w.safetensors")
    assert all(torch.equal(again.state_dict()[key], value) for key, value in network.state_dict().items())


def test_samples_of_a_sound_on_disk_are_read_when_they_are_needed(tmp_path: Path) -> None:
    write_clip(tmp_path, "a", 0, seconds=2)
    samples = gathered(tmp_path, "a", encoder=EncoderChoice(name="hubert_base", changes={"layer": 1}), context_s=0.2)
    assert isinstance(samples.clips[0].stack.sound, Stretches)  # type: ignore[attr-defined]
    assert samples.inputs(np.array([0, 3])).shape == (2, samples.clips[0].length)
