"""Coverage-guided fuzzing of the readers.

    pip install -e '.[fuzz]'
    python fuzz/run.py --seconds 60 TARGET

Inputs that reach new code are kept in `--corpus`, where the next run starts. An input that breaks a reader is written
next to them as `TARGET-crash-...` and ends the run with status 77. Input files are in /dev/shm if the machine has it.
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

SHARED_MEMORY = Path("/dev/shm")


def main() -> None:
    """Fuzz one target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=list(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="duration [60]")
    parser.add_argument("--longest", type=int, default=4096, help="maximum bytes of an input [4096]")
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz"), help="folder for inputs [build/fuzz]")
    given = parser.parse_args()
    kept = given.corpus / given.target
    kept.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[given.target]):
        (kept / f"seed-{number}").write_bytes(seed)
    warnings.simplefilter("ignore")
    folder = tempfile.mkdtemp(prefix="iaca-fuzz-", dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
    words = Path(folder) / "words"
    words.write_text(dictionary(SEEDS[given.target]))
    options = [f"-max_total_time={given.seconds}", f"-max_len={given.longest}", "-timeout=20", "-rss_limit_mb=6000",
               "-print_final_stats=1", f"-artifact_prefix={kept.parent}/{given.target}-", f"-dict={words}"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(kept)], lambda content: run(given.target, content, Path(folder)))
    atheris.Fuzz()


def dictionary(seeds: Iterable[bytes]) -> str:
    """Words and quoted texts of the seeds as a libFuzzer dictionary, from which it inserts at random."""
    found = {word for seed in seeds for word in re.findall(rb'"[^"]{1,60}"|[\w.@]{2,60}', seed)}
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in sorted(found))


if __name__ == "__main__":
    main()
