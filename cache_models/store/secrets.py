"""Files in the store that only their owner may read; elsewhere, whoever may read the store."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from cache_models.errors import unwritable
from cache_models.store.versions import Store


def make_once(store: Path | str, name: str, make: Callable[[], str]) -> None:
    """Make a secret, unless the store has it: another's is never replaced.

    Args:
        store: its folder, or its URL.
        make: a new one.

    Raises:
        ArtifactError: it cannot be written, or the store lies elsewhere, and does not answer.
    """
    mirror = Store(store).mirror
    if mirror is not None:
        try:
            mirror.bring_secret(name)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                mirror.remote.create(name, make().encode(), private=True)
    elif not (file := Path(store) / name).exists():
        try:
            _write_once(file, make())
        except OSError as error:
            raise unwritable(file, error) from error


def secret(store: Path | str, name: str) -> str:
    """
    Raises:
        OSError: there is none, or it cannot be read.
        ArtifactError: as of `make_once`.
    """
    opened = Store(store)
    if opened.mirror is not None:
        opened.mirror.bring_secret(name)
    return (opened.folder / name).read_text()


def _write_once(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        os.link(partial, file)  # unlike a rename, never over another's
    except FileExistsError:
        pass
    finally:
        os.unlink(partial)
