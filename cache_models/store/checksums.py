"""Whether files are what was written, and are on disk as a whole."""

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

ABANDONED_S = 3600.0
"""After which whoever has begun to write a folder, and has not ended, never will."""


def sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """A file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(file: Path, data: bytes, mode: int = 0o644) -> None:
    """In one step: whoever reads it, also after a crash, sees it as it was, or as it is."""
    descriptor, made = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    partial = Path(made)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        partial.chmod(mode)
        sync(partial)
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(file.parent)


def remove_abandoned(folder: Path) -> None:
    """What a killed process left half-written; nobody else takes so long to write a version."""
    for partial in folder.glob(".*"):
        with suppress(FileNotFoundError):  # who writes it has just ended
            if time.time() - partial.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(partial, ignore_errors=True)
