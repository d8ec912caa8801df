"""Batches of faces, read ahead of the network: in order, never far ahead, and not silent about faults."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from iaca.encoders.networks import AHEAD, ahead, read_ahead
from iaca.faces import decode_face, encode_face


def jpegs(count: int) -> list[bytes]:
    return [encode_face(np.full((16, 16, 3), 10 * i, np.uint8), 95) for i in range(count)]


def test_results_come_in_order_and_no_more_than_a_few_are_made_ahead() -> None:
    taken: list[int] = []

    def items():
        for i in range(20):
            taken.append(i)
            yield i

    with ThreadPoolExecutor(2) as pool:
        results = ahead(pool, lambda i: i * i, items())
        assert next(results) == 0
        assert len(taken) == AHEAD + 1
        assert list(results) == [i * i for i in range(1, 20)]


def test_batches_are_full_but_for_the_last_and_hold_the_faces_within_reach() -> None:
    found = np.ones(13, bool)
    found[[2, 3]] = False
    stored = [jpeg if there else b"" for jpeg, there in zip(jpegs(13), found, strict=True)]
    with ThreadPoolExecutor(2) as pool:
        single, wide = (list(read_ahead(stored, found, 4, reach, pool)) for reach in (0, 2))
    assert [batch.steps.tolist() for batch in single] == [[0, 1, 4, 5], [6, 7, 8, 9], [10, 11, 12]]
    assert wide[1].frames.tolist() == [4, 5, 6, 7, 8, 9, 10, 11]
    for batch in wide:
        np.testing.assert_array_equal(batch.faces, [decode_face(stored[i]) for i in batch.frames])


def test_a_torn_face_is_an_error_and_not_a_black_one() -> None:
    stored = jpegs(6)
    stored[4] = stored[4][:20]
    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="the stored face is not an image"):
        list(read_ahead(stored, np.ones(6, bool), 2, 0, pool))
