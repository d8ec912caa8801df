"""Do the quality cues measure what they claim? Against known events of the demo corpus, swapped voices and late sound.

    python benchmarks/cue_validity.py [--data data] [--seeds 1] [--long 8] [--media FILE ...]

Prints the Markdown tables of docs/engineering/cue_validity.md. `--data` contains the demo corpus with its faces and
sound. `--seeds` renders that many more corpora, `--long` that many clips of 40 s without events. One thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from iaca.corpora.demo.plan import DemoConfig, VideoPlan, event_table, plan_corpus
from iaca.corpora.demo.render import render_movie
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.cues import NAMES, FaceCues, Pair, sound_cues, synchrony
from iaca.encoders.embed import embed
from iaca.faces import FaceConfig, decode_face, extract_faces, read_faces
from iaca.formats.labels import read_event_table
from iaca.media import AudioTrack, present_at, read_audio, read_audio_file

UNSIGNED = ("head_yaw", "head_pitch", "head_roll", "synchrony_lag")  # their distance from 0 is scored
EVENTS = [
    ("audio", "silent"), ("audio", "noisy"), ("audio", "contradictory"),
    ("visual", "occluded"), ("visual", "absent"), ("visual", "contradictory"),
]  # fmt: skip
OFFSETS_S = (-0.4, -0.3, -0.2, -0.1, -0.04, 0.0, 0.04, 0.1, 0.2, 0.3, 0.4)
OTHER_VOICES = 4
Table = list[list[str]]
"""Header, then rows."""

# Clips with all inputs of their cues, and the known events in them


@dataclass(frozen=True)
class CueClip:
    """One person who speaks.

    Attributes:
        name: corpus and clip.
        times: (t,) s.
        found: (t,) where there is a face.
        sound: the sound track.
        cues: (t,) each, by name.
        during: (t,) where there is an event of each modality and kind.
    """

    name: str
    times: NDArray[np.float64]
    found: NDArray[np.bool_]
    sound: AudioTrack
    cues: dict[str, NDArray[np.float32]]
    during: dict[tuple[str, str], NDArray[np.bool_]]

    @property
    def frame_s(self) -> float:
        """Median time between two frames."""
        return float(np.median(np.diff(self.times)))

    def complete(self) -> NDArray[np.bool_]:
        """(t,) where there are both a face and sound."""
        return self.found & present_at(self.sound.present, self.times)

    def eventless(self) -> NDArray[np.bool_]:
        """(t,) where neither modality has an event."""
        return ~np.any(list(self.during.values()), axis=0)


def cue_clip(name: str, faces: pd.DataFrame, sound: AudioTrack, events: pd.DataFrame) -> CueClip:
    """A clip with all cues of its faces and its sound, computed as in `iaca.encoders.embed`."""
    times, found = faces["time_s"].to_numpy(np.float64), faces["face_found"].to_numpy(bool)
    face_cues = FaceCues(faces)
    for index in np.flatnonzero(found):
        face_cues.add(int(index), decode_face(faces["jpeg"].iloc[index]))
    cues = {**face_cues.columns(), **sound_cues(sound.samples, sound.rate, times)}
    known = found & present_at(sound.present, times)
    cues |= synchrony(cues["mouth_opening"], cues["sound_level"], times, known)
    during = {event: np.zeros(len(times), bool) for event in EVENTS}
    for row in events.itertuples():
        during[row.modality, row.kind] |= (times >= row.start_s) & (times < row.end_s)  # type: ignore[index]
    return CueClip(name, times, found, sound, cues, during)


def stored(data: Path, config: DemoConfig) -> Iterator[CueClip]:
    """Clips of the rendered and preprocessed demo corpus under `data`, without people who only listen."""
    events = read_event_table(data / "02_intermediate" / "events.csv")
    for person in (person for video in plan_corpus(config) for person in video.people if person.speaks):
        faces = read_faces(data / "03_primary" / "faces" / f"{person.clip}.parquet")
        sound = read_audio_file(data / "03_primary" / "audio" / f"{person.clip}.flac")
        yield cue_clip(f"stored/{person.clip}", faces, sound, events[events["clip"] == person.clip])


def rendered(config: DemoConfig) -> Iterator[CueClip]:
    """Clips of a corpus that is rendered here, one video at a time."""
    for video in plan_corpus(config):
        yield _rendered(video, config)


def _rendered(video: VideoPlan, config: DemoConfig) -> CueClip:
    speaker, events = video.speaker, event_table([video])
    with tempfile.TemporaryDirectory() as folder:
        movie = Path(folder) / "video.mp4"
        render_movie(video, config, movie)
        faces, sound = extract_faces(movie, FaceConfig(), speaker.side), read_audio(movie)  # type: ignore[arg-type]
    return cue_clip(f"seed {config.seed}/{speaker.clip}", faces, sound, events[events["clip"] == speaker.clip])


def recorded(path: Path) -> CueClip:
    """A recording without known events."""
    no_events = pd.DataFrame(columns=["clip", "modality", "kind", "start_s", "end_s"])
    return cue_clip(path.name, extract_faces(path, FaceConfig()), read_audio(path), no_events)


# Known events


def event_rows(clips: Sequence[CueClip]) -> Table:
    """AUROC per cue and kind of event, below the numbers of steps, of steps with a face, and of clips."""
    rows = [["cue", "known", *(f"{modality} {kind}" for modality, kind in EVENTS)]]
    masks = {event: [clip.during[event] for clip in clips] for event in EVENTS}
    steps = [str(sum(int(m.sum()) for m in masks[event])) for event in EVENTS]
    affected = [str(sum(bool(m.any()) for m in masks[event])) for event in EVENTS]
    faces = [sum(int((m & c.found).sum()) for m, c in zip(masks[event], clips, strict=True)) for event in EVENTS]
    rows += [["*steps*", "", *steps], ["*of them with a face*", "", *map(str, faces)], ["*clips*", "", *affected]]
    for cue in NAMES:
        known = float(np.mean(np.isfinite(np.concatenate([clip.cues[cue] for clip in clips]))))
        rows.append([f"`{cue}`", f"{known:.0%}", *(f"{auroc(clips, cue, event):.2f}" for event in EVENTS)])
    return rows


def auroc(clips: Sequence[CueClip], cue: str, event: tuple[str, str]) -> float:
    """How well a low value separates steps of such events from steps without any; unknown values are ignored."""
    truth, values = [], []
    for clip in clips:
        inside, value = clip.during[event], clip.cues[cue]
        kept = (inside | clip.eventless()) & np.isfinite(value)
        truth.append(inside[kept])
        values.append(np.abs(value[kept]) if cue in UNSIGNED else value[kept])
    flags = np.concatenate(truth)
    if flags.all() or not flags.any():
        return float("nan")
    return float(roc_auc_score(flags, -np.concatenate(values)))


# Late sound and swapped voices


def offset_rows(clips: Sequence[CueClip], name: str) -> Table:
    """How often an offset of the sound is found to within one frame: per clip, by the median of its known lags, and per
    step."""
    clip_errors, step_errors, frames, lengths, known = [], [], [], [], []
    for clip in clips:
        for offset in OFFSETS_S:
            cues = synchrony(clip.cues["mouth_opening"], sound_level(clip, clip, offset), clip.times, clip.found)
            lag = cues["synchrony_lag"]
            finite = np.isfinite(lag)
            clip_errors.append(abs(float(np.median(lag[finite])) - offset) if finite.any() else np.inf)
            step_errors.append(np.abs(lag[finite] - offset))
            lengths.append(clip.frame_s)
            frames.append(np.full(int(finite.sum()), clip.frame_s))
            known.append(finite)
    per_clip, per_step = np.array(clip_errors), np.concatenate(step_errors)
    return [
        ["clips", "clips x offsets", "found within one frame", "median error", "steps with a lag", "within one frame"],
        [
            name, str(len(per_clip)), f"{np.mean(per_clip <= lengths):.1%}", f"{1e3 * np.median(per_clip):.1f} ms",
            f"{np.concatenate(known).mean():.0%}", f"{np.mean(per_step <= np.concatenate(frames)):.1%}",
        ],
    ]  # fmt: skip


def swap_rows(clips: Sequence[CueClip], spans: Sequence[float]) -> Table:
    """AUROC of the own voice against voices of other clips, in windows of each length (s) that overlap by half."""
    rows = [["window", "windows of own / other voices", "correlation at lag 0", "peak over lags"]]
    for span in spans:
        own, other = [], []
        for i, clip in enumerate(clips):
            own += _agreements(clip, clip, span)
            for step in range(1, OTHER_VOICES + 1):
                voice = clips[(i + step * max(len(clips) // (OTHER_VOICES + 1), 1)) % len(clips)]
                other += _agreements(clip, voice, span) if voice is not clip else []
        truth = np.repeat([1, 0], [len(own), len(other)])
        scores = np.array(own + other).reshape(-1, 2)
        figures = [f"{roc_auc_score(truth, scores[:, k]):.3f}" for k in (0, 1)] if own and other else ["-", "-"]
        rows.append([f"{span:g} s", f"{len(own)} / {len(other)}", *figures])
    return rows


def _agreements(clip: CueClip, voice: CueClip, span: float) -> list[tuple[float, float]]:
    """Correlation at lag 0 and peak over lags, for each window within both clips."""
    sound, known = sound_level(clip, voice), clip.found & np.isfinite(clip.cues["mouth_opening"])
    pair = Pair.of(clip.cues["mouth_opening"], sound, clip.times, known)
    end = min(clip.times[-1], len(voice.sound.samples) / voice.sound.rate)
    centres = np.arange(clip.times[0] + span / 2, end - span / 2 + 1e-6, span / 2)
    at = pair.places(centres)
    straight, peak = pair.agreement(0, span)[at], pair.without_drift().best(span)[0][at]
    return [(float(a), float(b)) for a, b in zip(straight, peak, strict=True)]


def sound_level(clip: CueClip, voice: CueClip, late_s: float = 0.0) -> NDArray[np.float32]:
    """Level (t,) at the steps of a clip of a voice that is `late_s` late."""
    return sound_cues(voice.sound.samples, voice.sound.rate, clip.times - late_s)["sound_level"]


# Recordings and cost


def recording_rows(paths: Sequence[Path]) -> Table:
    """Cues of recordings without known events."""
    rows = [["file", "s", "face", "voice activity", "synchrony", "lag known", "lag (s)"]]
    for clip in map(recorded, paths):
        cues, both = clip.cues, clip.complete()
        lag = cues["synchrony_lag"][both]
        median = f"{np.nanmedian(lag):+.2f}" if np.isfinite(lag).any() else "-"
        means = [f"{cues[c][both].mean():.2f}" if both.any() else "-" for c in ("voice_activity", "synchrony")]
        known = f"{np.isfinite(lag).mean():.0%}" if both.any() else "-"
        rows.append([clip.name, f"{clip.times[-1]:.1f}", f"{clip.found.mean():.0%}", *means, known, median])
    return rows


def cost(data: Path, clips: int = 8) -> str:
    """CPU time of the cues as a share of that of the embedding step, which includes them."""
    files = sorted((data / "03_primary" / "faces").glob("*.parquet"))[:clips]
    spent = {"cues": 0.0, "embedding": 0.0}
    for number, file in enumerate([files[0], *files]):  # the first one is a warm-up
        faces, sound = read_faces(file), read_audio_file(data / "03_primary" / "audio" / f"{file.stem}.flac")
        times, found = faces["time_s"].to_numpy(np.float64), faces["face_found"].to_numpy(bool)
        images = {int(i): decode_face(faces["jpeg"].iloc[i]) for i in np.flatnonzero(found)}
        start = time.process_time()
        face_cues = FaceCues(faces)
        for index, image in images.items():
            face_cues.add(index, image)
        cues = {**face_cues.columns(), **sound_cues(sound.samples, sound.rate, times)}
        synchrony(cues["mouth_opening"], cues["sound_level"], times, found)
        middle = time.process_time()
        embed(faces, faces["jpeg"], sound, EmbeddingConfig(device="cpu"))
        if number:
            spent["cues"] += middle - start
            spent["embedding"] += time.process_time() - middle
    return f"cues take {spent['cues'] / spent['embedding']:.1%} of the embedding step's CPU time ({len(files)} clips)"


def markdown(rows: Table) -> str:
    """A Markdown table."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)) + "\n"


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--long", type=int, default=8)
    parser.add_argument("--media", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(cost(given.data), flush=True)
    clips = list(stored(given.data, DemoConfig()))
    for seed in range(1, given.seeds + 1):
        clips += rendered(DemoConfig(seed=seed))
    print(f"\n{len(clips)} clips with events\n\n{markdown(event_rows(clips))}", flush=True)
    print(markdown(offset_rows(clips, "demo corpus, with its events")), flush=True)
    print(markdown(swap_rows(clips, (4.0, 8.0))), flush=True)
    without_events = DemoConfig(
        seed=100, identities=max(given.long, 3), clips_per_identity=1, seconds=40, pairs=False, events=False
    )
    long = list(rendered(without_events))
    offsets = markdown(offset_rows(long, "40 s without events"))
    print(f"{len(long)} clips of 40 s without events\n\n{offsets}", flush=True)
    print(markdown(swap_rows(long, (4.0, 8.0, 16.0))), flush=True)
    if given.media:
        print(markdown(recording_rows(given.media)))


if __name__ == "__main__":
    main()
