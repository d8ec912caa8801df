"""Where sound is present, asked for moments, and where placed sound says that it was heard."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from iaca.media import present_at

TICK_S = 1 / 64  # exact in binary: sums are too
STRETCHES = st.lists(st.integers(1, 400), max_size=12, unique=True).map(sorted)
GRIDS = st.lists(st.integers(0, 450), min_size=1, max_size=60).map(sorted)


def stretches(edges: list[int]) -> tuple[tuple[float, float], ...]:
    """Every other piece between these edges (ticks), as (start, end) in s."""
    return tuple((a * TICK_S, b * TICK_S) for i, (a, b) in enumerate(pairwise(edges)) if i % 2 == 0)


def test_sound_is_present_from_its_first_to_before_its_last_moment() -> None:
    times = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
    assert present_at(((0.5, 1.0), (1.5, 9.0)), times).tolist() == [False, True, False, True, True]


@settings(max_examples=50)
@given(STRETCHES)
def test_as_many_moments_are_present_as_there_are_seconds_of_sound(edges: list[int]) -> None:
    present, times = stretches(edges), np.arange(512) * TICK_S
    assert present_at(present, times).sum() * TICK_S == sum(end - start for start, end in present)


@settings(max_examples=50)
@given(STRETCHES, GRIDS)
def test_stretches_and_the_silence_between_them_part_the_time(edges: list[int], grid: list[int]) -> None:
    times, bounds = np.array(grid) * TICK_S, [0.0, *(edge * TICK_S for edge in edges), 100.0]
    pieces = [present_at((piece,), times) for piece in pairwise(bounds)]
    assert (np.sum(pieces, axis=0) == 1).all()  # each moment in exactly one
    heard = [piece for i, piece in enumerate(pieces[1:-1]) if i % 2 == 0]
    assert np.array_equal(present_at(stretches(edges), times), np.any(heard, axis=0) if heard else times < 0)


@settings(max_examples=50)
@given(STRETCHES, GRIDS, st.integers(0, 60), st.integers(-64, 64))
def test_the_answer_for_a_moment_depends_on_it_alone(edges: list[int], grid: list[int], cut: int, late: int) -> None:
    """Neither on the other moments, nor on the order of stretches, nor on when the clock begins."""
    present, times = stretches(edges), np.array(grid) * TICK_S
    whole = present_at(present, times)
    assert np.array_equal(np.concatenate([present_at(present, times[:cut]), present_at(present, times[cut:])]), whole)
    assert np.array_equal(present_at(present[::-1], times), whole)
    assert np.array_equal(present_at(present, times[::-1]), whole[::-1])
    shift = late * TICK_S
    assert np.array_equal(present_at(tuple((a + shift, b + shift) for a, b in present), times + shift), whole)
