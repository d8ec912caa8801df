"""A process of its own that analyses one video at a time, and can be stopped in the midst of one."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from iaca.errors import InputError
from iaca.faces.config import FaceConfig
from iaca.inference.config import Drawing
from iaca.media import MediaLimits


@dataclass(frozen=True)
class Job:
    """A video, and the folder and name of its results: NAME.csv, NAME.png, NAME.mp4 and NAME.json."""

    video: Path
    folder: Path
    name: str


class Worker:
    """Loads the models once and keeps them; a worker that was stopped is replaced by the next job.

    Args:
        models: model files that answer together; mostly one.
        scratch: folder for intermediate files; whoever stops the worker may empty it.
        limits: what a video may hold; None for the usual ones.
    """

    def __init__(self, models: Sequence[Path], scratch: Path, limits: MediaLimits | None = None):
        self._models, self._scratch, self._limits = tuple(models), scratch, limits or MediaLimits()
        self._process: BaseProcess | None = None

    def start(self) -> dict[str, str]:
        """Start the process and load the models; gives `Predictor.origin()`.

        Raises:
            InputError: a model can't be used.
        """
        context = multiprocessing.get_context("spawn")  # a forked child would inherit the server's locks and sockets
        self._pipe, theirs = context.Pipe()
        given = (theirs, self._models, self._scratch, self._limits)
        self._process = context.Process(target=_serve, args=given, daemon=True)
        self._process.start()
        theirs.close()
        return dict(self._answer())

    def analyse(self, job: Job) -> None:
        """Write the results of a job; one call at a time.

        Raises:
            InputError: the video can't be analysed, or the worker was stopped.
        """
        if self._process is None or not self._process.is_alive():
            self.start()
        self._answer(job)

    def stop(self) -> None:
        """End the process at once, with whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _answer(self, job: Job | None = None) -> Any:
        try:
            if job is not None:
                self._pipe.send(job)
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            remedy = "drop the video again; a shorter or smaller one if it ran out of memory"
            raise InputError("the analysis was stopped", remedy=remedy) from error
        if isinstance(answer, InputError):
            raise answer
        return answer


def _serve(pipe: Connection, models: tuple[Path, ...], scratch: Path, limits: MediaLimits) -> None:
    """The process: loads the models, then answers each job with None, or with the error that its owner should read."""
    from iaca.engine.worker import prepare

    prepare()
    tempfile.tempdir = str(scratch)
    try:
        from iaca.inference import Predictor

        pipe.send(Predictor.load(models).origin())
        while True:
            pipe.send(_run(pipe.recv(), models, limits))
    except InputError as error:
        pipe.send(error)
    except (EOFError, KeyboardInterrupt):
        return  # the page was closed


def _run(job: Job, models: tuple[Path, ...], limits: MediaLimits) -> InputError | None:
    from iaca.inference.write import analyse_video

    target = job.folder / f"{job.name}.json"
    try:
        analyse_video(
            job.video, *models, target=target, folder=job.folder, name=job.name, drawing=Drawing(), faces=FaceConfig(),
            limits=limits,
        )  # fmt: skip
    except InputError as error:
        return error
    return None
