"""Per-step quality cues: evidence from outside the embeddings about how far each modality can be believed.

`table` names them, `picture`, `sound` and `synchrony` measure them. None is calibrated: they are inputs to a model that
learns what they are worth. `docs/cues.md` tells what they were seen to show.
"""
