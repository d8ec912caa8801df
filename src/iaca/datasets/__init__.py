"""Kedro dataset classes: folders of per-clip files, models, and stock datasets that write atomically."""
