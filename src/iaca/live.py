"""`python -m iaca.live --camera 0` or `--file FILE`: valence and arousal while they are seen, by `Predictor.stream`.

A row per frame goes to the output, as CSV or, on a terminal, as one line that is drawn again; Ctrl-C ends it. Pictures
and sound are kept nowhere.
"""

from __future__ import annotations

import argparse
import csv
import math
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from iaca.errors import InputError, brief, counted, permission_errors, printable
from iaca.faces.detect import FaceConfig
from iaca.inference import Predictor
from iaca.inference.config import ZERO_SHOT
from iaca.inference.hub import on_this_machine
from iaca.inference.predictor import stamp
from iaca.media import audio_blocks, read_frames

LATE_S = 0.25
"""A frame that is this late (s) when its turn comes is left out, so that a slow machine does not fall behind."""
REDRAWN_S = 0.1
"""Least time (s) between two drawings of the line on a terminal."""
BAR = 21
"""Characters of a bar from -1 to 1."""


class Event(NamedTuple):
    """A frame or a piece of sound: its time (s), when it was captured (monotonic s), and what it is."""

    time_s: float
    captured_s: float
    image: NDArray[np.uint8] | None = None
    samples: NDArray[np.float32] | None = None
    rate: int = 16_000


def main(given: Sequence[str] | None = None) -> int:
    """Predict until the input ends or Ctrl-C; return 1 if it can't start, 130 if it was stopped before it had."""
    arguments = _parser().parse_args(given)
    try:
        with permission_errors():
            return _main(arguments)
    except InputError as error:
        sys.stderr.write(f"{printable(str(error))}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _main(arguments: argparse.Namespace) -> int:
    try:
        source = _source(arguments)
        faces = FaceConfig(every=arguments.every, max_every=max(arguments.every, FaceConfig().max_every))
        predictor = Predictor.load(on_this_machine(arguments.model or ZERO_SHOT), arguments.device, faces)
    except ValueError as error:  # of a parameter of the faces, or an InputError
        sys.stderr.write(f"{printable(str(error))}\n")
        return 1
    if words := stamp(predictor.origin()):
        sys.stderr.write(f"{words}\n")
    try:
        with closing(source) as events:
            run(predictor, events, sys.stdout, drawn=sys.stdout.isatty(), drops=arguments.speed > 0)
    except BrokenPipeError:  # `| head` has read enough
        sys.stderr.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m iaca.live", description="Valence and arousal, live.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--camera", metavar="N", help="number of a camera, or its device, such as /dev/video0")
    source.add_argument("--file", type=Path, help="a video, played in real time")
    parser.add_argument(
        "--model", action="append", help=f"causal model file, OWNER/NAME of the hub, or zero-shot model ({ZERO_SHOT})"
    )
    parser.add_argument(
        "--microphone", default="default", metavar="NAME", help="ALSA device next to a camera, or none (%(default)s)"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="of a file; 0 is as fast as possible (%(default)s)")
    parser.add_argument("--fps", type=float, default=15.0, help="frames per second of a camera (%(default)s)")
    parser.add_argument(
        "--every", type=int, default=5, metavar="N", help="faces are detected on every Nth frame or less"
    )
    parser.add_argument("--device", default="auto", help="of the networks: auto, cpu, cuda (%(default)s)")
    return parser


def _source(arguments: argparse.Namespace) -> Any:
    if not (math.isfinite(arguments.speed) and arguments.speed >= 0 and 0 < arguments.fps <= 1000):
        raise InputError("--speed and --fps have to be above 0", remedy="leave them out, or give --speed 0")
    if arguments.file is not None:
        return play(arguments.file, arguments.speed)
    microphone = None if arguments.microphone == "none" else arguments.microphone
    return capture(arguments.camera, microphone, arguments.fps)


def run(predictor: Predictor, events: Iterator[Event], output: IO[str], *, drawn: bool, drops: bool) -> None:
    """Predict the frames of a source, and write their rows; Ctrl-C ends it.

    Args:
        predictor: with models that can run on a stream.
        events: in the order of their times.
        output: for the rows.
        drawn: one line that is drawn again, instead of CSV.
        drops: leave frames out that are late.
    """
    warm_up(predictor)
    stream, written = predictor.stream(), _Rows(output, drawn)
    try:
        for event in events:
            if event.samples is not None:
                rows = stream.sound(event.samples, event.time_s, event.rate)
            elif drops and time.monotonic() - event.captured_s > LATE_S:
                written.dropped += 1
                continue
            elif event.image is not None:
                written.expect(event)
                rows = stream.frame(event.image, event.time_s)
            written.write(rows)
    except KeyboardInterrupt:
        pass  # the rows that are there, and how late they were
    written.write(stream.finish())
    written.close()


def warm_up(predictor: Predictor) -> None:
    """Load the detector and the networks, so that the first frame is not late."""
    stream, grey = predictor.stream(), np.full((360, 640, 3), 128, np.uint8)
    for k in range(2):
        stream.sound(np.zeros(1600, np.float32))
        stream.frame(grey, k / 15)
    stream.finish()


class _Rows:
    """Rows as CSV or as a line, with how far they are behind the camera."""

    def __init__(self, output: IO[str], drawn: bool):
        self._output, self._drawn = output, drawn
        self._captured = deque[float]()  # of the frames without a row
        self._writer: Any = None
        self._last_s, self._start_s = -math.inf, time.monotonic()
        self._late = deque[float](maxlen=100_000)
        self.dropped = self._count = 0

    def expect(self, event: Event) -> None:
        """A frame is on its way."""
        self._captured.append(event.captured_s)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write the next rows."""
        for row in rows:
            behind = time.monotonic() - self._captured.popleft()
            self._late.append(behind)
            self._count += 1
            if self._drawn:
                self._draw(row, behind)
            else:
                self._csv({**row, "latency_ms": round(1000 * behind, 1)})
        if rows:
            self._output.flush()

    def close(self) -> None:
        """Say on stderr how it went."""
        if self._drawn and self._count:
            self._output.write("\n")
        seconds = time.monotonic() - self._start_s
        words = f"{counted(self._count, 'row')} in {seconds:.1f} s"
        if self._late:
            middle, most = np.percentile([1000 * late for late in self._late], [50, 95])
            words += f", {middle:.0f} ms behind the camera, 95 % of the time at most {most:.0f} ms"
        if self.dropped:
            words += f"; {counted(self.dropped, 'frame')} left out, since this machine is too slow for all"
        sys.stderr.write(f"{words}\n")

    def _csv(self, row: dict[str, Any]) -> None:
        if self._writer is None:
            self._writer = csv.DictWriter(self._output, list(row), lineterminator="\n")
            self._writer.writeheader()
        self._writer.writerow({name: _plain(value) for name, value in row.items()})

    def _draw(self, row: dict[str, Any], behind: float) -> None:
        if time.monotonic() - self._last_s < REDRAWN_S:
            return
        self._last_s = time.monotonic()
        parts = [f"{row['time_s']:7.1f} s"]
        parts += [f"{name} {_bar(row[name])} {row[name]:+.2f}" for name in ("valence", "arousal")]
        missing = [words for name, words in (("face_found", "no face"), ("audio_present", "no sound")) if not row[name]]
        self._output.write(f"\r{'  '.join(parts)}  {1000 * behind:4.0f} ms  {', '.join(missing):18}")


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else round(value, 6)
    return value


def _bar(value: float) -> str:
    place = -1 if math.isnan(value) else round((value + 1) / 2 * (BAR - 1))
    return "".join("O" if i == place else "|" if i == BAR // 2 else "-" for i in range(BAR))


# A file, in real time


def play(file: Path, speed: float = 1.0) -> Iterator[Event]:
    """The frames and the sound of a file, each when it is due.

    Args:
        file: with pictures.
        speed: 1 is real time; 0 is as fast as they are taken.

    Raises:
        InputError: the file can't be decoded, or has no pictures.
    """
    frames, sound = read_frames(file), audio_blocks(file)
    first = next(frames)  # what is wrong with the file is said at once; the clock starts when the first event is taken
    start_s = math.nan

    def due(time_s: float) -> float:
        nonlocal start_s
        start_s = time.monotonic() if math.isnan(start_s) else start_s
        if speed == 0:
            return time.monotonic()
        at = start_s + time_s / speed
        time.sleep(max(at - time.monotonic(), 0.0))
        return at

    def in_order() -> Iterator[Event]:
        place, rest = 0, np.zeros(0, np.float32)
        for frame in _chained(first, frames):
            while place / 16_000 <= frame.time_s:  # the sound up to a frame comes first, as it does from a camera
                if not len(rest):
                    start, rest = next(sound, (0, np.zeros(0, np.float32)))
                    if not len(rest):
                        break
                    place = start
                piece, rest = rest[:1600], rest[1600:]
                yield Event(place / 16_000, due((place + len(piece)) / 16_000), samples=piece)
                place += len(piece)
            yield Event(frame.time_s, due(frame.time_s), image=frame.image)

    return in_order()


def _chained(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from others


# A camera and a microphone


def capture(camera: str, microphone: str | None, fps: float) -> Iterator[Event]:
    """The newest frame of a camera, and all sound of a microphone, until the caller stops.

    Args:
        camera: number or device.
        microphone: ALSA device; None for none.
        fps: frames per second that are asked for.

    Raises:
        InputError: there is no such camera or microphone.
    """
    pictures = _open_camera(camera, fps)
    sound = None if microphone is None else _open_microphone(microphone)
    return _captured(pictures, sound)


def _open_camera(camera: str, fps: float) -> Any:
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the error below says it in one sentence
    try:
        pictures = cv2.VideoCapture(int(camera) if camera.isdecimal() else camera)
    finally:
        cv2.utils.logging.setLogLevel(before)
    if not pictures.isOpened():
        raise InputError(
            f"there is no camera {brief(camera)}",
            remedy="connect one and allow access to it, give another number, or play a file with --file",
        )
    pictures.set(cv2.CAP_PROP_FPS, fps)
    pictures.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return pictures


def _open_microphone(name: str) -> Any:
    try:
        return av.open(name, format="alsa")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise InputError(
            f"there is no microphone {brief(name)} ({brief(error)})",
            remedy="name another with --microphone (`arecord -L` lists them), or go without: --microphone none",
        ) from error


def _captured(pictures: Any, sound: Any) -> Iterator[Event]:
    """Two threads read; frames that nobody has taken are replaced by newer ones."""
    start_s, stopped = time.monotonic(), threading.Event()
    heard, seen = queue.Queue[Event | Exception](), deque[Event](maxlen=1)

    def watch() -> None:
        while not stopped.is_set():
            done, picture = pictures.read()
            now = time.monotonic()
            if not done:
                heard.put(InputError("the camera gives no more pictures", remedy="connect it again"))
                return
            seen.append(Event(now - start_s, now, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)))
            heard.put(Event(now - start_s, now))  # wakes the reader

    def listen() -> None:
        resampler = av.AudioResampler("fltp", "mono", 16_000)
        try:
            for frame in sound.decode(audio=0):
                if stopped.is_set():
                    return
                for block in resampler.resample(frame):
                    samples, now = np.asarray(block.to_ndarray()[0], np.float32), time.monotonic()
                    heard.put(Event(max(now - start_s - len(samples) / 16_000, 0.0), now, samples=samples))
        except av.FFmpegError as error:
            heard.put(InputError(f"the microphone gives no more sound ({brief(error)})", remedy="connect it again"))

    threads = [threading.Thread(target=part, daemon=True) for part in ([watch, listen] if sound else [watch])]
    with _released(pictures, sound, stopped, threads):
        for thread in threads:
            thread.start()
        while True:
            event = heard.get()
            if isinstance(event, Exception):
                raise event
            if event.samples is not None:
                yield event
            elif seen:
                yield seen.popleft()


@contextmanager
def _released(pictures: Any, sound: Any, stopped: threading.Event, threads: list[threading.Thread]) -> Iterator[None]:
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join(timeout=1.0)
        pictures.release()
        if sound is not None:
            sound.close()


if __name__ == "__main__":
    sys.exit(main())
