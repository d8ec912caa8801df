"""Partitions for a corpus that names none: dealt by subject, the same in every run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from iaca.corpora.folder.config import FolderConfig


def deal_subjects(subjects: Iterable[str], config: FolderConfig) -> dict[str, str]:
    """Subject -> train, validation or test.

    Each subject draws a number in [0, 1) from its name and the seed alone, so that a new one moves none of the others.
    Only where so few are there that a partition would stay empty, one of the fullest partition goes there: the one
    whose number lies nearest to those that belong there.
    """
    drawn = {subject: draw(subject, config.seed) for subject in subjects}
    held_out = config.validation_share + config.test_share
    bounds = {"train": (held_out, 1.0), "validation": (0.0, config.validation_share),
              "test": (config.validation_share, held_out)}  # fmt: skip
    dealt = {s: next(p for p, (low, high) in bounds.items() if low <= number < high) for s, number in drawn.items()}
    for partition, (low, high) in bounds.items():
        sizes = Counter(dealt.values())
        fullest = max(bounds, key=lambda p: sizes[p])
        if low < high and not sizes[partition] and sizes[fullest] > 1:
            members = [s for s in sorted(drawn) if dealt[s] == fullest]
            dealt[min(members, key=lambda s: abs(drawn[s] - (low + high) / 2))] = partition
    return dealt


def draw(subject: str, seed: int) -> float:
    """A number in [0, 1) that looks random and depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed} {subject}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
