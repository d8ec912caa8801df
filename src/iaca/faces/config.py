"""Parameters of face extraction. Imports neither torch nor a detector."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from iaca.parameters import DEVICE, LONGEST_S, Parameters

DetectorName = Literal["mtcnn", "yunet"]
"""The keys of `iaca.faces.detect.DETECTORS`."""
Side = Literal["left", "right"]
"""Which of two people in the picture a clip is about, as seen in the image."""


class FaceConfig(Parameters):
    """How faces are detected, tracked, aligned and stored.

    Attributes:
        source: "detect" finds faces in the videos; "crops" takes those that the corpus provides, for every clip; "auto"
            takes them for the clips that have some and detects the others.
        detector: "mtcnn" (its weights come with facenet-pytorch) or "yunet" (needs `weights`).
        weights: weights file of a detector that comes without weights (`iaca.files.in_project`).
        device: torch device of the detector: "cpu", "cuda", or "auto", a GPU if there is one.
        every: detect at least on every k-th frame until faces are steady; optical flow covers the frames between.
        max_every: while flow and detector agree, the interval grows frame by frame up to this.
        size: side of the aligned face (px).
        min_face: smallest face to look for, as a fraction of the shorter side of the image ...
        min_face_px: ... but never smaller than this (px).
        min_score: detections with a lower score (0..1) are dropped.
        jpeg_quality: quality (0..100) of the stored faces.
        relink_s: a face that returns to its place after at most this long (s) keeps its track.
        min_track_s: tracks shorter than this (s) are treated as false alarms.
        join: when the track of the person ends (a cut, a long absence), a clip without `side` continues with the next
            face that is alone in view; set it to false where several people take turns.
    """

    source: Literal["auto", "crops", "detect"] = "auto"
    detector: DetectorName = "mtcnn"
    weights: str | None = Field(None, min_length=1)
    device: str = Field("cpu", pattern=DEVICE)
    every: int = Field(5, ge=1, le=10_000)
    max_every: int = Field(15, ge=1, le=10_000)
    size: int = Field(112, ge=16, le=1024)
    min_face: float = Field(0.1, gt=0.0, le=1.0)
    min_face_px: int = Field(20, ge=12, le=16_384)
    min_score: float = Field(0.9, ge=0.0, le=1.0)
    jpeg_quality: int = Field(92, ge=1, le=100)
    relink_s: float = Field(3.0, ge=0.0, le=LONGEST_S)
    min_track_s: float = Field(0.3, ge=0.0, le=LONGEST_S)
    join: bool = True

    @model_validator(mode="after")
    def _intervals_in_order(self) -> FaceConfig:
        if self.max_every < self.every:
            raise ValueError(f"max_every ({self.max_every}) is below every ({self.every})")
        return self


class PeopleRule(Parameters):
    """How the tracks of a video become people, when all of its people are extracted (see `iaca.faces.track.people`).

    Attributes:
        min_person_s: the face of a person is seen for at least this long (s) in total, or in half of the frames of a
            shorter video.
        rejoin_s: a track that starts where another one ended, within this time (s), can be the same person.
    """

    min_person_s: float = Field(default=1.0, ge=0.0, le=LONGEST_S)
    rejoin_s: float = Field(default=10.0, ge=0.0, le=LONGEST_S)
