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

from iaca.encoders.weights import WEIGHTS
from iaca.evaluation.report.provenance import DETECTORS, PORTRAIT

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
        spdx: an SPDX expression; "" where nothing tells it.
        whence: what tells it.
        needed: by the project itself, or by which of its extras.
    """

    package: str
    version: str
    spdx: str
    whence: str
    needed: str

    @property
    def mark(self) -> str:
        """What a redistributor should look at: copyleft with no way around it, or by choice, or proprietary."""
        if self.spdx == PROPRIETARY:
            return "proprietary"
        if not COPYLEFT.search(self.spdx):
            return ""
        free = any(not COPYLEFT.search(choice) for choice in self.spdx.split(" OR ")) and " AND " not in self.spdx
        return "copyleft, unless the other is chosen" if free else "copyleft"


def licences() -> list[Licence]:
    """One for every line of the lock, in its order."""
    groups = {group: set(closure(requirements)) for group, requirements in wanted().items()}
    return [_licence(package, version, groups) for package, version in locked().items()]


def told(distribution: metadata.Distribution) -> tuple[str, str]:
    """(SPDX expression, what tells it) of an installed package; ("", "") where nothing does."""
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
    """(package, library, licence) of the copyleft libraries whose files wheels bring along, known by their names."""
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
            "\n## Every package\n\n| package | version | licence | | needed by | said by |\n",
            "|---|---|---|---|---|---|\n",
            *rows,
        ]
    )


def _licence(package: str, version: str, groups: dict[str, set[str]]) -> Licence:
    spdx, whence = told(metadata.distribution(package))
    if package in names.BY_HAND:
        spdx, whence = names.BY_HAND[package]
    name = canonicalize_name(package)
    needing = [group for group, packages in groups.items() if name in packages]
    needed = "project" if "project" in needing else ", ".join(needing)
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

The project itself is under Apache-2.0. This page names the licence of each of the {count} packages of
`requirements.lock`, of the native libraries that wheels bring along, and of the weights. It is written by
`python docs/generate_licences.py` from the metadata of the installed packages; a test says so when it and the lock
differ, or when a package names no licence and nobody has looked it up. It is no legal advice.

Nothing of this is part of the project's own files: `make setup` gets it from a package index. To *use* it asks for
nothing, as a rule, except that NVIDIA's terms bind users too. To *pass on* an installed environment (a container image,
an archive of `.venv`) is to pass on all of it, with every licence.
"""
COPYLEFT_WORDS = """\
Packages under GPL, LGPL, MPL or EPL. They are imported as they are, none is changed or copied into the project, and the
project's licence stays what it is. To pass them on means: with their licence and their source, or the place where it
can be had. Under MPL that is all, and it ends at the borders of each file. `pygit2` (GPL-2.0, with an exception for
linking) comes with DVC. Where a package lets you choose, the other licence asks for less.
"""
NVIDIA = """\
These are under NVIDIA's own licence (a `License.txt` in each, or the CUDA Toolkit's end user licence agreement): free
of charge, closed, and to be passed on only within an application and as that licence says. torch brings them for use on
GPUs. A build of torch for CPUs, from torch's own index, does without them.

{packages}
"""
BUNDLED = """\
Wheels hold native libraries of others, whose licences the metadata of the package do not name. Those below are the ones
under copyleft that are known by their file names; libraries linked in without a file of their own are not seen.

**FFmpeg comes twice**: in PyAV, which decodes and writes all video here, and in OpenCV, whose FFmpeg the project never
calls. PyAV's calls itself "LGPL version 3 or later", yet it is linked against **libx264 and libx265, which are under
GPL-2.0-or-later** and lie in the same wheel. The overlay is written with libx264. To pass on an environment with
PyAV's wheel is therefore to pass on GPL code, whatever the metadata of `av` say; a build of PyAV against an FFmpeg of
your own changes that, and then overlays need another encoder. H.264 and H.265 are also covered by patents in some
countries.

libgfortran and libgomp are under the GPL with GCC's runtime exception: programs that merely use them are free.
"""
WEIGHT_WORDS = """\
None of them is in the repository. Those of `mini_xception` are fetched by `make setup`, MTCNN's lie in the wheel of
facenet-pytorch, all others are got by hand ([encoders](encoders.md)). The licence is that of the weights' publisher;
what the data allow that they were trained on is another question, and some of those corpora are for research alone.
"""

if __name__ == "__main__":
    PAGE.write_text(page())
