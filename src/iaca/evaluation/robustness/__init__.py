"""Robustness protocols on embeddings: what each does to a clip, at every level, with the truth about what it did."""
