"""A corpus of any number of tiny clips in Aff-Wild2's layout: three dozen movies of the demo corpus's puppet, each
clip with bytes of its own."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

from iaca.corpora.demo.config import DemoConfig
from iaca.corpora.demo.plan import FOLDERS, annotation_texts, plan_corpus
from iaca.corpora.demo.render import render_movie
from iaca.corpora.index import CARD_FILE, CorpusCard, card_text

MOVIES, SECONDS, FPS = 36, 1.0, 3.0
CLIPS_PER_SUBJECT = 10
PARTITIONS = ("train", "train", "train", "validation", "test")  # of the subjects, in turn

Movie = tuple[bytes, str]
"""A video file and its annotation file."""


def render(scratch: Path) -> list[Movie]:
    """The distinct movies: 1 s, 3 frames/s, 160x120 px, one face, sound."""
    config = DemoConfig(
        identities=MOVIES, clips_per_identity=1, seconds=2, width=160, height=120, pairs=False, variable_rate=0,
        events=False,
    )  # fmt: skip
    movies = []
    for plan in plan_corpus(config):
        short = replace(plan, seconds=SECONDS, fps=FPS)
        render_movie(short, config, scratch / "movie.mp4")
        (text,) = annotation_texts([short]).values()
        movies.append(((scratch / "movie.mp4").read_bytes(), text))
    return movies


def clip_name(number: int) -> str:
    """Of the clip with that number; its movie is number % `MOVIES`."""
    return f"clip{number:06d}"


def write_corpus(root: Path, clips: int, movies: list[Movie]) -> None:
    """Write those clips below `root` that are missing; a `free` box at the end of a file, which players skip, holds its
    number."""
    for folder in ("videos", *(f"VA_Estimation_Challenge/{name}" for name in FOLDERS.values())):
        (root / folder).mkdir(parents=True, exist_ok=True)
    subjects = ["clip,subject\n"]
    for number in range(clips):
        name, subject = clip_name(number), number // CLIPS_PER_SUBJECT
        movie, text = movies[number % len(movies)]
        mark = struct.pack(">I4sQ", 16, b"free", number)
        video = root / "videos" / f"{name}.mp4"
        if not video.exists():
            video.write_bytes(movie + mark)
        folder = FOLDERS[PARTITIONS[subject % len(PARTITIONS)]]
        (root / "VA_Estimation_Challenge" / folder / f"{name}.txt").write_text(text)
        subjects.append(f"{name},{subject:05d}\n")
    (root / "subjects.csv").write_text("".join(subjects))
    caveat = "A few rendered movies, many times over: it measures what clips cost, and nothing else."
    (root / CARD_FILE).write_text(card_text(CorpusCard(name=f"{clips} tiny clips", caveat=caveat)))
