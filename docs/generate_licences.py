"""Write docs/reference/licences.md: the licence of each locked package (from its metadata) and of the libraries inside.

python docs/generate_licences.py     (in an environment with the packages of requirements.lock)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

import licence_names as names
from lock import ROOT, closure, locked, wanted
from packaging.utils import canonicalize_name

from iaca.encoders.config import DETECTORS, PORTRAIT
from iaca.encoders.weights import WEIGHTS

PAGE = ROOT / "docs/reference/licences.md"
COPYLEFT = re.compile(r"\b(A?GPL|LGPL|MPL|EPL)-")
PROPRIETARY = "LicenseRef-NVIDIA-Proprietary"
SHARED_LIBRARY = re.compile(r"^(?:[^,\n]*/)?(lib[A-Za-z0-9+]+)[^/,\n]*\.so[.0-9]*,", re.MULTILINE)
LICENCE_FILE = re.compile(r"(^|/)(licen[cs]e|copying)[^/]*$", re.IGNORECASE)


@dataclass(frozen=True)
class Licence:
    """The licence of one package.

    Attributes:
        package, version: as the lock names them.
        spdx: an SPDX expression; "" if unknown.
        whence: where the licence was found.
        needed: by the project itself, or by which of its extras.
    """

    package: str
    version: str
    spdx: str
    whence: str
    needed: str

    @property
    def mark(self) -> str:
        """What a redistributor should check: copyleft (mandatory or by choice) or proprietary."""
        if self.spdx == PROPRIETARY:
            return "proprietary"
        if not COPYLEFT.search(self.spdx):
            return ""
        free = any(not COPYLEFT.search(choice) for choice in self.spdx.split(" OR ")) and " AND " not in self.spdx
        return "copyleft, unless the other is chosen" if free else "copyleft"


def licences() -> list[Licence]:
    """One per line of the lock, in its order."""
    groups = {group: set(closure(requirements)) for group, requirements in wanted().items()}
    return [_licence(package, version, groups) for package, version in locked().items()]


def licence_of(distribution: metadata.Distribution) -> tuple[str, str]:
    """(SPDX expression, where it was found) of an installed package; ("", "") if unknown."""
    facts = distribution.metadata
    if expression := facts.get("License-Expression"):
        return expression, "License-Expression"
    words = " ".join((facts.get("License") or "").split())
    if known := names.FIELD.get(words):
        return known, "License"
    classifiers = [c for c in facts.get_all("Classifier", []) if c.startswith("License ::")]
    by_class = {names.CLASSIFIER[c.split(" :: ")[-1]] for c in classifiers if c.split(" :: ")[-1] in names.CLASSIFIER}
    if len(by_class) == 1 and len(classifiers) == 1:
        return by_class.pop(), "classifier"
    found = {names.of_text(text) for text in _licence_texts(distribution)} - {""}
    if len(found) == 1:
        return found.pop(), "licence file"
    return "", ""


def bundled() -> list[tuple[str, str, str]]:
    """(package, library, licence) of the copyleft libraries inside wheels, recognised by file name."""
    rows = set()
    for package in locked():
        record = metadata.distribution(package).read_text("RECORD") or ""
        for stem in SHARED_LIBRARY.findall(record):
            if stem in names.LIBRARIES:
                rows.add((package, stem, names.LIBRARIES[stem]))
    return sorted(rows, key=lambda row: (row[0].lower(), row[1]))


def page() -> str:
    """The whole page."""
    every = licences()
    rows = [f"| {e.package} | {e.version} | {e.spdx} | {e.mark} | {e.needed} | {e.whence} |\n" for e in every]
    marked = [e for e in every if e.mark.startswith("copyleft")]
    return "".join(
        [
            INTRODUCTION.format(count=len(every)),
            "\n## Copyleft\n\n" + COPYLEFT_WORDS + "\n| package | licence | needed by | |\n|---|---|---|---|\n",
            *(f"| {e.package} | {e.spdx} | {e.needed} | {e.mark} |\n" for e in marked),
            "\n## NVIDIA\n\n" + NVIDIA.format(packages=", ".join(e.package for e in every if e.spdx == PROPRIETARY)),
            "\n## Libraries inside wheels\n\n" + BUNDLED + "\n| package | library | licence |\n|---|---|---|\n",
            *(f"| {package} | {library} | {licence} |\n" for package, library, licence in bundled()),
            "\n## Weights\n\n" + WEIGHT_WORDS + "\n| weights | licence | from |\n|---|---|---|\n",
            *(f"| {part} | {licence} | {source} |\n" for part, licence, source in _weights()),
            "\n## Every package\n\n| package | version | licence | | needed by | source |\n",
            "|---|---|---|---|---|---|\n",
            *rows,
        ]
    )


def _licence(package: str, version: str, groups: dict[str, set[str]]) -> Licence:
    spdx, whence = licence_of(metadata.distribution(package))
    if package in names.BY_HAND:
        spdx, whence = names.BY_HAND[package]
    name = canonicalize_name(package)
    needing = [group for group, packages in groups.items() if name in packages]
    needed = next((group for group in ("inference", "project") if group in needing), ", ".join(needing))
    return Licence(package, version, spdx, whence, needed or "nothing any more")


def _licence_texts(distribution: metadata.Distribution) -> Iterator[str]:
    for file in distribution.files or []:
        if ".dist-info/" in str(file) and "third_party" not in str(file) and LICENCE_FILE.search(str(file)):
            yield str(file.read_text())


def _weights() -> Iterator[tuple[str, str, str]]:
    for encoder, file in WEIGHTS.items():
        yield f"encoder {encoder}: {file.name}", file.licence, file.source
    for name, source, licence in DETECTORS.values():
        yield f"face detector: {name}", licence, source
    yield f"{PORTRAIT.part}: {PORTRAIT.name}", PORTRAIT.licence, PORTRAIT.source


INTRODUCTION = """# Licences

The project itself is under Apache-2.0. This page lists the licences of the {count} packages of `requirements.lock`, of
the native libraries inside their wheels, and of the weights. `python docs/generate_licences.py` writes it from the
metadata of the installed packages. A test fails if the page and the lock differ, or if a package names no licence and
nobody has looked it up. This page is not legal advice.

None of these files is part of this repository: `make setup` gets them from a package index. *Using* them imposes no
obligations as a rule, except that NVIDIA's terms bind users, too. *Redistributing* an installed environment (a
container image, an archive of `.venv`) redistributes all of it, under every licence.
"""
COPYLEFT_WORDS = """\
Packages under GPL, LGPL, MPL or EPL. They are imported unchanged, none is copied into the project, and the project's
licence is unaffected. To redistribute them, include their licence and their source, or where to get it. Under MPL that
is all, and it applies file by file. `pygit2` (GPL-2.0, with a linking exception) comes with DVC. Where a package offers
a choice, the other licence asks for less.
"""
NVIDIA = """\
These are under NVIDIA's own licence (a `License.txt` in each, or the CUDA Toolkit's end user licence agreement): free
of charge, closed source, redistributable only within an application and on the terms of that licence. torch installs
them for GPUs. torch's own index has builds for CPUs without them.

{packages}
"""
BUNDLED = """\
Wheels contain native libraries whose licences are not in the package's metadata. The table lists those under copyleft
that are known by their file names. Libraries that are linked in without a file of their own are not detected.

**FFmpeg is installed twice**: in PyAV, which decodes and writes all video here, and in OpenCV, whose FFmpeg the project
never calls. PyAV's copy calls itself "LGPL version 3 or later", but it is linked against **libx264 and libx265, which
are under GPL-2.0-or-later** and are in the same wheel. The overlay is written with libx264. Redistributing an
environment with PyAV's wheel is therefore redistributing GPL code, whatever the metadata of `av` say. A build of PyAV
against your own FFmpeg avoids that; overlays then need another encoder. H.264 and H.265 are also covered by patents in
some countries.

libgfortran and libgomp are under the GPL with GCC's runtime exception: programs that only use them are unaffected.
"""
WEIGHT_WORDS = """\
None of them is in the repository. `make setup` fetches those of `mini_xception`, MTCNN's are in the wheel of
facenet-pytorch, and you get all others yourself ([encoders](encoders.md#getting-weights)). The licence is that of the
publisher of the weights; that of `wav2vec2_vad` forbids commercial use. What the licences of their training data allow
is a separate question; some of those corpora are for research only.
"""

if __name__ == "__main__":
    PAGE.write_text(page())
