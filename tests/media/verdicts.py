"""What reading makes of a file, each in a process of its own whose memory and time are bounded.

python verdicts.py FILE...    writes one JSON line per file
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from iaca.errors import InputError
from iaca.media import extract_audio, frame_times, probe, read_audio_file, read_frames

MEMORY = 2 << 30
"""Bytes of address space that a file may take beyond what the program has."""
SECONDS = 60


def read(path: Path) -> dict[str, object]:
    """Every reader of `iaca.media` on a file: the times of its frames and the length of its sound."""
    probe(path)
    times = frame_times(path).tolist()
    shown = [(frame.time_s, frame.image.shape) for frame in read_frames(path)]
    assert [time_s for time_s, _ in shown] == times
    with tempfile.TemporaryDirectory() as scratch:
        extract_audio(path, Path(scratch) / "sound.flac")
        track = read_audio_file(Path(scratch) / "sound.flac")
    return {"times": times, "shapes": [list(shape) for _, shape in shown], "sound_s": len(track.samples) / track.rate}


def bounded(path: Path, task: Callable[[Path], dict[str, object]] = read) -> dict[str, object]:
    """What `task` gives for a file, or how it ended: `error` holds the words of an `InputError`, `crash` anything else;
    with `seconds` and the growth of resident memory `grown_mb`. In a fork, so that nothing is imported again."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as answer:
            answer.write(json.dumps(_outcome(path, task)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    _, status = os.waitpid(child, 0)
    return (
        json.loads(said) if said else {"crash": f"ended by signal {os.WTERMSIG(status)}", "seconds": 0, "grown_mb": 0}
    )


def _outcome(path: Path, task: Callable[[Path], dict[str, object]]) -> dict[str, object]:
    signal.alarm(SECONDS)  # ends the process
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        found = task(path)
    except InputError as error:
        found = {"error": str(error)}
    except BaseException as error:  # noqa: BLE001  told to the parent
        found = {"crash": f"{type(error).__name__}: {error}"}
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {**found, "seconds": time.perf_counter() - start, "grown_mb": grown}


if __name__ == "__main__":
    for given in sys.argv[1:]:
        print(json.dumps({"path": given, **bounded(Path(given))}), flush=True)  # noqa: T201
