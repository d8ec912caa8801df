"""The benchmark: models x seeds x corruptions, scored on the same clips, compared in pairs."""
