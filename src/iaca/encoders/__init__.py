"""Encoders: aligned faces and sound become embeddings, one step per decoded video frame."""

from iaca.encoders.embedding import ClipEmbedding, read_embedding, write_embedding

__all__ = ["ClipEmbedding", "read_embedding", "write_embedding"]
