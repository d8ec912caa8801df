"""One embedding task per clip."""

from __future__ import annotations

from iaca.encoders.config import EmbeddingConfig
from iaca.engine import ClipPaths, Task


def plan_embeddings(
    faces: ClipPaths, audio: ClipPaths, timelines: ClipPaths, config: EmbeddingConfig
) -> dict[str, Task]:
    """Embeddings of every clip that has a complete timeline."""
    from iaca.encoders.embed import VERSION, embed_file  # brings torch: only the run that embeds pays for it

    return {
        clip: Task(embed_file, (faces[clip], audio[clip], timelines[clip]), {"config": config}, version=VERSION)
        for clip in timelines
    }
