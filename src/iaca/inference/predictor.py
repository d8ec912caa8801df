"""From any video to its valence and arousal: the one code path of the pipeline and of scripts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from iaca.encoders.config import EmbeddingConfig, config_of, describe, mismatches
from iaca.encoders.embed import NUMBERS, embed, embed_sound
from iaca.encoders.embedding import ClipEmbedding
from iaca.encoders.networks import pick_device
from iaca.errors import InputError, brief, plain_name
from iaca.faces import FaceConfig, FaceImages, extract_faces_file, extract_people_files, read_faces
from iaca.inference.analysis import Analysis, facts_of
from iaca.inference.confidence import confidence
from iaca.inference.config import People
from iaca.inference.ensemble import join
from iaca.inference.members import TRAINED, Member, load_member
from iaca.inference.models import check_alike, find_models
from iaca.inference.voice import attribute
from iaca.media import AudioTrack, MediaLimits, extract_audio, probe, read_audio_file
from iaca.training.predict import prediction_table

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
