"""Generated files in memory first; this is the only module that writes them to disk."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hwgen.errors import UserInputError

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Files:
    """Relative POSIX path -> bytes."""

    content: Mapping[str, bytes] = field(default_factory=dict)

    def __or__(self, other: Files) -> Files:
        for path in self.content.keys() & other.content.keys():
            if self.content[path] != other.content[path]:
                raise AssertionError(f"two generators disagree on {path}")
        return Files({**self.content, **other.content})

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.content))

    def under(self, folder: str) -> Files:
        """The same files inside ``folder``."""
        return Files({f"{folder}/{path}": data for path, data in self.content.items()})

    def digest(self) -> str:
        """SHA-256 over all paths and contents."""
        total = hashlib.sha256()
        for path in self:
            total.update(f"{path}\0{sha256(self.content[path])}\n".encode())
        return total.hexdigest()

    def write(self, folder: Path) -> None:
        """Write what changed, each file atomically."""
        for path in self:
            write_bytes(folder / path, self.content[path])


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``path`` whole or not at all; leave it untouched if it holds ``data`` already."""
    try:
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserInputError(
            f"cannot write {path}: {error.strerror}; choose another folder with --out, "
            "or free space and permissions there"
        ) from error


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON with sorted keys."""
    write_bytes(path, to_json(value))


def to_json(value: object) -> bytes:
    """Indented JSON with sorted keys and a final newline."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def require_writable(folder: Path) -> None:
    """Make ``folder``, or raise ``UserInputError`` before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserInputError(
            f"output folder {folder} is not writable: {error.strerror}; choose another with --out"
        ) from error


def seal(folder: Path, files: Files) -> None:
    """Write the manifest that makes ``folder`` a finished build; the last step of a build."""
    digests = {path: sha256(files.content[path]) for path in files}
    write_json(folder / MANIFEST, {"digest": files.digest(), "files": digests})


def unseal(folder: Path) -> None:
    """Remove the manifest: from here on until ``seal`` the folder is not a build."""
    (folder / MANIFEST).unlink(missing_ok=True)


def check_seal(folder: Path) -> str:
    """Return the build's digest; raise unless every generated file is as it was written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        expected = dict(manifest["files"])
        digest = str(manifest["digest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserInputError(
            f"{folder} is not a finished build (no readable {MANIFEST}); run hwgen build again"
        ) from error
    changed = []
    for path, wanted in sorted(expected.items()):
        file = folder / path
        if not file.is_file():
            changed.append(f"{path} (missing)")
        elif sha256(file.read_bytes()) != wanted:
            changed.append(path)
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise UserInputError(
            f"{folder}: files differ from what was built (digest mismatch): "
            f"{', '.join(changed[:5])}{more}; run hwgen build again"
        )
    return digest


def sweep(folder: Path, subfolders: Sequence[str], *, keep: Files) -> None:
    """Delete files of earlier builds from ``subfolders``: all but ``keep``."""
    for name in subfolders:
        for path in sorted((folder / name).rglob("*")):
            if path.is_file() and path.relative_to(folder).as_posix() not in keep.content:
                path.unlink()
