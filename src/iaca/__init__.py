"""iaca: continuous valence-arousal recognition from video with sound, aware of when audio and face disagree."""

__version__ = "0.1.0"
