"""A search for the settings of the main model, on the validation partition."""

from iaca.pipelines.sweep.pipeline import create_pipeline

__all__ = ["create_pipeline"]
