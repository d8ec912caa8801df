"""Evaluation: agreement with the annotation, its uncertainty, and whether the gates knew what was wrong."""
