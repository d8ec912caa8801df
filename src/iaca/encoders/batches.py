"""Batches of decoded faces, read ahead: JPEGs are decoded in threads while the network is at work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from iaca.errors import InputError
from iaca.faces import decode_face

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 3  # batches decoded or under way: 64 faces of 112 px are 2.4 MB


class Jpegs(Protocol):
    """The JPEG of each frame, in memory or on disk: a list, or `iaca.faces.FaceImages`."""

    def __getitem__(self, frame: int, /) -> bytes: ...


@dataclass(frozen=True)
class FaceBatch:
    """Some steps with a face, and what is needed to encode them.

    Attributes:
        steps: (n,) steps of the clip.
        frames: (m,) frames whose faces are decoded, ascending: the steps, and what lies within reach of them.
        faces: (m, h, w, 3) uint8 RGB.
    """

    steps: NDArray[np.intp]
    frames: NDArray[np.intp]
    faces: NDArray[np.uint8]


def read_ahead(
    jpegs: Jpegs, found: NDArray[np.bool_], size: int, reach: int, pool: ThreadPoolExecutor
) -> Iterator[FaceBatch]:
    """The steps with a face, in order, `size` at a time; whole batches but for the last.

    Args:
        jpegs: by frame; none is looked at where no face was found.
        found: (t,) where there is one.
        size: steps in a batch.
        reach: frames on either side of a step that an encoder looks at.
        pool: where batches are decoded, `AHEAD` of them at a time.
    """
    with_face = np.flatnonzero(found)
    steps = (with_face[start : start + size] for start in range(0, len(with_face), size))
    return ahead(pool, lambda some: _load(jpegs, with_face, some, reach), steps)


def ahead(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results of `work` on each item, in their order, `AHEAD` of them done or under way before they are asked for."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def nearest_faces(with_face: NDArray[np.intp], steps: NDArray[np.intp], offsets: Sequence[int]) -> NDArray[np.intp]:
    """The frames (n, k) that a clip around each step is made of: (n,) steps, all with a face; k offsets.

    A frame without a face is replaced by the nearest one that has one, the earlier of two, and never by one outside
    of the clip's own span.
    """
    reach = max(abs(offset) for offset in offsets)
    wanted = steps[:, None] + np.asarray(offsets)
    after = np.searchsorted(with_face, wanted)
    later = with_face[np.minimum(after, len(with_face) - 1)]
    earlier = with_face[np.maximum(np.where(later == wanted, after, after - 1), 0)]
    too_late = (later < wanted) | (later > steps[:, None] + reach)
    too_early = (earlier > wanted) | (earlier < steps[:, None] - reach)
    take_later = ~too_late & (too_early | (later - wanted < wanted - earlier))
    chosen: NDArray[np.intp] = np.where(take_later, later, earlier)
    return chosen


def _load(jpegs: Jpegs, with_face: NDArray[np.intp], steps: NDArray[np.intp], reach: int) -> FaceBatch:
    first, last = np.searchsorted(with_face, [steps[0] - reach, steps[-1] + reach + 1])
    frames = with_face[first:last]
    return FaceBatch(steps, frames, np.stack([_face(jpegs, int(frame)) for frame in frames]))


def _face(jpegs: Jpegs, frame: int) -> NDArray[np.uint8]:
    """The image of a frame; of `FaceImages` the file is named where it holds none."""
    try:
        return decode_face(jpegs[frame])
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        remedy = "run the preprocessing pipeline again: it is made anew"
        raise InputError(f"frame {frame}: {error}", getattr(jpegs, "path", None), remedy=remedy) from error
