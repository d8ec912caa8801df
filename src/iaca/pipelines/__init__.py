"""Kedro pipelines: wiring only. What the nodes do lives in the library."""
