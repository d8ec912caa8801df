"""Encoders: aligned faces and sound become embeddings, one step per decoded video frame."""

from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding, read_annotated, read_embedding, write_embedding

__all__ = ["AnnotatedClip", "ClipEmbedding", "read_annotated", "read_embedding", "write_embedding"]
