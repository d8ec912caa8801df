"""Parameters of inference. Free of torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from iaca.faces.config import PeopleRule
from iaca.parameters import Parameters

ModelName = Annotated[str, Field(min_length=1)]


class Drawing(Parameters):
    """What is drawn besides the tables.

    Attributes:
        overlay: write the video with face box, dial and gates (the slowest part).
        plot: write the picture of valence, arousal and gates over time.
        overlay_width: smaller videos are enlarged to this width in px, so that the text is readable.
        trail_s: how much of the past the dial shows, in seconds.
    """

    overlay: bool = True
    plot: bool = True
    overlay_width: int = Field(default=640, ge=320, le=3840)
    trail_s: float = Field(default=2.0, ge=0, le=30)


class People(PeopleRule):
    """Who in a video is analysed.

    Attributes:
        people: "main" is the one person with the largest face over time; "all" is everyone in view, each with a table.
    """

    people: Literal["main", "all"] = "main"


class InferenceConfig(Drawing, People):
    """What to predict, with which model, and which files to write.

    Attributes:
        input: a media file, a folder of them, or a glob pattern.
        output: folder for NAME.csv (NAME.person1.csv, ... with `people: all`), NAME.json and, if asked for, NAME.png
            and NAME.mp4.
        model: model file, the name of one that comes with the project, or several whose predictions are averaged: a
            list, a folder or a glob pattern; None is `zero_shot`.
    """

    input: str = Field(min_length=1)
    output: str = Field(min_length=1)
    model: ModelName | Annotated[tuple[ModelName, ...], Field(min_length=1)] | None = None

    def drawing(self) -> Drawing:
        """The parameters that decide what is drawn."""
        return Drawing(**self.model_dump(include=set(Drawing.model_fields)))

    def whom(self) -> People:
        """The parameters that decide who is analysed."""
        return People(**self.model_dump(include=set(People.model_fields)))
