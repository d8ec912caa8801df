"""What the analysis of a video gives: tables, and facts about the file.

Whose voice is it? One sound track belongs to nobody by itself.

How much a prediction rests on: one number per step in [0, 1]. It is an index, not a probability.

    q_m(t)      = quality of modality m where it was observed, 0 elsewhere
                  face:  face_score * ramp(face_sharpness; 2, 4.5)
                  voice: ramp(snr_estimate; 3 dB, 20 dB)
    e_m(t)      = max over s of q_m(s) * 2^(-|t - s| / 1 s)
    u_m(t)      = (1 / M + gate weight of m) / 2        (1 / M without a gate across the M modalities of the model)
    evidence(t) = sum over m of u_m e_m
    confidence  = own(t) evidence / (1 + (spread / 0.2)^2); 0 where nothing is predicted

own(t) is how much a model says itself that its answer rests on (`zero_shot`); 1 for those that say nothing.

ramp(x; a, b) is 0 up to a, 1 from b, straight between; an unknown cue counts as good. The spread is that of several
models: root mean square, over the dimensions, of the standard deviation between them; a single model has none.

With the gate's weights held, it never rises when a modality goes missing, a quality falls, or models move apart, and
never falls when the nearest observed step comes closer. The formula is ours; `benchmarks/confidence.py` measures what
it says about errors.

From any video to its valence and arousal: the one code path of the pipeline and of scripts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.encoders.config import EmbeddingConfig, config_of, describe, mismatches
from iaca.encoders.embed import NUMBERS, embed, embed_sound
from iaca.encoders.embedding import ClipEmbedding
from iaca.encoders.networks import pick_device
from iaca.errors import InputError, brief, plain_name
from iaca.faces import FaceConfig, FaceImages, extract_faces_file, extract_people_files, read_faces
from iaca.inference.config import People
from iaca.inference.find import check_alike, find_models
from iaca.inference.members import TRAINED, Member, join, load_member
from iaca.media import AudioTrack, MediaInfo, MediaLimits, extract_audio, probe, read_audio_file
from iaca.training.predict import prediction_table


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


CLEAR = 0.5
"""A mouth goes with the sound if its synchrony is at least this ..."""
MARGIN = 0.25
"""... and exceeds that of everyone else in view by at least this."""
Mask = NDArray[np.bool_]


def attribute(people: Sequence[ClipEmbedding]) -> list[Mask]:
    """Where the sound counts as each person's own: their `audio_present` (t,).

    At each step: if one person's mouth clearly moves with the sound (`CLEAR`, `MARGIN`, on the cue `synchrony`: a
    correlation over 2 s), the voice is theirs and nobody else's; otherwise it counts for everyone, as it does in a
    video of one person. Somebody out of view who speaks therefore lends the voice to everyone in view.

    Args:
        people: embeddings of everyone in one video, at the same steps.
    """
    heard = [person.audio_present for person in people]
    if len(people) < 2:
        return heard
    moves = np.stack([_synchrony(person) for person in people])
    first, second = np.sort(moves, axis=0)[[-1, -2]]
    clear = (first >= CLEAR) & (first - second >= MARGIN)
    speaker = np.where(clear, moves.argmax(axis=0), -1)
    return [there & ((speaker == number) | (speaker < 0)) for number, there in enumerate(heard)]


def _synchrony(person: ClipEmbedding) -> NDArray[np.float64]:
    if "synchrony" not in person.quality_names:
        return np.zeros(len(person))
    cue = person.quality[:, person.quality_names.index("synchrony")].astype(np.float64)
    return np.where(person.face_found, np.nan_to_num(cue), 0.0)


SHARPNESS = (2.0, 4.5)
"""`face_sharpness` of a face of which nothing can be told, and of one in focus; the default corpus's 5 % lie at 4.9."""
SNR_DB = (3.0, 20.0)
"""`snr_estimate` of sound without a voice above its floor, and of a clear one."""
HALF_LIFE_S = 1.0
"""An observation is worth half as much to a step this far (s) away."""
SPREAD = 0.2
"""Disagreement between models, on the scale of valence and arousal, that halves the confidence."""
LOW = 0.5
"""What summaries count as low."""
Array = NDArray[np.float64]


def confidence(
    clip: ClipEmbedding,
    modalities: Sequence[str],
    weights: NDArray[np.floating] | None,
    spread: NDArray[np.floating] | None,
    own: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """The confidence (t,) of a clip's predictions, in [0, 1].

    Args:
        clip: masks and cues; cues that it lacks are unknown.
        modalities: "audio", "visual" or both: what the model reads.
        weights: (t, 2) of voice and face in the gate across them; None for a model without one.
        spread: (t,) between models, on the scale of valence and arousal; None for a single model.
        own: (t,) in [0, 1] what the models say themselves; None where they say nothing.
    """
    given = [quality(clip, modality) for modality in modalities]
    worth = np.stack([lasting(q, clip.time_s) for q in given], axis=1)
    shares = np.full_like(worth, 1 / len(modalities))
    if weights is not None and len(modalities) == 2:
        shares = (shares + np.nan_to_num(weights, nan=0.5)) / 2
    value = (shares * worth).sum(axis=1)
    if spread is not None:
        value = value / (1 + (np.asarray(spread, np.float64) / SPREAD) ** 2)
    if own is not None:
        value = value * own
    return np.where(clip.observed, value.clip(0, 1), 0.0).astype(np.float32)


def quality(clip: ClipEmbedding, modality: str) -> Array:
    """q (t,) in [0, 1] of "audio" or "visual": 0 where it was not observed."""
    if modality == "audio":
        return np.where(clip.audio_present, _ramp(_cue(clip, "snr_estimate"), *SNR_DB), 0.0)
    score = np.nan_to_num(_cue(clip, "face_score"), nan=1.0).clip(0, 1)
    return np.where(clip.face_found, score * _ramp(_cue(clip, "face_sharpness"), *SHARPNESS), 0.0)


def lasting(worth: Array, time_s: Array) -> Array:
    """max over s of worth(s) 2^(-|t - s| / `HALF_LIFE_S`), (t,) for increasing times (s)."""
    with np.errstate(divide="ignore"):
        level = np.log2(worth)  # -inf where there is nothing
    age = (time_s - time_s[:1]) / HALF_LIFE_S
    before = np.maximum.accumulate(level + age) - age
    after = np.maximum.accumulate((level - age)[::-1])[::-1] + age
    return np.asarray(2.0 ** np.maximum(before, after))


def _cue(clip: ClipEmbedding, name: str) -> Array:
    if name not in clip.quality_names:
        return np.full(len(clip), np.nan)
    return clip.quality[:, clip.quality_names.index(name)].astype(np.float64)


def _ramp(x: Array, low: float, high: float) -> Array:
    return np.nan_to_num((x - low) / (high - low), nan=1.0, posinf=1.0, neginf=0.0).clip(0.0, 1.0)


BOX = ["x0", "y0", "x1", "y1"]
ORIGIN = {"kind": TRAINED, "preset": "", "corpus": "", "caveat": "", "data_fingerprint": ""}
"""What is said of a model in every summary, and what that is of a model that does not know."""


@dataclass(frozen=True)
class Predictor:
    """One model, or several that answer together, with the encoders they were made for.

    Predictor.load("zero_shot").predict("video.mp4")
    """

    members: tuple[Member, ...]
    embedding: EmbeddingConfig
    faces: FaceConfig
    limits: MediaLimits = field(default_factory=MediaLimits)

    @classmethod
    def load(
        cls,
        model_path: str | Path | Iterable[str | Path],
        device: str = "auto",
        faces: FaceConfig | None = None,
        limits: MediaLimits | None = None,
    ) -> Self:
        """Read model files and build what they need.

        Args:
            model_path: a file, a list of them, a folder of them, a glob pattern, or the name of a model that comes
                with the project. Of several, the prediction is the mean, and their spread lowers the confidence.
            device: of the networks; "auto" takes a GPU where there is one.
            faces: how faces are found.
            limits: what a video may hold; None for the usual ones.

        Raises:
            InputError: a file is no model file, or was trained on embeddings that this installation does not make, or
                on others than the rest.
        """
        paths = find_models(model_path)
        members = tuple(load_member(path, pick_device(device)) for path in paths)
        check_alike(paths, [member.metadata for member in members])
        embedding = _embedding(paths[0], members[0].metadata, device)
        return cls(members, embedding, faces or FaceConfig(), limits or MediaLimits())

    def origin(self) -> dict[str, str]:
        """What the model is and which corpus it learned from, with the caveat of either; of several models, what each
        of them says once, joined by "; ", and how many there are."""
        said = {
            key: dict.fromkeys(member.metadata.get(key, other) for member in self.members)
            for key, other in ORIGIN.items()
        }
        facts = {key: "; ".join(filter(None, values)) for key, values in said.items()}
        return facts if len(self.members) == 1 else {**facts, "members": str(len(self.members))}

    def predict(self, video: str | Path) -> pd.DataFrame:
        """Valence and arousal in [-1, 1] for every decoded frame, with the columns of a predictions table.

        Raises:
            InputError: the file can't be decoded, has no video stream, or is beyond a limit.
        """
        return self.analyse(video).table.drop(columns=BOX)

    def analyse(self, video: str | Path, whom: People | None = None) -> Analysis:
        """As `predict`, with the face's box and the facts that a summary needs; by default of the main person."""
        video = Path(video)
        media = probe(video, limits=self.limits)
        if not media.has_video:
            raise InputError("there is no video stream", video, remedy="give a file with pictures")
        with tempfile.TemporaryDirectory(prefix="iaca-") as scratch:  # as the corpus pipelines: through files
            faces = self._faces(video, Path(scratch), whom or People())
            # neither faces nor sound ever lie in memory as a whole
            extract_audio(video, Path(scratch) / "audio.flac", limits=self.limits)
            audio = read_audio_file(Path(scratch) / "audio.flac")
            clips = list(self._embed(faces, audio))
            boxes = [read_faces(path, columns=BOX).to_numpy() for path in faces]
            facts = facts_of(media, audio)
        tables = [
            self._table(plain_name(video.stem), replace(clip, audio_present=heard), box)
            for clip, heard, box in zip(clips, attribute(clips), boxes, strict=True)
        ]
        return Analysis(tables[0], media, facts, tuple(tables[1:]))

    def _faces(self, video: Path, folder: Path, whom: People) -> list[Path]:
        """A file of faces for each person: one pass over the video."""
        if whom.people == "all":
            return extract_people_files(video, folder, self.faces, whom, limits=self.limits)
        extract_faces_file(video, folder / "faces.parquet", self.faces, limits=self.limits)
        return [folder / "faces.parquet"]

    def _embed(self, faces: list[Path], audio: AudioTrack) -> Iterator[ClipEmbedding]:
        """Embeddings of each person; what they have in common is made once."""
        shared = None
        for path in faces:
            table = read_faces(path, columns=NUMBERS)
            if len(faces) > 1 and shared is None:
                shared = embed_sound(audio, table["time_s"].to_numpy(np.float64), self.embedding)
            with FaceImages(path) as jpegs:
                yield embed(table, jpegs, audio, self.embedding, shared)

    def _table(self, name: str, clip: ClipEmbedding, box: np.ndarray) -> pd.DataFrame:
        joint = join(self.members, [member.predict(clip) for member in self.members])
        table = prediction_table(name, clip, joint.prediction, joint.labels)
        sure = confidence(clip, joint.modalities, joint.weights, joint.spread, joint.evidence)
        sure[table[["valence", "arousal"]].isna().all(axis=1)] = 0.0
        table.insert(list(table).index("arousal") + 1, "confidence", sure)
        table[BOX] = box
        return table


def _embedding(path: Path, metadata: Mapping[str, str], device: str) -> EmbeddingConfig:
    """The encoders that a model was trained on, if they are here and the same."""
    names = {key: metadata.get(f"{key}_encoder") for key in ("visual", "audio")}
    try:
        embedding = config_of(metadata, device)
    except ValueError as error:
        raise InputError(
            f"the model was trained on embeddings that can't be made here: {brief(names)}", path,
            remedy="use a model trained on videos with the encoders of this version",
        ) from error  # fmt: skip
    if differences := mismatches(metadata, describe(embedding)):
        raise InputError(
            f"the model was trained on other encoders than those here: {'; '.join(differences)}", path,
            remedy="put the weights it was trained with in their place, or embed and train again",
        )  # fmt: skip
    return embedding
