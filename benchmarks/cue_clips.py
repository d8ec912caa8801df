"""Clips with all that their cues are measured from, and what is known to have happened in them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.corpora.demo.config import DemoConfig
from iaca.corpora.demo.plan import VideoPlan, event_table, plan_corpus
from iaca.corpora.demo.render import render_movie
from iaca.corpora.index import read_event_table
from iaca.encoders.cues import FaceCues, sound_cues, synchrony
from iaca.faces import FaceConfig, decode_face, extract_faces, read_faces
from iaca.media import AudioTrack, present_at, read_audio, read_audio_file

EVENTS = [
    ("audio", "silent"), ("audio", "noisy"), ("audio", "contradictory"),
    ("visual", "occluded"), ("visual", "absent"), ("visual", "contradictory"),
]  # fmt: skip


@dataclass(frozen=True)
class CueClip:
    """One person who speaks.

    Attributes:
        name: of the clip, its corpus before it.
        times: (t,) s.
        found: (t,) where there is a face.
        sound: what is heard.
        cues: all of them (t,) by name.
        during: (t,) where an event of each modality and kind happens.
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

    def heard(self) -> NDArray[np.bool_]:
        return self.found & present_at(self.sound.present, self.times)

    def quiet(self) -> NDArray[np.bool_]:
        """(t,) where nothing happens to either modality."""
        return ~np.any(list(self.during.values()), axis=0)


def measure(name: str, faces: pd.DataFrame, sound: AudioTrack, events: pd.DataFrame) -> CueClip:
    """All cues of a clip from its faces and its sound, as `iaca.encoders.embed` has them."""
    times, found = faces["time_s"].to_numpy(np.float64), faces["face_found"].to_numpy(bool)
    seen = FaceCues(faces)
    for index in np.flatnonzero(found):
        seen.add(int(index), decode_face(faces["jpeg"].iloc[index]))
    cues = {**seen.columns(), **sound_cues(sound.samples, sound.rate, times)}
    known = found & present_at(sound.present, times)
    cues |= synchrony(cues["mouth_opening"], cues["sound_level"], times, known)
    during = {event: np.zeros(len(times), bool) for event in EVENTS}
    for row in events.itertuples():
        during[row.modality, row.kind] |= (times >= row.start_s) & (times < row.end_s)  # type: ignore[index]
    return CueClip(name, times, found, sound, cues, during)


def stored(data: Path, config: DemoConfig) -> Iterator[CueClip]:
    """The clips of a rendered and preprocessed demo corpus under `data`; people who only listen are left out."""
    table = read_event_table(data / "02_intermediate" / "events.csv")
    for person in (person for video in plan_corpus(config) for person in video.people if person.speaks):
        faces = read_faces(data / "03_primary" / "faces" / f"{person.clip}.parquet")
        sound = read_audio_file(data / "03_primary" / "audio" / f"{person.clip}.flac")
        yield measure(f"stored/{person.clip}", faces, sound, table[table["clip"] == person.clip])


def rendered(config: DemoConfig) -> Iterator[CueClip]:
    """The same of a corpus that is rendered here, one video at a time."""
    for video in plan_corpus(config):
        yield _rendered(video, config)


def _rendered(video: VideoPlan, config: DemoConfig) -> CueClip:
    speaker, table = video.speaker, event_table([video])
    with tempfile.TemporaryDirectory() as folder:
        movie = Path(folder) / "video.mp4"
        render_movie(video, config, movie)
        faces, sound = extract_faces(movie, FaceConfig(), speaker.side), read_audio(movie)  # type: ignore[arg-type]
    events = table[table["clip"] == speaker.clip]
    return measure(f"seed {config.seed}/{speaker.clip}", faces, sound, events)


def recorded(path: Path) -> CueClip:
    """A recording; nothing is known about it."""
    nothing = pd.DataFrame(columns=["clip", "modality", "kind", "start_s", "end_s"])
    return measure(path.name, extract_faces(path, FaceConfig()), read_audio(path), nothing)
