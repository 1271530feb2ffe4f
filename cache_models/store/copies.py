"""Copies of stores that may be written to."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from cache_models.errors import unwritable
from cache_models.store.versions import Store


def working_copy(store: Store, folder: Path) -> Store:
    """A copy of `store` under `folder` that may be written to; made where there is none yet.

    Raises:
        ArtifactError: it cannot be.
    """
    digest = hashlib.sha256()
    for number in store.versions():
        digest.update((store.folder / "versions" / str(number) / "manifest.json").read_bytes())
    copy = folder / digest.hexdigest()[:16]
    if not copy.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".copy.", dir=folder))
        try:
            shutil.copytree(store.folder, partial, dirs_exist_ok=True)
            partial.chmod(0o755)
            partial.rename(copy)
        except OSError as error:
            if not copy.exists():  # or somebody else was quicker
                raise unwritable(copy, error) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Store(copy)
