"""Parameters of inference."""

from __future__ import annotations

from pydantic import Field

from iaca.config import Parameters


class Drawing(Parameters):
    """What is drawn beside the table: all that changes the results of a video besides the video and the model.

    Attributes:
        overlay: write the video with face box, dial and gates (the slowest part).
        plot: write the picture of valence, arousal and gates over time.
        overlay_width: smaller videos are enlarged to this width in px, so that the text can be read.
        trail_s: how much of the past the dial shows, in seconds.
    """

    overlay: bool = True
    plot: bool = True
    overlay_width: int = Field(default=640, ge=320, le=3840)
    trail_s: float = Field(default=2.0, ge=0, le=30)


class InferenceConfig(Drawing):
    """What to predict, with which model, and what to write beside the table.

    Attributes:
        input: a media file, a folder of them, or a glob pattern.
        output: folder for NAME.csv, NAME.json and, if asked for, NAME.png and NAME.mp4.
        model: model file; None takes the one the project trained last.
    """

    input: str = Field(min_length=1)
    output: str = Field(min_length=1)
    model: str | None = None

    def drawing(self) -> Drawing:
        """The part that decides what is drawn."""
        return Drawing(**self.model_dump(include=set(Drawing.model_fields)))
