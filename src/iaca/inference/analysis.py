"""What the analysis of a video gives: tables, and facts about the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from iaca.media import AudioTrack, MediaInfo


@dataclass(frozen=True)
class Analysis:
    """What was found in a video.

    Attributes:
        table: one row per decoded frame, the prediction columns and the face's box (px, NaN where there is none); of
            the only person, or of the first.
        media: facts about the file.
        facts: `media` as plain values, with `audio_end_s` (s) and `loudness_dbfs` (RMS of the sound, dB).
        others: tables of the second person and those after, where everyone was asked for.
    """

    table: pd.DataFrame
    media: MediaInfo
    facts: dict[str, object]
    others: tuple[pd.DataFrame, ...] = ()

    @property
    def tables(self) -> tuple[pd.DataFrame, ...]:
        """The table of each person."""
        return (self.table, *self.others)

    @property
    def whole(self) -> pd.DataFrame:
        """The first table with the sound of the video in place of that person's own voice."""
        heard = np.any([table["audio_present"] for table in self.tables], axis=0)
        return self.table.assign(audio_present=heard)


def facts_of(media: MediaInfo, audio: AudioTrack) -> dict[str, object]:
    """What is known of a file and its sound, as `Analysis.facts`; the sound is read a minute at a time."""
    minute, count = 60 * audio.rate, len(audio.samples)
    parts = (audio.samples[start : start + minute] for start in range(0, count, minute))
    power = sum(float(np.square(part, dtype=np.float64).sum()) for part in parts) / max(count, 1)
    return {
        **{name: value for name, value in asdict(media).items() if name != "path"},
        "audio_end_s": audio.present[-1][1] if audio.present else None,
        "loudness_dbfs": 10 * np.log10(power) if power > 0 else None,
    }
