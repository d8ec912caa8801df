"""The zero-shot model corrected by a few annotated videos of one's own."""
