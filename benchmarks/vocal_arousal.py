"""What is the zero-shot voice worth on people who act an emotion? Its arousal on 48 acted utterances.

    python benchmarks/vocal_arousal.py FOLDER

FOLDER holds speech of RAVDESS (Livingstone and Russo, PLoS ONE 2018; CC BY-NC-SA 4.0) as 16 kHz FLAC files under their
own names. No constant is fitted to them. Prints, for each channel, the AUROC of happy, angry, fearful and
surprised against neutral, calm and sad utterances by mean arousal over a clip; the mean arousal of both groups; the
AUROC of happy against sad, angry, fearful and disgusted by the same number, which shows that such a voice says nothing
about valence; and the AUROC of clips whose face contradicts the voice against those whose face does not, by mean
inconsistency and by the mean difference of both readings of arousal. Each voice is paired with four made faces: happy
and angry contradict low voices, sad and neutral high ones.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
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
from iaca.inference.zero_shot import CLASSES, ZeroShot
from iaca.media import AudioTrack

Samples = NDArray[np.float64]
RATE, STEPS_HZ = 16_000, 25
HIGH, LOW = {"03", "05", "06", "08"}, {"01", "02", "04"}
POSITIVE, NEGATIVE = {"03"}, {"04", "05", "06", "07"}
FACES = {"happy": True, "angry": True, "sad": False, "neutral": False}
"""Whether a made face is one of high arousal."""
SURE = 0.7  # probability of a made face's expression; the rest is spread evenly over all seven


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


def with_face(clip: ClipEmbedding, expression: str) -> ClipEmbedding:
    """The same clip with a face that shows one expression throughout, in a good picture."""
    posteriors = np.full(len(CLASSES), (1 - SURE) / len(CLASSES), np.float32)
    posteriors[CLASSES.index(expression)] += SURE
    visual = clip.visual.copy()
    visual[:, -len(CLASSES) :] = np.log(posteriors)
    return replace(clip, visual=visual, face_found=np.ones(len(clip), bool))


def contradiction(model: ZeroShot, voices: list[ClipEmbedding], high: NDArray[np.bool_]) -> tuple[float, float]:
    """AUROC of a contradicting face by mean inconsistency, and by the mean difference of both readings of arousal."""
    scores, apart = [], []
    for voice, is_high in zip(voices, high, strict=True):
        for expression, aroused in FACES.items():
            clip = with_face(voice, expression)
            heard, seen, _ = model.readings(clip)
            unusual = model.predict(clip).inconsistency
            known = np.isfinite(unusual)
            scores.append((unusual[known].mean(), np.abs(heard - seen)[known, 1].mean()))
            apart.append(aroused != is_high)
    inconsistency, difference = np.transpose(scores)
    return float(roc_auc_score(apart, inconsistency)), float(roc_auc_score(apart, difference))


def main() -> None:
    """Print a table."""
    model = ZeroShot.read(NAMED["zero_shot"])
    files = sorted(Path(sys.argv[1]).glob("03-01-*.flac"))
    emotion = np.array([path.stem[6:8] for path in files])
    print(f"{len(files)} utterances")
    print("| channel | AUROC arousal | mean, high | mean, low | AUROC valence | contradiction | difference |")
    print("|---|---|---|---|---|---|---|")
    for name, channel in CHANNELS.items():
        clips = [embedded(channel(soundfile.read(path)[0])) for path in files]
        said = [model.predict(clip) for clip in clips]
        arousal = np.array([one.prediction[:, 1].mean() for one in said])
        high, low = np.isin(emotion, list(HIGH)), np.isin(emotion, list(LOW))
        good, bad = np.isin(emotion, list(POSITIVE)), np.isin(emotion, list(NEGATIVE))
        ordered = roc_auc_score(high[high | low], arousal[high | low])
        valence = roc_auc_score(good[good | bad], arousal[good | bad])
        voices = [clip for clip, used in zip(clips, high | low, strict=True) if used]
        apart, difference = contradiction(model, voices, high[high | low])
        means = f"{arousal[high].mean():.2f} | {arousal[low].mean():.2f}"
        print(f"| {name} | {ordered:.2f} | {means} | {valence:.2f} | {apart:.2f} | {difference:.2f} |")


if __name__ == "__main__":
    main()
