"""What a run left, file by file, and how it differs from what another run left."""

from __future__ import annotations

import hashlib
from pathlib import Path

from chaos_kill import VERSION, plain

LEFTOVERS = (".tmp-", ".lock", ".unfinished")
IGNORED = (".gitkeep",)


def state(data: Path) -> dict[str, set[str]]:
    """Name -> SHA-256 of the contents under this name: one, or one for each version that Kedro keeps."""
    files: dict[str, set[str]] = {}
    for path in sorted(data.rglob("*")):
        if path.is_file() and path.name not in IGNORED and not path.name.startswith(LEFTOVERS):
            files.setdefault(plain(path, data), set()).add(hashlib.sha256(path.read_bytes()).hexdigest())
    return files


def newest(data: Path) -> dict[str, str]:
    """Name -> SHA-256 of the newest version of what Kedro keeps versions of."""
    files = {}
    for path in sorted(data.rglob("*")):
        if path.is_file() and VERSION.search(str(path)) and not path.name.startswith(LEFTOVERS):
            files[plain(path, data)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return files


def leftovers(data: Path) -> list[str]:
    """Temporary files, locks and marks, and version folders without a file."""
    found = [plain(path, data) for path in data.rglob("*") if path.name.startswith(LEFTOVERS)]
    empty = [p for p in data.rglob("*") if p.is_dir() and VERSION.fullmatch(p.name) and not any(p.iterdir())]
    return sorted(found + [plain(path, data) + "/" for path in empty])


def differences(data: Path, reference: Path) -> list[str]:
    """How `data` differs from `reference`: files missing, too many, or with other bytes.

    Of versioned files the newest has to be the reference's newest. Killed runs may have left versions of their own,
    each of which has to be one that the reference has, too: whole, and of the same answer.
    """
    found, wanted = state(data), state(reference)
    told = [f"missing: {name}" for name in wanted if name not in found]
    told += [f"too many: {name}" for name in found if name not in wanted]
    told += [f"other bytes: {name}" for name in found if name in wanted and not found[name] <= wanted[name]]
    latest = newest(reference)
    told += [f"not the newest: {name}" for name, digest in newest(data).items() if latest.get(name, digest) != digest]
    return sorted(told)
