"""A node's copy of a store that lies elsewhere, which all processes of the node share.

    $GATI_HOME/mirrors/<of the URL>/versions/3/…    as there

What is brought is checked once against its manifest, and then renamed into its place. While the
store does not answer, or has something damaged, the copy is what there is.
"""

import fcntl
import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cache_models.data.datasets import cache_home
from cache_models.errors import ArtifactError, StoreUnreachableError, unwritable
from cache_models.store.checksums import remove_abandoned, replace_file, sha256, sync
from cache_models.store.publication import CURRENT, MANIFEST, VERSIONS, number_in, there
from cache_models.store.remote import Remote

MEND = "publish again, or make an older version current"

logger = logging.getLogger(__name__)


class Mirror:
    """
    Args:
        url: of the store.

    Attributes:
        folder: of the copy.

    Raises:
        ArtifactError: here and below, as of `Remote`: it does not answer.
    """

    def __init__(self, url: str):
        self.remote = Remote(url)
        self.url = self.remote.url
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self.folder = cache_home() / "mirrors" / digest
        self.folder.mkdir(parents=True, exist_ok=True)

    def bring(
        self, folder: str, manifest: str, checksums: Callable[[bytes], dict[str, str]]
    ) -> None:
        """Bring a folder whose manifest is written last, unless it is here as it is there.

        Args:
            checksums: of the files that a manifest names.

        Raises:
            ArtifactError: it is not there, damaged or out of reach, and there is no copy.
        """
        target = self.folder / folder
        here = _read(target / manifest)
        try:
            try:
                told = self.remote.read(f"{folder}/{manifest}")
            except FileNotFoundError:
                raise ArtifactError(f"{self.url} has no {folder}, or half of it") from None
            if told == here:
                return
            with self._alone():
                if told != _read(target / manifest):  # nobody else has brought it meanwhile
                    try:
                        self._bring(folder, manifest, told, checksums)
                    except OSError as error:
                        raise unwritable(target, error) from error
        except ArtifactError as error:
            if here is None:
                raise
            logger.warning("%s; the copy in %s is used", error, target)

    def _bring(
        self,
        folder: str,
        manifest: str,
        told: bytes,
        checksums: Callable[[bytes], dict[str, str]],
    ) -> None:
        target = self.folder / folder
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            for name, expected in _named(folder, told, checksums).items():
                self._bring_file(f"{folder}/{name}", partial / name, expected)
            (partial / manifest).write_bytes(told)
            for entry in partial.iterdir():
                entry.chmod(0o644)
                sync(entry)
            partial.chmod(0o755)
            shutil.rmtree(target, ignore_errors=True)  # an older store's, or damaged
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        sync(target.parent)

    def _bring_file(self, name: str, file: Path, expected: str) -> None:
        try:
            self.remote.get(name, file)
        except FileNotFoundError:
            raise ArtifactError(f"{self.url}/{name} is missing: {MEND}") from None
        if sha256(file) != expected:
            raise ArtifactError(f"{self.url}/{name} differs from its checksum: {MEND}")

    def bring_version(self, number: int) -> None:
        """Likewise, a version; those go that the store has no more."""
        before = _read(self.folder / VERSIONS / str(number) / MANIFEST)
        self.bring(f"{VERSIONS}/{number}", MANIFEST, _files_of_version)
        if before is None:
            kept = {number, *self.versions()}
            for old in (self.folder / VERSIONS).iterdir():
                if old.name.isdigit() and int(old.name) not in kept:
                    shutil.rmtree(old, ignore_errors=True)

    def bring_anew(self, number: int) -> None:
        """A version of which the copy is damaged; ArtifactError as of `bring`."""
        (self.folder / VERSIONS / str(number) / MANIFEST).unlink(missing_ok=True)
        self.bring(f"{VERSIONS}/{number}", MANIFEST, _files_of_version)

    def bring_current(self) -> None:
        """Bring what names the version to serve, if it can be read."""
        try:
            told = self.remote.read(CURRENT)
            number_in(told)
        except FileNotFoundError:
            return
        except (StoreUnreachableError, ValueError) as error:
            logger.warning("%s/%s: %s; the copy is used", self.url, CURRENT, error)
            return
        if told != _read(self.folder / CURRENT):
            try:
                replace_file(self.folder / CURRENT, told)
            except OSError as error:
                logger.error("%s; the copy is used", unwritable(self.folder, error))

    def versions(self) -> list[int]:
        """Numbers of those that are there whole; of those that are here, if it does not answer."""
        try:
            return sorted(there(self.remote)[0])
        except StoreUnreachableError as error:
            logger.warning("%s; the copies in %s are used", error, self.folder)
            manifests = (self.folder / VERSIONS).glob(f"[0-9]*/{MANIFEST}")
            return sorted(int(file.parent.name) for file in manifests)

    def bring_secret(self, name: str) -> None:
        """Bring a file that only its owner may read here; FileNotFoundError: there is none."""
        try:
            told = self.remote.read(name)
        except StoreUnreachableError as error:
            if _read(self.folder / name) is None:
                raise
            logger.warning("%s; the copy is used", error)
            return
        if told != _read(self.folder / name):
            replace_file(self.folder / name, told, 0o600)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process of the node after the other: what all of them want is brought once."""
        with open(self.folder / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _files_of_version(manifest: bytes) -> dict[str, str]:
    files = json.loads(manifest)
    if "plan.json" not in files:
        raise ValueError("it names no plan.json")
    return files


def _named(
    folder: str, manifest: bytes, checksums: Callable[[bytes], dict[str, str]]
) -> dict[str, str]:
    """Files and their checksums, as a manifest says.

    Raises:
        ArtifactError: it is none.
    """
    try:
        named = dict(checksums(manifest))
        if any(Path(name).name != name for name in named):
            raise ValueError("it names files of other folders")
    except (ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"the manifest of {folder} is half-written or altered ({error}): {MEND}"
        ) from error
    return named


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
