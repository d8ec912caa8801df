"""Parameters of face extraction."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from iaca.config import LONGEST_S, Parameters

DEVICE = r"^(cpu|(cuda|mps|xpu)(:\d+)?)$"  # what torch computes on


class FaceConfig(Parameters):
    """How faces are found, followed, aligned and stored.

    Attributes:
        source: "detect" finds faces in the videos; "crops" takes those that the corpus brings along, for every clip;
            "auto" takes them for the clips that have some and detects the others.
        detector: registered name, "mtcnn" (its weights come with facenet-pytorch) or "yunet" (needs `weights`).
        weights: file of the detector's weights, for detectors that bring none.
        device: torch device of the detector, e.g. "cpu" or "cuda".
        every: detect on each k-th frame at least while faces are not steady; optical flow covers the frames between.
        max_every: while flow and detector agree, the interval grows by one at a time up to this many frames.
        size: side of the aligned face (px).
        min_face: smallest face looked for, as a share of the image's shorter side ...
        min_face_px: ... but not below this many px.
        min_score: detections with a lower score (0..1) are dropped.
        jpeg_quality: quality (0..100) of the stored faces.
        relink_s: a face that was away for at most this long (s) and comes back to its place keeps its track.
        min_track_s: tracks shorter than this (s) are taken for false alarms.
        join: a clip without `side` goes on with the next face that is alone in view when its person's track ends (after
            a cut, a long absence); set it to false where several people take turns.
    """

    source: Literal["auto", "crops", "detect"] = "auto"
    detector: str = "mtcnn"
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

    @field_validator("detector")
    @classmethod
    def _known(cls, name: str) -> str:
        from iaca.faces.detector import DETECTORS  # which takes its configuration from here

        if name not in DETECTORS:
            raise ValueError(f"no face detector is called {name!r}; choose one of {', '.join(sorted(DETECTORS))}")
        return name

    @model_validator(mode="after")
    def _intervals_in_order(self) -> FaceConfig:
        if self.max_every < self.every:
            raise ValueError(f"max_every ({self.max_every}) is below every ({self.every})")
        return self


class PeopleRule(Parameters):
    """When tracks are people, and when several tracks are one person. For all people of a video at once.

    Attributes:
        min_person_s: a person's face is seen for at least this long (s) in all, or in half of a shorter video's frames.
        rejoin_s: a track that begins where another ended continues that person if it does so within this time (s); see
            `iaca.faces.people`.
    """

    min_person_s: float = Field(default=1.0, ge=0.0, le=LONGEST_S)
    rejoin_s: float = Field(default=10.0, ge=0.0, le=LONGEST_S)


Side = Literal["left", "right"]
"""Which of two people in the picture a clip is about, seen in the image."""
