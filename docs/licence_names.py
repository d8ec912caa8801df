"""Licences as packages write them, mapped to SPDX, and those that were looked up by hand."""

from __future__ import annotations

_MIT, _APACHE, _BSD2, _BSD3 = "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause"
_NVIDIA = "LicenseRef-NVIDIA-Proprietary"

FIELD = {
    **{spdx: spdx for spdx in (_MIT, _APACHE, _BSD2, _BSD3, "PSF-2.0", "MPL-2.0", "ZPL-2.1", "MPL-2.0 AND MIT")},
    "MIT License": _MIT,
    "MIT license": _MIT,
    "Apache 2.0": _APACHE,
    "Apache License 2.0": _APACHE,
    "Apache License, Version 2.0": _APACHE,
    "Apache Software License (Apache 2.0)": _APACHE,
    "BSD 2-Clause License": _BSD2,
    "BSD 3-Clause License": _BSD3,
    "3-Clause BSD License": _BSD3,
    "New BSD": _BSD3,
    "ISC license": "ISC",
    "ISC License": "ISC",
    "PSFL": "PSF-2.0",
    "EPL-2.0 OR GPL-2.0-or-later": "EPL-2.0 OR GPL-2.0-or-later",
    "GPLv2 | EPLv1": "GPL-2.0-only OR EPL-1.0",
    _NVIDIA: _NVIDIA,
    "NVIDIA Proprietary Software": _NVIDIA,
}
"""The metadata field `License`, which is free text. "BSD" alone does not give the number of clauses."""

CLASSIFIER = {
    "MIT License": _MIT,
    "Apache Software License": _APACHE,
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""Classifiers that name one licence; "BSD License" does not."""

_LINKING = "GPL-2.0-only WITH GCC-exception-2.0"
BY_HAND = {
    "antlr4-python3-runtime": (_BSD3, "by hand: LICENSE.txt of github.com/antlr/antlr4, its wheel has none"),
    "bleach": (_APACHE, "by hand: LICENSE in its wheel; a copy of html5lib in it is MIT"),
    "cuda-toolkit": (_NVIDIA, "by hand: CUDA Toolkit EULA, docs.nvidia.com/cuda/eula; the wheel holds no files"),
    "docutils": (f"LicenseRef-Public-Domain AND {_BSD2} AND 0BSD", "by hand: COPYING.rst; rst.el is not in the wheel"),
    "matplotlib": ("LicenseRef-Matplotlib", "by hand: its metadata, an agreement in the manner of PSF-2.0"),
    "pygit2": (_LINKING, "by hand: COPYING in its wheel, which words the exception itself"),
    "python-dateutil": (f"{_APACHE} OR {_BSD3}", "by hand: LICENSE in its wheel"),
    **{
        f"sphinxcontrib-{part}": (_BSD2, "by hand: LICENCE.rst in its source archive, its wheel has none")
        for part in ("applehelp", "devhelp", "htmlhelp", "qthelp", "serializinghtml")
    },
    "text-unidecode": ("Artistic-1.0-Perl OR GPL-2.0-or-later", "by hand: LICENSE.txt in its wheel"),
    "torchvision": (_BSD3, "by hand: LICENSE in its wheel"),
    "uvloop": (f"{_APACHE} OR {_MIT}", "by hand: LICENSE-APACHE and LICENSE-MIT in its wheel"),
}
"""Package -> (SPDX, source), where metadata and licence files are missing or wrong."""

_FFMPEG = "LGPL-2.1-or-later; PyAV's from version 3 on, see above"
_FFMPEG_PARTS = ("avcodec", "avdevice", "avfilter", "avformat", "avutil", "swresample", "swscale")
LIBRARIES = {
    **{f"lib{part}": _FFMPEG for part in _FFMPEG_PARTS},
    **dict.fromkeys(("libx264", "libx265"), "GPL-2.0-or-later"),
    **dict.fromkeys(("libgfortran", "libgomp"), "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "libgit2": f"{_LINKING} (wording of its own)",
    **dict.fromkeys(("libasound", "libgnutls", "libquadmath", "libsndfile"), "LGPL-2.1-or-later"),
    "libmp3lame": "LGPL-2.0-or-later",
    **dict.fromkeys(("libgmp", "libhogweed", "libnettle", "libunistring"), "LGPL-3.0-or-later OR GPL-2.0-or-later"),
    "libzmq": "MPL-2.0",
}
"""Native libraries under copyleft, by the beginning of their file names."""


def of_text(text: str) -> str:
    """SPDX of a licence text, for the few that distinguish the BSD licences; "" for all others."""
    words = " ".join(text.replace("*", " ").replace("#", " ").split()).lower()
    if "redistribution and use in source and binary forms" in words:
        third = (
            "neither the name" in words or "may not be used to endorse" in words or "may be used to endorse" in words
        )
        return _BSD3 if third else _BSD2
    if "apache license" in words and "version 2.0, january 2004" in words:
        return _APACHE
    if "permission is hereby granted, free of charge, to any person" in words:
        return _MIT
    return ""
