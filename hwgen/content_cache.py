"""Results of tools kept by the digest of all that decides them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hwgen.files import require_writable, sha256, write_bytes

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ContentCache:
    """A folder of JSON files; an entry that is damaged or of another form counts as absent."""

    folder: Path

    def get(self, key: str, read: Callable[[Any], Result]) -> Result | None:
        """What ``read`` makes of the entry; it may raise KeyError, TypeError or ValueError."""
        try:
            entry = json.loads((self.folder / f"{key}.json").read_bytes())
            found, digest = entry["found"], entry["digest"]
            return read(found) if digest == _digest(key, found) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, key: str, found: object) -> None:
        """Keep ``found``, which is JSON."""
        require_writable(self.folder)
        entry = {"found": found, "digest": _digest(key, found)}
        write_bytes(self.folder / f"{key}.json", json.dumps(entry).encode())


def _digest(key: str, found: object) -> str:
    """Ties an entry's content to its name."""
    return sha256(json.dumps([key, found], sort_keys=True).encode())
