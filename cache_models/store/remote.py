"""The files of a store that lies elsewhere, on whatever fsspec reaches: an object store, a folder
that nodes share, memory.

What is asked of a file system is little: whole objects are read, written in one step, listed and
deleted, and one is created only where there is none. Where a file system cannot promise the last,
what was written is read again, so that of two who create an object at most one believes that it
has; unless the second looks before the first has written, and writes after the first has looked.
"""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from cache_models.errors import ArtifactError, StoreUnreachableError

logger = logging.getLogger(__name__)


def is_url(where: Path | str) -> bool:
    """Whether fsspec is to be asked for it, rather than the operating system."""
    return isinstance(where, str) and "://" in where


def known_protocols() -> set[str]:
    """That a URL may begin with; some need a package more."""
    return set(fsspec.available_protocols()) | set(fsspec.registry)


class Remote:
    """
    Args:
        url: of the folder, as fsspec takes it. Credentials are found as its file system finds
            them: in the environment, or in fsspec's own configuration.

    Raises:
        ArtifactError: no file system can be had for it.
    """

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        protocol = url.partition("://")[0]
        try:
            # fresh listings, since others write, too
            self._fs, self._root = fsspec.url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:  # it names the package
            raise ArtifactError(f"the store {self.url} cannot be opened: {error}") from error
        except ValueError as error:
            raise ArtifactError(
                f"the store {self.url} cannot be opened: {error}; {protocol}:// is none of "
                f"{', '.join(sorted(known_protocols()))}"
            ) from error

    def read(self, name: str) -> bytes:
        """
        Raises:
            FileNotFoundError: there is no such object.
            StoreUnreachableError: here and below.
        """
        with self._reaching(name):
            return self._fs.cat_file(self._path(name))

    def get(self, name: str, file: Path) -> None:
        """Bring an object to a file here; FileNotFoundError likewise."""
        with self._reaching(name):
            self._fs.get_file(self._path(name), str(file))

    def names(self, folder: str) -> list[str]:
        """Of all objects under a folder, from there on; none if there is no folder."""
        with self._reaching(folder):
            top = self._path(folder)
            self._fs.invalidate_cache(top)
            try:
                found = self._fs.find(top)
            except FileNotFoundError:
                return []
        return [name[len(top) + 1 :] for name in found]

    def put(self, file: Path, name: str, private: bool = False) -> None:
        """Bring a file there; who reads it meanwhile may see a part.

        Args:
            private: where the file system has owners, it is for its owner alone.
        """

        def write(path: str) -> None:
            if private and self._is_folder:
                Path(path).touch(0o600)  # which what is written leaves as it is
            self._fs.put_file(str(file), path)

        with self._reaching(name):
            self._with_folder(name, write)

    def write(self, name: str, data: bytes) -> None:
        """A small object, in one step: who reads it meanwhile sees it as it was, or as it is."""
        with self._reaching(name):
            if not self._is_folder:
                self._with_folder(name, lambda path: self._fs.pipe_file(path, data))
                return
            partial = f"{name}.{secrets.token_hex(4)}"  # folders show half of what is written
            self._with_folder(partial, lambda path: self._fs.pipe_file(path, data))
            self._fs.mv(self._path(partial), self._path(name))

    def create(self, name: str, data: bytes, private: bool = False) -> None:
        """A small object where there is none; the data must differ from what others write.

        Args:
            private: as of `put`.

        Raises:
            FileExistsError: somebody else has created it.
        """
        try:
            with self._reaching(name):
                self._with_folder(name, lambda path: self._create(path, data, private))
        except StoreUnreachableError:  # or it is how this file system says that it is there
            logger.debug("creating %s/%s", self.url, name, exc_info=True)
        try:
            if self.read(name) == data:
                return
        except FileNotFoundError:
            raise StoreUnreachableError(f"{self.url}/{name} cannot be written") from None
        raise FileExistsError(f"{self.url}/{name}")

    def _create(self, path: str, data: bytes, private: bool) -> None:
        if not self._is_folder:
            self._fs.pipe_file(path, data, mode="create")
            return
        mode = 0o600 if private else 0o644  # in one step, which fsspec's is not here
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)

    @property
    def _is_folder(self) -> bool:
        return isinstance(self._fs, LocalFileSystem)

    def remove(self, name: str) -> None:
        """An object, or a folder with all that is in it; nothing if it is not there."""
        with self._reaching(name):
            try:
                self._fs.rm(self._path(name), recursive=True)
            except FileNotFoundError:
                return

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _with_folder(self, name: str, write: Any) -> None:
        """Where folders have to be made, they are."""
        path = self._path(name)
        try:
            write(path)
        except FileNotFoundError:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            write(path)

    @contextmanager
    def _reaching(self, name: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, FileExistsError):
            raise
        except Exception as error:  # every file system has some of its own
            raise StoreUnreachableError(
                f"the store {self.url} cannot be reached ({name}): {error!r}"
            ) from error
