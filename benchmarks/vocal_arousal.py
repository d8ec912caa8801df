"""What is the zero-shot voice worth on people who act an emotion? Its arousal on 48 acted utterances.

    python benchmarks/vocal_arousal.py FOLDER

FOLDER holds speech of RAVDESS (Livingstone and Russo, PLoS ONE 2018; CC BY-NC-SA 4.0) as 16 kHz FLAC files under their
own names. No constant is fitted to them. Prints, for each channel, the AUROC of happy, angry, fearful and
surprised against neutral, calm and sad utterances by mean arousal over a clip; the mean arousal of both groups; the
mean evidence; and the AUROC of happy against sad, angry, fearful and disgusted by the same number, which shows that
such a voice says nothing about valence.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt
from sklearn.metrics import roc_auc_score

from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.cues import NAMES
from iaca.encoders.embed import embed_sound
from iaca.encoders.embedding import ClipEmbedding
from iaca.inference.config import NAMED
from iaca.inference.zero_shot import ZeroShot
from iaca.media import AudioTrack

Samples = NDArray[np.float64]
RATE, STEPS_HZ = 16_000, 25
HIGH, LOW = {"03", "05", "06", "08"}, {"01", "02", "04"}
POSITIVE, NEGATIVE = {"03"}, {"04", "05", "06", "07"}


def filtered(order: int, hertz: float | list[float], kind: str) -> Callable[[Samples], Samples]:
    """A Butterworth filter, forwards and backwards."""
    sections = butter(order, hertz, kind, fs=RATE, output="sos")
    return lambda samples: sosfiltfilt(sections, samples)


def noisy(snr_db: float) -> Callable[[Samples], Samples]:
    """White noise at a ratio (dB) to the RMS of the utterance."""

    def add(samples: Samples) -> Samples:
        noise = np.random.default_rng(0).normal(size=len(samples))
        return samples + noise * np.sqrt(np.mean(samples**2) / np.mean(noise**2) / 10 ** (snr_db / 10))

    return add


CHANNELS: dict[str, Callable[[Samples], Samples]] = {
    "as recorded": lambda samples: samples,
    "20 dB quieter": lambda samples: 0.1 * samples,
    "telephone, 300-3400 Hz": filtered(4, [300, 3400], "bandpass"),
    "8 kHz sampling": filtered(8, 3900, "lowpass"),
    "dull microphone": filtered(1, 1500, "lowpass"),
    "white noise, 10 dB": noisy(10),
    "white noise, 0 dB": noisy(0),
}


def embedded(samples: Samples) -> ClipEmbedding:
    """A clip of a sound without a face."""
    times = np.arange(int(len(samples) / RATE * STEPS_HZ)) / STEPS_HZ
    track = AudioTrack(samples.astype(np.float32), RATE, ((0.0, len(samples) / RATE),))
    sound = embed_sound(track, times, EmbeddingConfig())
    unknown = np.full(len(times), np.nan, np.float32)
    quality = np.stack([sound.cues.get(name, unknown) for name in NAMES], axis=1)
    heard, seen = np.ones(len(times), bool), np.zeros(len(times), bool)
    visual = np.zeros((len(times), EmbeddingConfig().dim("visual")), np.float32)
    return ClipEmbedding(sound.rows, visual, heard, seen, times, quality, NAMES, {})


def main() -> None:
    """Print a table."""
    model = ZeroShot.read(NAMED["zero_shot"])
    files = sorted(Path(sys.argv[1]).glob("03-01-*.flac"))
    emotion = np.array([path.stem[6:8] for path in files])
    print(f"{len(files)} utterances\n| channel | AUROC arousal | mean, high | mean, low | AUROC valence |")
    print("|---|---|---|---|---|")
    for name, channel in CHANNELS.items():
        said = [model.predict(embedded(channel(soundfile.read(path)[0]))) for path in files]
        arousal = np.array([one.prediction[:, 1].mean() for one in said])
        high, low = np.isin(emotion, list(HIGH)), np.isin(emotion, list(LOW))
        good, bad = np.isin(emotion, list(POSITIVE)), np.isin(emotion, list(NEGATIVE))
        ordered = roc_auc_score(high[high | low], arousal[high | low])
        valence = roc_auc_score(good[good | bad], arousal[good | bad])
        print(f"| {name} | {ordered:.2f} | {arousal[high].mean():.2f} | {arousal[low].mean():.2f} | {valence:.2f} |")


if __name__ == "__main__":
    main()
