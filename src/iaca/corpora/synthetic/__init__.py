"""Synthetic features with a known truth: two latent trajectories, seen differently by face and voice.

`python -m iaca.corpora.synthetic ROOT --kind s2 --clips 120` writes a corpus in the layout of `iaca.corpora.features`;
`draw_annotated` gives the same clips in memory. They compare models; they do not measure emotion recognition.

Names are imported when they are first used: whoever wants the parameters alone does not wait for signal code.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iaca.corpora.synthetic.clip import SyntheticClip, draw_annotated, draw_clip, draw_corpus
    from iaca.corpora.synthetic.config import SyntheticConfig
    from iaca.corpora.synthetic.write import write_corpus

__all__ = ["SyntheticClip", "SyntheticConfig", "draw_annotated", "draw_clip", "draw_corpus", "write_corpus"]

_HOMES = {
    "SyntheticClip": "clip",
    "SyntheticConfig": "config",
    "draw_annotated": "clip",
    "draw_clip": "clip",
    "draw_corpus": "clip",
    "write_corpus": "write",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
