"""Coverage-guided fuzzing of the readers: `python fuzz/run.py --seconds 60 TARGET`; `pip install -e '.[fuzz]'` before.

Inputs that reach something new are kept in the folder --corpus and are where the next run begins; one that breaks a
reader is written beside them as `crash-...` and ends the run with 77. Files are made in memory where the machine has
/dev/shm.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["iaca"]):
    from targets import SEEDS, TARGETS, run

MEMORY = Path("/dev/shm")


def main() -> None:
    """Fuzz one target for a while."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=list(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="how long [60]")
    parser.add_argument("--longest", type=int, default=4096, help="bytes of an input [4096]")
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz"), help="a folder for inputs [build/fuzz]")
    given = parser.parse_args()
    kept = given.corpus / given.target
    kept.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[given.target]):
        (kept / f"seed-{number}").write_bytes(seed)
    warnings.simplefilter("ignore")
    folder = tempfile.mkdtemp(prefix="iaca-fuzz-", dir=MEMORY if MEMORY.is_dir() else None)
    words = Path(folder) / "words"
    words.write_text(dictionary(SEEDS[given.target]))
    options = [f"-max_total_time={given.seconds}", f"-max_len={given.longest}", "-timeout=20", "-rss_limit_mb=6000",
               "-print_final_stats=1", f"-artifact_prefix={kept.parent}/{given.target}-", f"-dict={words}"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(kept)], lambda content: run(given.target, content, Path(folder)))
    atheris.Fuzz()


def dictionary(seeds: Iterable[bytes]) -> str:
    """Words and quoted text of the seeds, in the notation of libFuzzer, which puts them in where it pleases."""
    found = {word for seed in seeds for word in re.findall(rb'"[^"]{1,60}"|[\w.@]{2,60}', seed)}
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in sorted(found))


if __name__ == "__main__":
    main()
