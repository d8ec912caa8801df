"""One piece of per-video work, and the fingerprint that says whether its result is still good."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from iaca.engine.digests import digest, facts
from iaca.engine.manifest import check_whole

FORMER_NAMES = {
    "align_features": "iaca.corpora.features.clip.align_file",
    "analyse_video": "iaca.inference.write.analyse_video",
    "build_folder_timeline": "iaca.corpora.folder.timeline.build_timeline",
    "build_timeline": "iaca.corpora.timeline.build_timeline",
    "collect_crops": "iaca.faces.crops.collect_crops",
    "complete_timeline": "iaca.corpora.presence.complete_timeline",
    "corrupt_faces": "iaca.evaluation.robustness.signal.spoil_faces_file",
    "corrupt_sound": "iaca.evaluation.robustness.signal.spoil_sound_file",
    "embed": "iaca.encoders.task.embed_file",
    "extract_audio": "iaca.media.flac.extract_audio",
    "extract_faces": "iaca.faces.extract.extract_faces_file",
    "render_movie": "iaca.corpora.demo.render.render_movie",
    "score": "iaca.evaluation.benchmark.score.score_file",
    "train": "iaca.training.run.train_file",
    "train_encoder": "iaca.training.tuning.run.tune_file",
    "write_features_timeline": "iaca.corpora.features.clip.write_timeline",
}
"""Task name -> module path that stood in its fingerprint before tasks had names. Results made then are still valid.
Do not change an entry when code moves."""


@dataclass(frozen=True)
class Task:
    """A function that turns input files into one output file.

    Attributes:
        name: identifies the work in the fingerprint. Fixed: it stays when the function moves or is renamed, so that
            existing results remain up to date.
        function: called as `function(*inputs, target=path, **parameters, **settings)`; it writes to `target`.
            A module-level function, since it travels to worker processes.
        inputs: files whose content decides the result; of a folder, the names, sizes and times of its files do.
        parameters: keyword arguments that decide the result: plain values, dataclasses or pydantic models.
        settings: keyword arguments that do not, such as a folder for work in progress: no part of the fingerprint.
        version: raised by hand when the function's code changes what it computes.
        beside: for a function that writes more than its output file: called with the path of that, it names the other
            files, which lie in the same folder. A module-level function too.
    """

    name: str
    function: Callable[..., None]
    inputs: tuple[Path, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    version: str = "1"
    beside: Callable[[Path], Sequence[str]] | None = None

    def fingerprint(self) -> str:
        """SHA-256 over name, version, parameters and the content of the inputs."""
        return self.fingerprints()[0]

    def fingerprints(self) -> list[str]:
        """The fingerprint, and the one under the task's former name if it has one: a result with either is valid."""
        parameters = {name: _plain(value) for name, value in self.parameters.items()}
        contents = [digest(path) for path in self.inputs]
        names = (self.name, *filter(None, [FORMER_NAMES.get(self.name)]))
        bodies = (json.dumps([name, self.version, parameters, contents], sort_keys=True) for name in names)
        return [hashlib.sha256(body.encode()).hexdigest() for body in bodies]

    def facts(self) -> list[str]:
        """Sizes and times of the inputs: as long as these stay, so does what was read of them."""
        return [facts(path) for path in self.inputs]

    def check_inputs(self) -> None:
        """Compare inputs that are results of earlier tasks with what was noted when they were written.

        Raises:
            InputError: one of them is gone, or has another content.
        """
        for path in self.inputs:
            check_whole(path)

    def run(self, target: Path) -> None:
        """Do the work, writing to `target`."""
        self.function(*self.inputs, target=target, **self.parameters, **self.settings)


def _plain(value: Any) -> Any:
    """A JSON-able picture of a parameter; values that have none are refused, since they can't be compared."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a task's parameters are plain values, dataclasses or pydantic models, not {type(value).__name__}")
