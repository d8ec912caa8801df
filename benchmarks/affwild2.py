"""A generated corpus with the names, lengths and frame rates of Aff-Wild2, for `kedro run --env affwild2`.

    python benchmarks/affwild2.py ROOT NAMES [--share 1]
    kedro run --env affwild2 --params "ingestion.root=ROOT,faces.source=detect"

NAMES is a folder with the published lists: `train.csv`, `val.csv` and `test.csv` name a clip in each line,
`frames_fps.csv` has its frames and its rate (github.com/sailordiary/m3f.pytorch: names only, no annotation, no image).

Ten seconds of a moving portrait with a tone are encoded once, 160x120 px; every video repeats their packets up to its
own length and rate: 20 s of processor time and 1 GB for the 25 hours of the whole corpus. Annotations are smooth and
random, with -5 in the first row; folders of crops are empty, since they alone name the test clips, so faces have to be
detected. `--share 0.01` shortens every clip to a hundredth.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from portrait_movie import write_portrait_movie

from iaca.corpora.affwild2 import split_clip
from iaca.corpora.index import CARD_FILE, CorpusCard, card_text
from iaca.files import replacing

SECONDS, FPS, SIZE = 10, 25, (160, 120)
GOP = 25  # frames between key frames: the source begins with one
FEWEST = 20  # frames
SETS = {"train.csv": "Train_Set", "val.csv": "Validation_Set", "test.csv": None}
CLOCK = Fraction(1, 90_000)
SMOOTH = 75  # steps


class Source(NamedTuple):
    """Packets of the encoded portrait.

    Attributes:
        file: that they are from; its streams are the templates.
        pictures, sound: their content in the order of decoding, which is that of display: there are no B-frames.
        samples: of a packet of sound, at `rate` (Hz).
    """

    file: Path
    pictures: list[tuple[bytes, bool]]
    sound: list[bytes]
    samples: int
    rate: int


def source(folder: Path) -> Source:
    """Encode the portrait once."""
    write_portrait_movie(
        folder / "portrait.mp4", SECONDS, FPS, SIZE, lambda time_s: (0.35, 20 + 10 * np.sin(time_s * 0.628), 5)
    )
    with av.open(str(folder / "portrait.mp4")) as given, av.open(str(folder / "source.mp4"), "w") as made:
        options = {"crf": "32", "bf": "0", "g": str(GOP), "keyint_min": str(GOP), "sc_threshold": "0"}
        pictures = made.add_stream("libx264", FPS, options=options)
        pictures.width, pictures.height, pictures.pix_fmt = *SIZE, "yuv420p"
        sound = made.add_stream("aac", 16_000, layout="mono")
        for frame in given.decode():
            stream = pictures if isinstance(frame, av.VideoFrame) else sound
            frame.pts = None
            made.mux(stream.encode(frame))  # type: ignore[call-overload]
        made.mux(pictures.encode())
        made.mux(sound.encode())
    with av.open(str(folder / "source.mp4")) as given:
        packets = [packet for packet in given.demux() if packet.dts is not None]
        seen = [(bytes(p), p.is_keyframe) for p in packets if isinstance(p.stream, VideoStream)]
        heard = [bytes(p) for p in packets if isinstance(p.stream, AudioStream)]
        codec = given.streams.audio[0].codec_context
        return Source(folder / "source.mp4", seen, heard, codec.frame_size or 1024, codec.sample_rate)


def write_video(path: Path, frames: int, rate: float, portrait: Source) -> None:
    """A video of exactly this many frames at this rate (Hz), with sound of the same length."""
    with av.open(str(portrait.file)) as given, av.open(str(path), "w", format=path.suffix[1:]) as made:
        pictures, sound = (made.add_stream_from_template(s) for s in (given.streams.video[0], given.streams.audio[0]))
        parts = Fraction(rate).limit_denominator(1001)
        step = Fraction(1, 1) / (parts * CLOCK)
        packets = frames / rate * portrait.rate / portrait.samples
        heard = 0
        for number in range(frames):
            content, key = portrait.pictures[number % len(portrait.pictures)]
            packet = av.Packet(content)
            packet.stream, packet.time_base, packet.is_keyframe = pictures, CLOCK, key
            packet.pts = packet.dts = round(number * step)
            packet.duration = round(step)
            made.mux(packet)
            while heard < min((number + 1) / frames * packets, packets):
                packet = av.Packet(portrait.sound[heard % len(portrait.sound)])
                packet.stream, packet.time_base = sound, Fraction(1, portrait.rate)
                packet.pts = packet.dts = heard * portrait.samples
                packet.duration = portrait.samples
                made.mux(packet)
                heard += 1


def annotation(rows: int, seed: int) -> str:
    """Smooth random valence and arousal in the format of Aff-Wild2; the first row is not annotated."""
    noise = np.cumsum(np.random.default_rng(seed).standard_normal((rows + SMOOTH, 2)), axis=0)
    felt = np.tanh((noise[SMOOTH:] - noise[:-SMOOTH]) / np.sqrt(SMOOTH) / 2)
    lines = [f"{valence:.3f},{arousal:.3f}" for valence, arousal in felt]
    return "\n".join(["valence,arousal", "-5,-5", *lines[1:]]) + "\n"


def clips(names: Path) -> Iterator[tuple[str, str | None, int, float]]:
    """Clip, folder of its annotation, frames and rate (Hz) of its video."""
    with (names / "frames_fps.csv").open(newline="") as file:
        facts = {name: (int(frames), float(rate)) for name, frames, rate in csv.reader(file)}
    for file, folder in SETS.items():
        for clip in (names / file).read_text().split():
            yield clip, folder, *facts[clip]


def write_corpus(root: Path, names: Path, share: float) -> int:
    """Write what is missing below `root`; returns the number of clips."""
    (root / "videos").mkdir(parents=True, exist_ok=True)
    caveat = "Generated with the names and lengths of Aff-Wild2: one portrait, random annotation. It measures cost."
    (root / CARD_FILE).write_text(card_text(CorpusCard(name="Aff-Wild2's shape", caveat=caveat)))
    count = 0
    with tempfile.TemporaryDirectory() as scratch:
        portrait = source(Path(scratch))
        for count, (clip, folder, frames, rate) in enumerate(clips(names), start=1):
            shortened = max(round(share * frames), FEWEST)
            video = root / "videos" / f"{split_clip(clip)[0]}.mp4"
            if not video.exists():
                with replacing(video) as partial:
                    renamed = partial.with_name(f"{partial.name}.mp4")
                    write_video(renamed, shortened, rate, portrait)
                    renamed.rename(partial)
            (root / "cropped_aligned" / clip).mkdir(parents=True, exist_ok=True)  # test clips are known by these alone
            if folder is not None:
                path = root / "VA_Estimation_Challenge" / folder / f"{clip}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(annotation(shortened, count))
    return count


def main() -> None:
    """Write the corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("names", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="of every clip's length")
    given = parser.parse_args()
    print(f"{write_corpus(given.root, given.names, given.share)} clips in {given.root}")


if __name__ == "__main__":
    main()
