"""From any video to its valence and arousal: the one code path of the pipeline and of scripts.

video -> faces, sound -> embeddings of each person -> models -> table, one row per decoded frame

Torch is imported by the functions that compute: planning a run whose videos are up to date does not need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.corpora.index import NOT_ABOUT_PEOPLE
from iaca.encoders.config import EmbeddingConfig, Fetching, config_of, get_missing, identity, mismatches
from iaca.encoders.embed import NUMBERS, embed, embed_sound
from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError, brief, plain_name
from iaca.faces import FaceConfig, KeptFaces, keep_faces
from iaca.files import work_folder
from iaca.inference.config import People, check_alike, find_models
from iaca.media import AudioTrack, MediaInfo, MediaLimits, extract_audio, probe, read_audio_file
from iaca.parameters import MODALITIES
from iaca.training.config import TARGETS

if TYPE_CHECKING:
    from iaca.faces.detect import Side
    from iaca.inference.members import Member
    from iaca.inference.stream import Stream

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

BOX = ["x0", "y0", "x1", "y1"]
"""Columns of an analysis's tables that hold the face's box, px."""
TRAINED = "trained"
"""The kind of a model that was fitted to valence and arousal. Results of any other kind are labelled with it."""
OLDER = "none: the model file is older than this; train again"
ORIGIN = {
    "kind": TRAINED, "preset": "", "corpus": "", "caveat": "", "data_fingerprint": "", "intervals": OLDER,
    "inconsistency": "share of the time in which voice and face of one clip disagree less",
}  # fmt: skip
"""What every summary reports about a model, with the values for a model file that lacks them."""


NAME_LENGTH = 60
"""Longest name of a corpus on a stamp."""


def stamp(origin: Mapping[str, str]) -> str:
    """What plot, overlay and log say about a heuristic, or a model that was trained on a corpus with a caveat:
    `trained on demo corpus, not on real people`. "" for any other.

    Args:
        origin: of `Predictor.origin`.
    """
    kind, corpus, caveat = (origin.get(key, ORIGIN[key]) for key in ("kind", "corpus", "caveat"))
    made_up, corpus = NOT_ABOUT_PEOPLE in caveat, plain_name(brief(corpus, NAME_LENGTH))
    if kind != TRAINED:
        return f"{kind}, fitted to {corpus}, not to real people" if made_up else kind
    if made_up:
        return f"trained on {corpus}, not on real people"
    return f"trained on {corpus or 'a corpus'}: the summary has its caveat" if caveat else ""


@dataclass(frozen=True)
class Predictor:
    """One model, or several whose predictions are averaged, with the encoders they were trained on.

    Predictor.load("zero_shot").predict("video.mp4")

    Attributes:
        files: that the models were read from.
        repository: of the hub that they were fetched from, `owner/name@commit`; "" for files of this machine.
    """

    members: tuple[Member, ...]
    embedding: EmbeddingConfig
    faces: FaceConfig
    limits: MediaLimits = field(default_factory=MediaLimits)
    files: tuple[Path, ...] = ()
    repository: str = ""

    @classmethod
    def load(
        cls,
        model_path: str | Path | Iterable[str | Path],
        device: str = "auto",
        faces: FaceConfig | None = None,
        limits: MediaLimits | None = None,
        download: bool = False,
    ) -> Self:
        """Read model files and check that their encoders are available.

        Args:
            model_path: a file, a list of files, a folder, a glob pattern, or the name of a model that comes with the
                project. Predictions of several models are averaged, and so are their intervals.
            device: for the networks; "auto" takes a GPU if there is one.
            faces: how faces are found.
            limits: on what a video may contain; None for the defaults.
            download: get published weights of encoders that are missing, as `python -m iaca.encoders get` does.

        Raises:
            InputError: a file is not a model file, or was trained on embeddings that this installation can't compute,
                or on others than the first model.
        """
        paths = find_models(model_path)
        get_missing(encoders_of(paths) if download else (), Fetching(download=download))
        members = _members(paths, device)
        embedding = _embedding_config(paths[0], members[0].metadata, device)
        return cls(members, embedding, _faces_for(embedding, faces), limits or MediaLimits(), tuple(paths))

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        revision: str | None = None,
        device: str = "auto",
        faces: FaceConfig | None = None,
        limits: MediaLimits | None = None,
        token: str | None = None,
        download: bool = False,
    ) -> Self:
        """Read the models of a repository of the Hugging Face hub, or of a folder that `save_pretrained` wrote.

        Args:
            name: `owner/name` of a repository (extra `hub`), or a folder.
            revision: branch, tag or commit of the repository. A commit is fetched once and then needs no network;
                anything else is resolved to its commit, which the log and `origin` name.
            device, faces, limits, download: as for `load`.
            token: for a private repository; None for the one that is saved on this machine.

        Raises:
            InputError: as `iaca.inference.hub.fetched` and `load`.
        """
        from iaca.inference.hub import fetched, relocated

        found = fetched(name, revision, token)
        paths = found.models
        get_missing(encoders_of(paths) if download else (), Fetching(download=download))
        members = _members(paths, device)
        embedding = _embedding_config(paths[0], relocated(members[0].metadata, found.folder), device)
        return cls(
            members, embedding, _faces_for(embedding, faces), limits or MediaLimits(), tuple(paths), found.origin
        )

    def save_pretrained(self, folder: str | Path, licence: str = "other", report: str | Path | None = None) -> None:
        """Write what `push_to_hub` would push to a folder, to look at it or to pass it on. Raises as that does."""
        from iaca.inference.hub import write_repository

        write_repository(self, Path(folder), licence, report)

    def push_to_hub(
        self,
        name: str,
        *,
        revision: str | None = None,
        private: bool = False,
        licence: str = "other",
        report: str | Path | None = None,
        token: str | None = None,
    ) -> str:
        """Push models and model card to a repository of the hub as one commit, whose id is returned.

        See `iaca.inference.hub.push`.
        """
        from iaca.inference.hub import push

        return push(self, name, revision=revision, private=private, licence=licence, report=report, token=token)

    def origin(self) -> dict[str, str]:
        """What the model is, which corpus it was trained on, and the caveats of both, by the keys of `ORIGIN`.

        Different values of several models are joined by "; ", and `members` is their number. `repository` is there for
        models of the hub.
        """
        values = {
            key: dict.fromkeys(member.metadata.get(key, default) for member in self.members)
            for key, default in ORIGIN.items()
        }
        facts = {key: "; ".join(filter(None, distinct)) for key, distinct in values.items()}
        facts |= {} if len(self.members) == 1 else {"members": str(len(self.members))}
        return facts | ({"repository": self.repository} if self.repository else {})

    def sources(self) -> dict[str, tuple[str, ...]]:
        """For valence and arousal, the modalities that at least one of the models reads it from."""
        read = [member.sources for member in self.members]
        return {name: tuple(m for m in MODALITIES if any(m in of[name] for of in read)) for name in TARGETS}

    def stream(self, side: Side | None = None) -> Stream:
        """The predictions for frames and sound as they arrive, see `Stream`.

        A causal model gives what `predict` gives for the whole recording. The zero-shot models and adapted ones run on
        averages of the past alone, and give other numbers than `predict`.

        Args:
            side: of two people in view, the one on that side; None for the person with the largest face.

        Raises:
            InputError: a model reads later steps, or its encoders do.
        """
        from iaca.inference.stream import Stream

        return Stream(self.members, self.embedding, self.faces, side)

    def predict(self, video: str | Path) -> pd.DataFrame:
        """Valence and arousal in [-1, 1] for every decoded frame, with the columns of a predictions table.

        Raises:
            InputError: the file can't be decoded, has no video stream, or exceeds a limit.
        """
        return self.analyse(video).table.drop(columns=BOX)

    def analyse(self, video: str | Path, people: People | None = None, folder: Path | None = None) -> Analysis:
        """As `predict`, with face boxes and facts about the file; of the main person unless `people` asks for all.

        Meanwhile faces and sound are in `folder`, or in the system's folder for temporary files (`work_folder`).

        Raises:
            InputError: as `predict`; StorageError if the disk of that folder is full.
        """
        video, people = Path(video), people or People()
        media = self._probed(video)
        with work_folder(folder) as work:  # faces and sound of a long video exceed memory
            faces, audio = self._extracted(video, work, people)
            clips = list(self._embed(faces, audio))
            boxes = [person.table[BOX].to_numpy() for person in faces]
            facts = media_facts(media, audio)
        tables = [
            self._table(plain_name(video.stem), replace(clip, audio_present=own_voice), box)
            for clip, own_voice, box in zip(clips, attribute_voice(clips), boxes, strict=True)
        ]
        return Analysis(tables[0], media, facts, tuple(tables[1:]))

    def embed(self, video: str | Path, folder: Path | None = None) -> ClipEmbedding:
        """The embeddings that `predict` predicts from.

        Raises:
            InputError: as `predict`; StorageError if the disk of that folder is full.
        """
        self._probed(Path(video))
        with work_folder(folder) as work:
            (clip,) = self._embed(*self._extracted(Path(video), work, People()))
        return clip

    def _probed(self, video: Path) -> MediaInfo:
        media = probe(video, limits=self.limits)
        if not media.has_video:
            raise InputError("there is no video stream", video, remedy="give a file with pictures")
        return media

    def _extracted(self, video: Path, work: Path, people: People) -> tuple[list[KeptFaces], AudioTrack]:
        """The faces of each person, and the sound; JPEGs and samples are in `work`."""
        sound, everyone = work / "audio.flac", people if people.people == "all" else None
        with ThreadPoolExecutor(1, thread_name_prefix="sound") as thread:
            extracting = thread.submit(extract_audio, video, sound, limits=self.limits)
            faces = keep_faces(video, work, self.faces, everyone, limits=self.limits)
            extracting.result()
        return faces, read_audio_file(sound)

    def _embed(self, faces: list[KeptFaces], audio: AudioTrack) -> Iterator[ClipEmbedding]:
        """Embeddings of each person; the sound is embedded once for all."""
        shared = None
        for person in faces:
            if len(faces) > 1 and shared is None:
                shared = embed_sound(audio, person.table["time_s"].to_numpy(np.float64), self.embedding)
            with person as jpegs:
                yield embed(person.table[NUMBERS], jpegs, audio, self.embedding, shared)

    def _table(self, name: str, clip: ClipEmbedding, box: np.ndarray) -> pd.DataFrame:
        from iaca.inference.members import Nearness, join, observed_shares  # torch
        from iaca.training.predict import prediction_table

        joint = join(self.members, [member.predict(clip) for member in self.members])
        near = Nearness() if self.embedding.causal else None
        shares = observed_shares(joint.prediction.gates, joint.labels, clip, near)
        table = prediction_table(name, clip, replace(joint.prediction, gates=shares), joint.labels)
        table[BOX] = box
        return table


def encoders_of(models: Iterable[str | Path]) -> Iterator[EmbeddingConfig]:
    """The encoders that model files need, whether or not their weights are on this machine.

    Models of features and of unknown encoders have none: loading them says so.
    """
    from iaca.inference.members import encoder_facts  # torch

    for path in find_models(models):
        facts = encoder_facts(path)
        with suppress(ValueError):
            yield facts if isinstance(facts, EmbeddingConfig) else config_of(facts)


def _members(paths: Sequence[Path], device: str) -> tuple[Member, ...]:
    from iaca.encoders.networks import pick_device  # torch
    from iaca.inference.members import load_member

    members = tuple(load_member(path, pick_device(device)) for path in paths)
    check_alike(paths, [member.metadata for member in members])
    return members


def _faces_for(embedding: EmbeddingConfig, faces: FaceConfig | None) -> FaceConfig:
    """How faces are found; for embeddings that read nothing later, without later frames."""
    faces = faces or FaceConfig()
    return faces.model_copy(update={"causal": True}) if embedding.causal else faces


def _embedding_config(path: Path, metadata: Mapping[str, str], device: str) -> EmbeddingConfig:
    """The encoders that a model was trained on.

    Raises:
        InputError: they are not available here, or are of another version.
    """
    names = {key: metadata.get(f"{key}_encoder") for key in ("visual", "audio")}
    try:
        embedding = config_of(metadata, device)
    except ValueError as error:
        raise InputError(
            f"the model was trained on embeddings that can't be computed here: {brief(names)}", path,
            remedy="use a model trained on videos with the encoders of this version",
        ) from error  # fmt: skip
    if differences := mismatches(metadata, identity(embedding)):
        raise InputError(
            f"the model was trained on other encoders than those installed here: {'; '.join(differences)}", path,
            remedy="restore the weights files it was trained with, or embed and train again",
        )  # fmt: skip
    return embedding


@dataclass(frozen=True)
class Analysis:
    """The result for one video.

    Attributes:
        table: one row per decoded frame, the prediction columns and the face's box (px, NaN where there is none); of
            the only person, or of the first.
        media: facts about the file.
        facts: `media` as plain values, with `audio_end_s` (s) and `loudness_dbfs` (RMS of the sound without its
            offset, dB; None for digital silence).
        others: tables of the other people, if everyone was asked for.
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
    def summary_table(self) -> pd.DataFrame:
        """The first table, with `audio_present` of the video instead of that person's own voice."""
        sound = np.any([table["audio_present"] for table in self.tables], axis=0)
        return self.table.assign(audio_present=sound)


def media_facts(media: MediaInfo, audio: AudioTrack) -> dict[str, object]:
    """Facts about a file and its sound, as in `Analysis.facts`; the sound is read a minute at a time."""
    minute, count = 60 * audio.rate, len(audio.samples)
    parts = (audio.samples[start : start + minute] for start in range(0, count, minute))
    power = sum(_heard(part, audio.rate) for part in parts) / max(count, 1)
    return {
        **{name: value for name, value in asdict(media).items() if name != "path"},
        "audio_end_s": audio.present[-1][1] if audio.present else None,
        "loudness_dbfs": 10 * np.log10(power) if power > 0 else None,
    }


def _heard(samples: NDArray[np.float32], rate: int) -> float:
    """Sum of squares without the mean of each second: a constant offset of a recorder's input is not heard."""
    seconds = (samples[start : start + rate].astype(np.float64) for start in range(0, len(samples), rate))
    return sum(float(np.square(second - second.mean()).sum()) for second in seconds)


# Whose voice it is: a video has one sound track, but may show several people.

CLEAR = 0.5
"""A mouth moves with the sound if its synchrony is at least this ..."""
MARGIN = 0.25
"""... and exceeds that of everyone else in view by at least this."""


def attribute_voice(people: Sequence[ClipEmbedding]) -> list[Mask]:
    """For each person, where the sound counts as their own voice: `audio_present` (t,).

    At each step: if one person's mouth clearly moves with the sound (`CLEAR`, `MARGIN`, on the cue `synchrony`: a
    correlation over 2 s), the voice is theirs alone; otherwise it counts for everyone, as it does in a video of one
    person. A speaker who is out of view therefore lends the voice to everyone in view.

    Args:
        people: embeddings of everyone in one video, at the same steps.
    """
    present = [person.audio_present for person in people]
    if len(people) < 2:
        return present
    moves = np.stack([_synchrony(person) for person in people])
    first, second = np.sort(moves, axis=0)[[-1, -2]]
    clear = (first >= CLEAR) & (first - second >= MARGIN)
    speaker = np.where(clear, moves.argmax(axis=0), -1)
    return [sound & ((speaker == number) | (speaker < 0)) for number, sound in enumerate(present)]


def _synchrony(person: ClipEmbedding) -> Array:
    """(t,) the cue, 0 where it is unknown or there is no face."""
    return np.where(person.face_found, np.nan_to_num(_cue(person, "synchrony")), 0.0)


def _cue(clip: ClipEmbedding, name: str) -> Array:
    """(t,) a quality cue; NaN if the clip lacks it."""
    if name not in clip.quality_names:
        return np.full(len(clip), np.nan)
    return clip.quality[:, clip.quality_names.index(name)].astype(np.float64)
