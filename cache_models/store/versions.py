"""The versioned store of learned caches: a folder that survives every process.

    <store>/current                 {"version": 3}
    <store>/versions/3/plan.json
    <store>/versions/3/<cut point>.safetensors
    <store>/versions/3/exploration.csv
    <store>/versions/3/manifest.json    SHA-256 of every other file

A version is written beside its place and renamed into it, manifest last, so it is there whole or
not at all; `current` is replaced in one step. A version whose files do not match its manifest is
refused.
"""

import json
import logging
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from safetensors import SafetensorError

from cache_models.errors import ArtifactError
from cache_models.store.checksums import sha256, sync
from cache_models.store.plan import Plan

if TYPE_CHECKING:  # not needed to look what there is
    from torch import Tensor

    from cache_models.cache.learned_cache import LearnedCache

ABANDONED_S = 3600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheVersion:
    """An immutable trained set of caches, checked against its manifest."""

    number: int
    plan: Plan
    folder: Path

    def load(self, index: int) -> "LearnedCache":
        """The learned cache at the plan's cut point `index`.

        Raises:
            ArtifactError: its file does not hold the weights that the plan describes.
        """
        from cache_models.cache.learned_cache import load_cache

        record = self.plan.caches[index]
        try:
            return load_cache(
                self.folder / record.file,
                record.variant,
                record.feature_shape,
                len(self.plan.description.classes),
            )
        except (SafetensorError, RuntimeError, OSError) as error:
            raise ArtifactError(f"{self.folder / record.file} cannot be loaded: {error}") from error

    def graph(self, index: int) -> bytes:
        """The same as an ONNX graph, for which no PyTorch is needed; see `cache.graph`.

        Raises:
            ArtifactError: likewise.
        """
        from safetensors.numpy import load_file

        from cache_models.cache.graph import cache_graph

        record = self.plan.caches[index]
        try:
            return cache_graph(
                record.variant,
                record.feature_shape,
                len(self.plan.description.classes),
                load_file(self.folder / record.file),
            )
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise ArtifactError(f"{self.folder / record.file} cannot be loaded: {error}") from error

    def file(self, name: str) -> Path:
        """A file beside plan and caches, which may be large and is checked here, when it is wanted.

        Raises:
            ArtifactError: the version has no such file, or it differs from its checksum.
        """
        file = self.folder / name
        try:
            _check(self.number, self.folder, name)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{file} cannot be read: {error}") from error
        return file

    def checksum(self, name: str) -> str:
        """SHA-256 of a file beside the plan, as it was published."""
        return json.loads((self.folder / "manifest.json").read_text())[name]

    def tensors(self, name: str) -> "dict[str, Tensor]":
        """What was published for the trainer under `name`.

        Raises:
            ArtifactError: as `file`, or it holds something else.
        """
        from safetensors.torch import load_file

        try:
            return load_file(self.file(name))
        except (SafetensorError, OSError) as error:
            raise ArtifactError(f"{self.folder / name} cannot be read: {error}") from error


class Store:
    """Versions of learned caches for one base DNN under one folder."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def versions(self) -> list[int]:
        """Numbers of all versions in the store, oldest first."""
        folder = self.folder / "versions"
        if not folder.is_dir():
            return []
        return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdigit())

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
        """
        from safetensors.torch import save_file

        from cache_models.cache.learned_cache import save_cache

        number = max(self.versions(), default=0) + 1
        target = self.folder / "versions" / str(number)
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent)
        partial = Path(tempfile.mkdtemp(prefix=f".{number}.", dir=target.parent))
        try:
            (partial / "plan.json").write_text(plan.model_dump_json(indent=2) + "\n")
            for file, text in (tables or {}).items():
                (partial / file).write_text(text)
            for file, named in (tensors or {}).items():
                save_file(named, partial / file)
            for file, cache in caches.items():
                save_cache(cache, partial / file)
            manifest = {entry.name: sha256(entry) for entry in sorted(partial.iterdir())}
            (partial / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
            for entry in partial.iterdir():
                entry.chmod(0o644)
                sync(entry)
            partial.chmod(0o755)
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        sync(target.parent)
        self._set_current(number)
        return self.open(number)

    def current(self) -> CacheVersion:
        """The version to serve: `current`, or, where that is damaged, the newest that is not.

        Raises:
            ArtifactError: no version can be used; names the reason of each.
        """
        try:
            first = int(json.loads((self.folder / "current").read_text())["version"])
            problems = []
        except (OSError, ValueError, KeyError, TypeError) as error:
            first = None
            problems = [f"{self.folder / 'current'}: {error}"]
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
            f"no usable cache version in {self.folder} ({'; '.join(problems)}). Make one with "
            f"`python -m cache_models build --out {self.folder}`."
        )

    def open(self, number: int) -> CacheVersion:
        """The version `number`, after checking its plan and caches against the manifest.

        Raises:
            ArtifactError: the version is missing, half-written or altered.
        """
        folder = self.folder / "versions" / str(number)
        try:
            _check(number, folder, "plan.json")
            plan = Plan.model_validate_json((folder / "plan.json").read_text())
            _check(number, folder, *(cache.file for cache in plan.caches))
        except (OSError, ValueError, TypeError, ValidationError) as error:
            raise ArtifactError(
                f"cache version {number} in {self.folder} is missing or half-written: {error}"
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
        raise ArtifactError(f"no version in {self.folder} has caches at {plan.cut_points}")

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
            shutil.rmtree(self.folder / "versions" / str(number), ignore_errors=True)

    def make_current(self, number: int) -> CacheVersion:
        """Go back, or forth, to a version.

        Raises:
            ArtifactError: it cannot be opened.
        """
        version = self.open(number)
        self._set_current(number)
        return version

    def _set_current(self, number: int) -> None:
        partial = self.folder / f".current.{os.getpid()}"
        partial.write_text(json.dumps({"version": number}) + "\n")
        sync(partial)
        partial.replace(self.folder / "current")
        sync(self.folder)


def remove_abandoned(folder: Path) -> None:
    """What a killed process left half-written; nobody else takes so long to write a version."""
    for partial in folder.glob(".*"):
        if time.time() - partial.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(partial, ignore_errors=True)


def _check(number: int, folder: Path, *names: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in names:
        if name not in manifest:
            raise ArtifactError(f"cache version {number}: its manifest has no {name}")
        if sha256(folder / name) != manifest[name]:
            raise ArtifactError(
                f"cache version {number} is damaged: {folder / name} differs from its checksum. "
                f"Restore the file, or build again."
            )


def fits(plan: Plan, deployed: Plan) -> bool:
    """Whether the caches of `plan` can serve where `deployed` was deployed."""
    same = plan.fingerprint == deployed.fingerprint and plan.cut_points == deployed.cut_points
    return same and [c.feature_shape for c in plan.caches] == [
        c.feature_shape for c in deployed.caches
    ]
