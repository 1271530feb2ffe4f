"""The versioned store of learned caches: a folder that survives every process.

    <store>/current                 {"version": 3}
    <store>/versions/3/plan.json
    <store>/versions/3/<cut point>.safetensors
    <store>/versions/3/exploration.csv
    <store>/versions/3/manifest.json    SHA-256 of every other file

A version is written beside its place and renamed into it, manifest last, so it is there whole or
not at all; `current` is replaced in one step. A version whose files do not match its manifest is
refused.

A store may lie elsewhere, under a URL. Then this folder is the node's copy of it (`mirror`), and
what is published goes there first (`publication`); whoever has a `Store` need not know.
"""

import errno
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from safetensors import SafetensorError

from cache_models.errors import ArtifactError, briefly, unwritable
from cache_models.store import publication
from cache_models.store.checksums import remove_abandoned, replace_file, sha256, sync
from cache_models.store.mirror import Mirror
from cache_models.store.plan import Plan
from cache_models.store.remote import is_url
from cache_models.store.version import CacheVersion, check, check_format

if TYPE_CHECKING:  # not needed to look what there is
    from torch import Tensor

    from cache_models.cache.learned_cache import LearnedCache

logger = logging.getLogger(__name__)


class Store:
    """Versions of learned caches for one base DNN.

    Args:
        where: a folder, or a URL as fsspec takes it, such as `s3://bucket/store`.

    Attributes:
        folder: that folder, or the node's copy.

    Raises:
        ArtifactError: no file system can be had for the URL.
    """

    def __init__(self, where: Path | str):
        self.where: Path | str = where if is_url(where) else Path(where)
        self.mirror = Mirror(str(where)) if is_url(where) else None
        self.folder = self.mirror.folder if self.mirror else Path(where)

    def beside(self, name: str) -> "Store":
        """The store of that name within this one."""
        return Store(f"{self.where}/{name}")

    def versions(self) -> list[int]:
        """Numbers of all versions in the store, oldest first.

        Raises:
            ArtifactError: its folder cannot be read.
        """
        if self.mirror:
            return self.mirror.versions()
        folder = self.folder / "versions"
        try:
            names = [entry.name for entry in folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ArtifactError(
                f"{folder} cannot be read: {error}. Give this user leave to read it."
            ) from error
        return sorted(int(name) for name in names if name.isdecimal())

    def publish(
        self,
        plan: Plan,
        caches: "dict[str, LearnedCache]",
        tables: dict[str, str] | None = None,
        tensors: "dict[str, dict[str, Tensor]] | None" = None,
    ) -> CacheVersion:
        """Write a new version and make it current.

        Args:
            caches: by the `file` of the plan's cache records.
            tables: text files for people, by name, kept beside the plan.
            tensors: for the trainer, by file name, likewise.

        Raises:
            ArtifactError: somebody else publishes at the same time, or it cannot be written, or
                does not answer; what was current still is.
        """
        claim = publication.claim(self.mirror.remote) if self.mirror else None
        number = claim.number if claim else max(self.versions(), default=0) + 1
        with self._writing(number):
            self._write(number, claim, plan, caches, tables or {}, tensors or {})
            self._set_current(number, claim)
        return self.open(number)

    @contextmanager
    def _writing(self, number: int) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            if getattr(error, "errno", None) in (errno.EEXIST, errno.ENOTEMPTY):
                raise ArtifactError(
                    f"somebody else has published cache version {number} to {self.where} at this "
                    f"moment, so this one is not published: try again"
                ) from error
            raise unwritable(f"cache version {number} in {self.where}", error) from error

    def _write(
        self,
        number: int,
        claim: publication.Claim | None,
        plan: Plan,
        caches: "dict[str, LearnedCache]",
        tables: dict[str, str],
        tensors: "dict[str, dict[str, Tensor]]",
    ) -> None:
        """All files of a version, in its place, as a whole or not at all."""
        from safetensors.torch import save_file

        from cache_models.cache.learned_cache import save_cache

        target = self.folder / "versions" / str(number)
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent)
        partial = Path(tempfile.mkdtemp(prefix=f".{number}.", dir=target.parent))
        try:
            (partial / "plan.json").write_text(plan.model_dump_json(indent=2) + "\n")
            for file, text in tables.items():
                (partial / file).write_text(text)
            for file, named in tensors.items():
                save_file(named, partial / file)
            for file, cache in caches.items():
                save_cache(cache, partial / file)
            manifest = {entry.name: sha256(entry) for entry in sorted(partial.iterdir())}
            (partial / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
            for entry in partial.iterdir():
                entry.chmod(0o644)
                sync(entry)
            partial.chmod(0o755)
            if self.mirror:
                publication.push(self.mirror.remote, partial, f"versions/{number}", "manifest.json")
                shutil.rmtree(target, ignore_errors=True)  # of a store that was there before
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            if self.mirror and claim:
                publication.withdraw(self.mirror.remote, claim)
            raise
        sync(target.parent)

    def current(self) -> CacheVersion:
        """The version to serve: `current`, or, where that is damaged, the newest that is not.

        Raises:
            ArtifactError: no version can be used; names the reason of each.
        """
        if self.mirror:
            self.mirror.bring_current()
        try:
            first = publication.number_in((self.folder / publication.CURRENT).read_bytes())
            problems = []
        except (OSError, ValueError) as error:
            first = None
            problems = [f"{self.folder / publication.CURRENT}: {briefly(error)}"]
        others = [number for number in reversed(self.versions()) if number != first]
        for number in ([] if first is None else [first]) + others:
            try:
                version = self.open(number)
            except ArtifactError as error:
                problems.append(str(error))
                continue
            if problems:
                logger.error("serving cache version %d: %s", number, "; ".join(problems))
            return version
        raise ArtifactError(
            f"no usable cache version in {self.where} ({'; '.join(problems)}). Make one with "
            f"`python -m cache_models build --out {self.where}`."
        )

    def open(self, number: int) -> CacheVersion:
        """The version `number`, after checking its plan and caches against the manifest.

        Raises:
            ArtifactError: the version is missing, half-written or altered.
        """
        if self.mirror:
            self.mirror.bring_version(number)
        try:
            return self._opened(number)
        except ArtifactError as error:
            if self.mirror is None:
                raise
            logger.warning("%s; it is brought anew from %s", error, self.where)
            self.mirror.bring_anew(number)
            return self._opened(number)

    def _opened(self, number: int) -> CacheVersion:
        folder = self.folder / "versions" / str(number)
        try:
            check(number, folder, "plan.json")
            text = (folder / "plan.json").read_text()
            check_format(number, text)
            plan = Plan.model_validate_json(text)
            check(number, folder, *(cache.file for cache in plan.caches))
        except PermissionError as error:
            raise ArtifactError(
                f"cache version {number} cannot be read: {error}. Give this user leave to read it."
            ) from error
        except (OSError, ValueError, TypeError, ValidationError) as error:
            raise ArtifactError(
                f"cache version {number} in {self.where} is missing or half-written: "
                f"{briefly(error)}. Restore it, or build again."
            ) from error
        return CacheVersion(number, plan, folder)

    def serving(self, plan: Plan) -> CacheVersion:
        """The version to serve where partitions and lookups were deployed for `plan`: the current
        one, or, if that has other cut points, the newest with the same.

        Raises:
            ArtifactError: there is none.
        """
        version = self.current()
        if fits(version.plan, plan):
            return version
        if fitting := self.fitting(plan):
            return fitting[-1]
        raise ArtifactError(f"no version in {self.where} has caches at {plan.cut_points}")

    def fitting(self, plan: Plan) -> list[CacheVersion]:
        """All versions that could be served where `plan` was deployed, oldest first."""
        found = []
        for number in self.versions():
            try:
                version = self.open(number)
            except ArtifactError as error:
                logger.warning("%s", error)
                continue
            if fits(version.plan, plan):
                found.append(version)
        return found

    def remove(self, numbers: set[int]) -> None:
        """Remove versions, never the current one."""
        for number in numbers - {self.current().number}:
            if self.mirror:
                publication.remove_version(self.mirror.remote, number)
            shutil.rmtree(self.folder / "versions" / str(number), ignore_errors=True)

    def make_current(self, number: int) -> CacheVersion:
        """Go back, or forth, to a version.

        Raises:
            ArtifactError: it cannot be opened; or as of `publish`.
        """
        version = self.open(number)
        with self._writing(number):
            self._set_current(number)
        return version

    def _set_current(self, number: int, claim: publication.Claim | None = None) -> None:
        if self.mirror:
            publication.make_current(self.mirror.remote, number, claim)
        replace_file(self.folder / publication.CURRENT, publication.naming(number))


def fits(plan: Plan, deployed: Plan) -> bool:
    """Whether the caches of `plan` can serve where `deployed` was deployed."""
    same = plan.fingerprint == deployed.fingerprint and plan.cut_points == deployed.cut_points
    return same and _shapes(plan) == _shapes(deployed)


def _shapes(plan: Plan) -> list:
    """What stages that serve the plan's caches must have been told of them."""
    return [(cache.feature_shape, cache.memory is not None) for cache in plan.caches]
