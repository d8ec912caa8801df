"""Where sound is present, asked for moments."""

import numpy as np

from iaca.media import present_at


def test_sound_is_present_from_its_first_to_before_its_last_moment() -> None:
    times = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
    assert present_at(((0.5, 1.0), (1.5, 9.0)), times).tolist() == [False, True, False, True, True]
