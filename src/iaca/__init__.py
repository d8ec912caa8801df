"""iaca: continuous valence-arousal recognition from video with sound, with the weights of voice and face."""

__version__ = "0.1.0"
