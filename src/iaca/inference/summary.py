"""The summary of a video: means, peaks, coverage, and warnings to read before trusting them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from iaca.errors import InputError

UNUSUAL = 0.95
"""Inconsistency above this is drawn as a mark: clips whose voice and face belong together reach it 5 % of the time."""
QUIET_DBFS = -50.0
"""Below this root mean square (dB relative to full scale) a voice is close to the noise of most recordings."""
SILENT_DBFS = -90.0
"""Below this, at most the last bit of 16-bit samples varies: a muted track."""
TOLERANCE_S = 0.5
"""Sound and picture of most containers start and end up to this far (s) apart: no reason to warn."""


PRESENT = {"audio": "audio_present", "visual": "face_found"}
"""Column that says whether a modality was there."""
Sources = Mapping[str, tuple[str, ...]]
"""For valence and arousal, the modalities that the model reads it from, as `Predictor.sources` gives them."""
NAMES = {"audio": "voice", "visual": "face"}
SOUND_ALONE = "the values come from the sound alone"
WORDS = {
    "excited": (0.6, 0.8), "astonished": (0.2, 0.9), "happy": (0.8, 0.5), "pleased": (0.8, 0.2), "at ease": (0.6, -0.3),
    "relaxed": (0.7, -0.5), "sleepy": (0.3, -0.7), "tired": (0.0, -0.6), "bored": (-0.7, -0.6), "sad": (-0.6, -0.3),
    "miserable": (-0.7, -0.1), "frustrated": (-0.6, 0.5), "angry": (-0.5, 0.6),
}  # fmt: skip
"""Valence and arousal of words, from Figure 4 of J. A. Russell, *A circumplex model of affect* (1980), one decimal."""
NEUTRAL = 0.2
"""Closer to (0, 0) than this, a mean has neither a quadrant nor a word."""
NEAR = 0.3
"""A word that is farther from the values than this is not shown in pictures."""
WORD_COLUMNS = ("quadrant", "word", "word_distance")


def summarise(
    table: pd.DataFrame,
    media_facts: Mapping[str, object],
    caveats: Sequence[str] = (),
    sources: Sources | None = None,
) -> dict[str, object]:
    """The numbers of `NAME.json`: means, peaks with their times, coverage, intervals, inconsistency, mean gate weights
    and warnings.

    Args:
        table: predictions of one clip: frame, time_s (s), valence, arousal; optionally face_found, audio_present,
            {valence,arousal}_{low,high}, inconsistency, gate_<name>_<label>.
        media_facts: facts about the file, copied into the result as JSON values. Warnings use duration_s, has_audio,
            audio_end_s (s; where the sound ends), loudness_dbfs (root mean square of the sound in dB relative to
            full scale; None for digital silence) and picture_warning.
        caveats: further warnings, such as the limits of the model; they come first.
        sources: of the model; None if it reads both dimensions from whatever is there.

    Means, deviations and peaks of a dimension are over the frames in which the person was observed (`observed`); the
    entry `observed` is their share of all frames, and `mean_all` the mean over every predicted frame.

    Returns:
        A dictionary of plain numbers, strings, lists and None (undefined), ready for `json.dumps`.

    Raises:
        InputError: if the table is empty.
    """
    if table.empty:
        raise InputError("there are no predictions to summarise", remedy="check that the file has a video stream")
    table = table.sort_values("time_s")
    return {
        "frames": len(table),
        "duration_s": _plain(media_facts.get("duration_s", table["time_s"].iloc[-1])),
        **_numbers(table, sources),
        "media": {str(name): _plain(value) for name, value in media_facts.items()},
        "warnings": [*caveats, *_warnings(table, media_facts), *_source_warnings(table, sources or {})],
    }


def summarise_people(
    tables: Sequence[pd.DataFrame], files: Sequence[str], sources: Sources | None = None
) -> list[dict[str, object]]:
    """One entry per person: number, file of the table, when the face was in view (first and last time in s, frames,
    share of all frames), and the numbers of `summarise`.

    `coverage.audio` is the share of frames in which the voice counts as theirs. Times are None without a face.
    """
    entries = []
    for number, (table, file) in enumerate(zip(tables, files, strict=True), start=1):
        table = table.sort_values("time_s")
        seen = table["time_s"][table["face_found"].to_numpy(bool)]
        entries.append(
            {
                "person": number,
                "file": file,
                "first_s": float(seen.iloc[0]) if len(seen) else None,
                "last_s": float(seen.iloc[-1]) if len(seen) else None,
                "frames_in_view": len(seen),
                "share_in_view": _share(table["face_found"]),
                **_numbers(table, sources),
            }
        )
    return entries


def observed(table: pd.DataFrame, name: str, sources: Sources | None = None) -> pd.Series:
    """Where (t,) a dimension is predicted and the person was observed: with a face, or, if a face is never found or
    the model does not read it, with sound."""
    columns = _presence(table, name, sources)
    face = PRESENT["visual"]
    if face in columns and table[face].any():
        columns = [face]
    return table[name].notna() & table[columns].any(axis=1) if columns else table[name].notna()


def readable(table: pd.DataFrame, name: str, sources: Sources | None = None) -> pd.Series:
    """Where (t,) a dimension is predicted and one of its sources was there."""
    columns = _presence(table, name, sources)
    return table[name].notna() & table[columns].any(axis=1) if columns else table[name].notna()


def _presence(table: pd.DataFrame, name: str, sources: Sources | None) -> list[str]:
    modalities = tuple(PRESENT) if sources is None else sources[name]
    return [PRESENT[modality] for modality in modalities if PRESENT[modality] in table]


def _numbers(table: pd.DataFrame, sources: Sources | None) -> dict[str, object]:
    gates = [str(name) for name in table if str(name).startswith("gate_")]
    return {
        "valence": _extremes(table, "valence", sources),
        "arousal": _extremes(table, "arousal", sources),
        "words": words(*(_observed_mean(table, name, sources) for name in ("valence", "arousal"))),
        "mean_interval": {name: _mean_width(table, name) for name in ("valence", "arousal")},
        "inconsistency": _inconsistency(table),
        "coverage": {
            "predicted": _share(table[["valence", "arousal"]].notna().all(axis=1)),
            "face": _share(table["face_found"]) if "face_found" in table else None,
            "audio": _share(table["audio_present"]) if "audio_present" in table else None,
        },
        "mean_gates": {name.removeprefix("gate_"): _plain(table[name].mean()) for name in gates},
    }


def words(valence: float | None, arousal: float | None) -> dict[str, object]:
    """Quadrant of the valence-arousal plane, nearest of `WORDS` and its distance; None where there is nothing to name.

    A reading aid: words are where people placed them on average, and a mean of values is not a state of somebody.
    """
    if valence is None or arousal is None:
        return {"quadrant": None, "nearest": None, "distance": None}
    if math.hypot(valence, arousal) < NEUTRAL:
        return {"quadrant": "neutral", "nearest": None, "distance": None}
    quadrant = f"{'pleasant' if valence >= 0 else 'unpleasant'}, {'active' if arousal >= 0 else 'passive'}"
    distances = {word: math.dist((valence, arousal), place) for word, place in WORDS.items()}
    nearest = min(distances, key=distances.__getitem__)
    return {"quadrant": quadrant, "nearest": nearest, "distance": round(distances[nearest], 3)}


def caption(valence: float, arousal: float) -> str:
    """`unpleasant, active: near “angry”`: what is drawn of `words`; "" where there is nothing to name."""
    if not math.isfinite(valence + arousal):
        return ""
    found = words(valence, arousal)
    near = found["nearest"] if isinstance(found["distance"], float) and found["distance"] <= NEAR else None
    return f"{found['quadrant']}: near “{near}”" if near else str(found["quadrant"])


def with_words(table: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """The table with `WORD_COLUMNS` of each row, empty where `drawn` (see `as_drawn`) has no valence or no arousal."""
    pairs = zip(drawn["valence"], drawn["arousal"], strict=True)
    found = [words(*pair) if math.isfinite(sum(pair)) else words(None, None) for pair in pairs]
    named = pd.DataFrame(found, index=table.index)[["quadrant", "nearest", "distance"]].set_axis(WORD_COLUMNS, axis=1)
    return pd.concat([table, named], axis=1)


def _mean_width(table: pd.DataFrame, name: str) -> object:
    """Mean distance from `low` to `high`; None without intervals."""
    if f"{name}_low" not in table:
        return None
    return _plain((table[f"{name}_high"] - table[f"{name}_low"]).mean())


def _inconsistency(table: pd.DataFrame) -> dict[str, object]:
    """Mean over the frames where it is known, and the share of these above `UNUSUAL`; None if it is nowhere known."""
    known = table["inconsistency"].dropna() if "inconsistency" in table else pd.Series(dtype=float)
    if known.empty:
        return {"mean": None, f"share_above_{UNUSUAL:g}": None}
    return {"mean": _plain(known.mean()), f"share_above_{UNUSUAL:g}": _share(known > UNUSUAL)}


def as_drawn(table: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """The table without values (NaN) of a dimension, and without its interval, where it has nothing to be read from:
    drawn, they would look found."""
    drawn = table.copy()
    for name in sources:
        columns = [column for column in (name, f"{name}_low", f"{name}_high") if column in table]
        drawn[columns] = table[columns].where(readable(table, name, sources), axis=0)
    return drawn


def _warnings(table: pd.DataFrame, facts: Mapping[str, object]) -> Iterator[str]:
    if warning := facts.get("picture_warning"):
        yield str(warning)
    yield from _face_warnings(table)
    yield from _audio_warnings(table, facts)
    unpredicted = table[["valence", "arousal"]].isna().any(axis=1)
    if unpredicted.all():
        yield "neither face nor sound: nothing could be predicted"
    elif unpredicted.any():
        yield f"{int(unpredicted.sum())} of {len(table)} frames have neither face nor sound and no prediction"


def _source_warnings(table: pd.DataFrame, sources: Sources) -> Iterator[str]:
    """What the values say where the model had nothing to read them from."""
    for name, modalities in sources.items():
        predicted, read = table[name].notna(), readable(table, name, sources)
        if predicted.any() and not read.any():
            missing = " or ".join(NAMES[modality] for modality in modalities)
            yield f"{name} was not read: this model reads it from the {missing}, and there was none"
        elif predicted.any() and (table.loc[read, name] == 0).all():
            yield f"{name} is exactly 0 throughout: the model found nothing to read it from"
        elif predicted.any() and (share := _share(observed(table, name, sources))) < 0.5:
            what = "a face" if "visual" in modalities and table.get("face_found", read).any() else "sound"
            yield f"mean and peaks of {name} are over {100 * share:.0f} % of the frames: those with {what}"
    faceless = "face_found" in table and not table["face_found"].any()
    heard = "audio_present" in table and table["audio_present"].any()
    if faceless and heard and any("audio" in modalities for modalities in sources.values()):
        yield f"{SOUND_ALONE}, be it a voice, music or noise"


def _face_warnings(table: pd.DataFrame) -> Iterator[str]:
    if "face_found" not in table:
        return
    share = _share(table["face_found"])
    if share == 0:
        yield "no face in any frame"
    elif share < 0.5:
        yield f"face in under half the frames ({100 * share:.0f} %)"


def _audio_warnings(table: pd.DataFrame, facts: Mapping[str, object]) -> Iterator[str]:
    if facts.get("has_audio") is False:
        yield "no audio stream"
        return
    if "audio_present" in table and not table["audio_present"].any():
        yield "no sound in any frame"
        return
    start_s, end_s = _audio_bounds(table, facts)
    if start_s is not None and start_s > TOLERANCE_S:
        yield f"audio starts {start_s:.2f} s after the video"
    if end_s is not None and end_s > TOLERANCE_S:
        yield f"audio ends {end_s:.2f} s before the video"
    if "loudness_dbfs" in facts:
        yield from _loudness_warnings(_plain(facts["loudness_dbfs"]))


def _loudness_warnings(loudness: object) -> Iterator[str]:
    if loudness is None or (isinstance(loudness, (int, float)) and loudness < SILENT_DBFS):
        yield "the sound is silent: is the track muted?"
    elif isinstance(loudness, (int, float)) and loudness < QUIET_DBFS:
        yield f"sound is very quiet ({loudness:.0f} dBFS)"


def _audio_bounds(table: pd.DataFrame, facts: Mapping[str, object]) -> tuple[float | None, float | None]:
    """Seconds of video before the sound starts, and after it has ended; None if unknown."""
    time_s = table["time_s"].to_numpy(np.float64)
    step = float(np.median(np.diff(time_s))) if time_s.size > 1 else 0.0
    start = end = None
    if "audio_present" in table:
        present = time_s[table["audio_present"].to_numpy(bool)]
        start, end = float(present[0] - time_s[0]), float(time_s[-1] - present[-1])
    stated = _plain(facts.get("audio_end_s"))
    if isinstance(stated, (int, float)):
        end = time_s[-1] + step - float(stated)
    return start, end


def _extremes(table: pd.DataFrame, name: str, sources: Sources | None) -> dict[str, object]:
    values, time_s = table[name].to_numpy(np.float64), table["time_s"].to_numpy(np.float64)
    known = observed(table, name, sources).to_numpy(bool)
    shares: dict[str, object] = {"observed": float(known.mean()), "mean_all": _plain(np.float64(table[name].mean()))}
    if not known.any():
        return {"mean": None, "std": None, "maximum": None, "minimum": None, **shares}
    values, time_s = values[known], time_s[known]
    high, low = int(values.argmax()), int(values.argmin())
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "maximum": {"value": float(values[high]), "time_s": float(time_s[high])},
        "minimum": {"value": float(values[low]), "time_s": float(time_s[low])},
        **shares,
    }


def _observed_mean(table: pd.DataFrame, name: str, sources: Sources | None) -> float | None:
    known = observed(table, name, sources)
    return float(table[name][known].mean()) if known.any() else None


def _share(mask: pd.Series) -> float:
    return float(mask.to_numpy(bool).mean())


def _plain(value: object) -> object:
    """A value as JSON can store it: numpy numbers as Python's, NaN and infinity as None, other types as text."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str) else str(value)
