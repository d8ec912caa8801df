"""What a task's inputs were when its run began, so that a result is never noted for inputs that it was not made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iaca.engine.task import Task
from iaca.errors import InputError


@dataclass(frozen=True)
class Snapshot:
    """A task with what was known of its inputs before they were read.

    Attributes:
        task: the task.
        fingerprint: of the task.
        facts: sizes and times of the inputs, taken before their content was read for the fingerprint.
    """

    task: Task
    fingerprint: str
    facts: list[str]

    @classmethod
    def take(cls, task: Task) -> Snapshot:
        """Look at the inputs of a task.

        Raises:
            InputError: one of them can't be read; or it is the result of an earlier task, and not as it was written.
        """
        try:
            before = task.facts()
            task.check_inputs()
            return cls(task, task.fingerprint(), before)
        except OSError as error:
            raise unreadable(error) from error

    def change(self) -> InputError | None:
        """What has become of the inputs since: None where they are the same.

        Where sizes or times differ, the content decides: a file may have been touched.
        """
        try:
            now = self.task.facts()
            if now == self.facts or self.task.fingerprint() == self.fingerprint:
                return None
        except OSError as error:
            return unreadable(error)
        changed = next(
            path for path, before, after in zip(self.task.inputs, self.facts, now, strict=True) if before != after
        )
        return InputError("changed while it was read", changed, remedy="run again when nothing writes to it any more")


def unreadable(error: OSError) -> InputError:
    """The error of an input that is not there, or can't be read."""
    path = Path(error.filename) if isinstance(error.filename, str | Path) else None
    remedy = "put it back or mend its rights, or remove its clip from the corpus, and run again"
    return InputError(f"an input can't be read ({error.strerror or error})", path, remedy=remedy)
