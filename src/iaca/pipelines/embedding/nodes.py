"""One embedding task per clip."""

from __future__ import annotations

from collections.abc import Mapping

from iaca.encoders.config import EmbeddingConfig
from iaca.engine import ClipPaths, OnDemand, Task


def plan_embeddings(
    faces: ClipPaths, audio: ClipPaths, timelines: ClipPaths, config: EmbeddingConfig
) -> Mapping[str, Task]:
    """Embeddings of every clip that has a complete timeline. Names, versions and weights of the encoders are part of
    each task's fingerprint: another checkpoint embeds anew."""
    from iaca.encoders.identity import describe
    from iaca.encoders.task import VERSION, embed_file

    parameters = {"config": config, "encoders": describe(config)}

    def embed(clip: str) -> Task:
        return Task("embed", embed_file, (faces[clip], audio[clip], timelines[clip]), parameters, version=VERSION)

    return OnDemand(embed, timelines)
