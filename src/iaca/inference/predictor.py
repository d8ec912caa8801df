"""From any video to its valence and arousal: the one code path of the pipeline and of scripts."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.device import pick_device
from iaca.encoders.embed import NUMBERS, embed
from iaca.encoders.identity import config_of, describe, mismatches
from iaca.errors import InputError
from iaca.faces import FaceConfig, FaceImages, extract_faces_file, read_faces
from iaca.media import AudioTrack, MediaInfo, extract_audio, probe, read_audio_file
from iaca.training.model_file import TrainedModel, load_model
from iaca.training.predict import BuiltModel, predict_clip, prediction_table

BOX = ["x0", "y0", "x1", "y1"]


@dataclass(frozen=True)
class Analysis:
    """What was found in a video.

    Attributes:
        table: one row per decoded frame, the prediction columns and the face's box (px, NaN where there is none).
        media: facts about the file.
        facts: `media` as plain values, with `audio_end_s` (s) and `loudness_dbfs` (RMS of the sound, dB).
    """

    table: pd.DataFrame
    media: MediaInfo
    facts: dict[str, object]


@dataclass(frozen=True)
class Predictor:
    """A trained model with the encoders it was trained on.

    Predictor.load("model.safetensors").predict("video.mp4")
    """

    trained: TrainedModel
    built: BuiltModel
    embedding: EmbeddingConfig
    faces: FaceConfig

    @classmethod
    def load(cls, model_path: str | Path, device: str = "auto", faces: FaceConfig | None = None) -> Self:
        """Read a model file and build what it needs.

        Raises:
            InputError: it is no model file, or was trained on embeddings that this installation does not make.
        """
        trained = load_model(Path(model_path))
        names = {key: trained.metadata.get(f"{key}_encoder") for key in ("visual", "audio")}
        try:
            embedding = config_of(trained.metadata, device)
        except ValueError as error:
            raise InputError(
                f"the model was trained on embeddings that can't be made here: {names}", model_path,
                remedy="use a model trained on videos with the encoders of this version",
            ) from error  # fmt: skip
        if differences := mismatches(trained.metadata, describe(embedding)):
            raise InputError(
                f"the model was trained on other encoders than those here: {'; '.join(differences)}", model_path,
                remedy="put the weights it was trained with in their place, or embed and train again",
            )  # fmt: skip
        return cls(trained, BuiltModel.of(trained, pick_device(device)), embedding, faces or FaceConfig())

    def origin(self) -> dict[str, str]:
        """What the model is and which corpus it learned from, with the caveat of that corpus."""
        return {key: self.trained.metadata.get(key, "") for key in ("preset", "corpus", "caveat", "data_fingerprint")}

    def predict(self, video: str | Path) -> pd.DataFrame:
        """Valence and arousal in [-1, 1] for every decoded frame, with the columns of a predictions table.

        Raises:
            InputError: the file can't be decoded, or has no video stream.
        """
        return self.analyse(video).table.drop(columns=BOX)

    def analyse(self, video: str | Path) -> Analysis:
        """As `predict`, with the face's box and the facts that a summary needs."""
        video = Path(video)
        media = probe(video)
        if not media.has_video:
            raise InputError("there is no video stream", video, remedy="give a file with pictures")
        with tempfile.TemporaryDirectory(prefix="iaca-") as scratch:  # as the corpus pipelines: through files
            faces, audio = self._preprocess(video, Path(scratch))
            table = read_faces(faces, columns=NUMBERS)
            with FaceImages(faces) as jpegs:
                embedding = embed(table, jpegs, audio, None, self.embedding)
            facts = _facts(media, audio)
        prediction = predict_clip(self.built, embedding)
        predicted = prediction_table(video.stem, embedding, prediction, self.built.model.gate_labels)
        predicted[BOX] = table[BOX].to_numpy()
        return Analysis(predicted, media, facts)

    def _preprocess(self, video: Path, folder: Path) -> tuple[Path, AudioTrack]:
        """Faces and sound as files: neither ever lies in memory as a whole."""
        faces, audio = folder / "faces.parquet", folder / "audio.flac"
        extract_faces_file(video, faces, self.faces)
        extract_audio(video, audio)
        return faces, read_audio_file(audio)


def _facts(media: MediaInfo, audio: AudioTrack) -> dict[str, object]:
    minute, count = 60 * audio.rate, len(audio.samples)
    parts = (audio.samples[start : start + minute] for start in range(0, count, minute))
    power = sum(float(np.square(part, dtype=np.float64).sum()) for part in parts) / max(count, 1)
    return {
        **{name: value for name, value in asdict(media).items() if name != "path"},
        "audio_end_s": audio.present[-1][1] if audio.present else None,
        "loudness_dbfs": 10 * np.log10(power) if power > 0 else None,
    }
