"""Which encoders turn faces and sound into embeddings. Free of torch: parameters are checked before it is imported."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from iaca.config import Parameters
from iaca.encoders.registry import REGISTRIES, Encoder
from iaca.modalities import Modality

DEVICE = r"^(auto|cpu|(cuda|mps|xpu)(:\d+)?)$"
Precision = Literal["float32", "bfloat16", "float16", "auto"]


class EncoderChoice(Parameters):
    """An encoder by name.

    Attributes:
        name: in `iaca.encoders.registry`.
        weights: a local checkpoint in place of the published file. A path that does not exist here is looked for by
            its name in the weights folder.
        changes: options of the encoder that differ from its defaults.
    """

    name: str
    weights: str | None = Field(default=None, min_length=1)
    changes: dict[str, Any] = Field(default_factory=dict)

    def entry(self, modality: Modality) -> Encoder:
        """What the registry says.

        Raises:
            ValueError: there is no such encoder of this modality, it has no such option, or it has no weights.
        """
        registry = REGISTRIES[modality]
        if self.name not in registry:
            raise ValueError(f"there is no {modality} encoder named {self.name!r}; choose one of {', '.join(registry)}")
        entry = registry[self.name]
        entry.configured(self.changes)
        if self.weights is not None and not entry.learned:
            raise ValueError(f"{self.name} learned nothing: it takes no weights")
        return entry


def _listed(given: Any) -> Any:
    """`a`, `a+b`, `{name: a, ...}` or a list of these: always a list of mappings."""
    items = list(given) if isinstance(given, list | tuple) else [given]
    names = [part for item in items for part in (item.split("+") if isinstance(item, str) else [item])]
    return [{"name": item.strip()} if isinstance(item, str) else item for item in names]


Choices = Annotated[tuple[EncoderChoice, ...], BeforeValidator(_listed), Field(min_length=1, max_length=8)]


class EmbeddingConfig(Parameters):
    """Parameters of the embedding step.

    Attributes:
        visual, audio: an encoder's name, a mapping {name, weights, changes}, or a list of these, whose rows are put
            side by side in this order.
        device: `auto` takes a GPU where there is one.
        precision: of the networks' arithmetic; below `float32` they run under autocast. `auto` is bfloat16 where the
            processor computes in it, float32 elsewhere. `float16` needs a GPU.
        batch: steps in one forward pass; None takes each encoder's own, and no more than 16 on a CPU.
    """

    visual: Choices = (EncoderChoice(name="mini_xception"),)
    audio: Choices = (EncoderChoice(name="prosody"),)
    device: str = Field(default="auto", pattern=DEVICE)
    precision: Precision = "float32"
    batch: int | None = Field(default=None, ge=2, le=4096)

    @field_validator("visual", "audio")
    @classmethod
    def _known(cls, choices: tuple[EncoderChoice, ...], info: Any) -> tuple[EncoderChoice, ...]:
        for choice in choices:
            choice.entry(info.field_name)
        return choices

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        for choices in (self.visual, self.audio):
            if len({choice.model_dump_json() for choice in choices}) < len(choices):
                raise ValueError(f"an encoder is named twice: {'+'.join(choice.name for choice in choices)}")
        return self

    def choices(self, modality: Modality) -> tuple[EncoderChoice, ...]:
        """The encoders of a modality, in the order of their rows."""
        return self.visual if modality == "visual" else self.audio

    def dim(self, modality: Modality) -> int:
        """Width of a modality's embeddings."""
        return sum(choice.entry(modality).dim for choice in self.choices(modality))
