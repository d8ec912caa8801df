"""Whose voice is it? Accuracy of the rule of `iaca.inference.predictor` on pairs of clips of the demo corpus.

    python benchmarks/voices.py

Run `kedro run` first. The face of one clip is combined with the face and the sound of another, so that the speaker is
known; prints shares of the steps that have both faces and a voice and no known event. The same for two faces with the
sound of a third clip, so that no person in view speaks.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from iaca.encoders import ClipEmbedding, read_embedding
from iaca.encoders.cues import synchrony
from iaca.inference.predictor import attribute_voice

DATA = Path("data")


def with_sound_of(face: ClipEmbedding, sound: ClipEmbedding) -> ClipEmbedding:
    """The person of one clip with the sound of another, at the steps of the latter."""
    at = np.clip(np.searchsorted(face.time_s, sound.time_s), 0, len(face) - 1)
    found = face.face_found[at] & (sound.time_s <= face.time_s[-1])
    mouth = face.quality[at, face.quality_names.index("mouth_opening")]
    level = sound.quality[:, sound.quality_names.index("sound_level")]
    quality = sound.quality.copy()
    cue = synchrony(mouth, level, sound.time_s, found & sound.audio_present)["synchrony"]
    quality[:, sound.quality_names.index("synchrony")] = cue
    return replace(sound, face_found=found, quality=quality)


def counted(sound: ClipEmbedding, name: str, events: pd.DataFrame, *people: ClipEmbedding) -> np.ndarray:
    """(t,) bool, steps of a voice at which everyone is in view and the sound's clip has no known event."""
    keep = sound.quality[:, sound.quality_names.index("voice_activity")] > 0.5
    for event in events[events["clip"] == name].to_dict("records"):
        keep &= (sound.time_s < event["start_s"]) | (sound.time_s >= event["end_s"])
    return np.logical_and.reduce([keep, sound.audio_present, *(person.face_found for person in people)])


def main() -> None:
    """Print the shares."""
    events = pd.read_csv(DATA / "02_intermediate/events.csv", dtype={"clip": str})
    files = sorted((DATA / "04_feature/embeddings").glob("*.safetensors"))
    clips = {path.stem: read_embedding(path) for path in files}
    sounds = {name: clip for name, clip in clips.items() if not name.endswith(("_left", "_right"))}
    pairs, strangers = [], []
    for shift in (1, 5, 11):
        names = list(sounds)
        for name, one, two in zip(names, np.roll(names, shift), np.roll(names, 2 * shift + 1), strict=True):
            sound = sounds[name]
            listener, third = (with_sound_of(sounds[other], sound) for other in (one, two))
            speaks, listens = attribute_voice([sound, listener])
            keep = counted(sound, name, events, sound, listener)
            pairs.append(np.stack([speaks & ~listens, speaks & listens, listens & ~speaks])[:, keep])
            keep = counted(sound, name, events, listener, third)
            first, second = attribute_voice([listener, third])
            strangers.append((first != second)[keep])
    right, both, wrong = np.concatenate(pairs, axis=1).mean(axis=1)
    print(f"{len(pairs)} pairs, {sum(pair.shape[1] for pair in pairs)} steps of a voice with both faces in view:")
    print(f"the speaker alone {100 * right:.1f} %, both {100 * both:.1f} %, the listener alone {100 * wrong:.1f} %")
    alone = np.concatenate(strangers)
    print(f"no person in view speaks: given to one of two {100 * alone.mean():.1f} % of {len(alone)} steps")


if __name__ == "__main__":
    main()
