"""Copies of stores that may be written to."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from cache_models.store.versions import Store


def working_copy(store: Store, folder: Path) -> Store:
    """A copy of `store` under `folder` that may be written to; made where there is none yet."""
    digest = hashlib.sha256()
    for number in store.versions():
        digest.update((store.folder / "versions" / str(number) / "manifest.json").read_bytes())
    copy = folder / digest.hexdigest()[:16]
    if not copy.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".copy.", dir=folder))
        shutil.copytree(store.folder, partial, dirs_exist_ok=True)
        partial.chmod(0o755)
        try:
            partial.rename(copy)
        except OSError:  # somebody else was quicker
            shutil.rmtree(partial)
    return Store(copy)
