"""Whether files are what was written, and are on disk as a whole."""

import hashlib
import os
import shutil
import time
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


def remove_abandoned(folder: Path) -> None:
    """What a killed process left half-written; nobody else takes so long to write a version."""
    for partial in folder.glob(".*"):
        if time.time() - partial.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(partial, ignore_errors=True)
