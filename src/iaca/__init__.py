"""iaca: continuous valence-arousal recognition from video with sound, with the weights of voice and face."""

import sys

__version__ = "0.1.0"

if sys.argv[:1] == ["-m"]:  # `python -m iaca.SOMETHING` is looking for its module
    from iaca.errors import show_early

    sys.excepthook = show_early  # also while that imports its libraries
