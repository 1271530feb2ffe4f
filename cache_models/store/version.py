"""One version of learned caches: what its files hold, each checked against its manifest."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from cache_models.errors import ArtifactError
from cache_models.store.checksums import sha256
from cache_models.store.plan import Plan

if TYPE_CHECKING:  # not needed to look what there is
    import numpy as np
    from torch import Tensor

    from cache_models.cache.learned_cache import LearnedCache
    from cache_models.cache.recall import Recall


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

    def weights(self, index: int) -> "dict[str, np.ndarray]":
        """The same as arrays, for which no PyTorch is needed.

        Raises:
            ArtifactError: likewise.
        """
        from safetensors.numpy import load_file

        file = self.folder / self.plan.caches[index].file
        try:
            return load_file(file)
        except (SafetensorError, OSError) as error:
            raise ArtifactError(f"{file} cannot be loaded: {error}") from error

    def recall(self, index: int) -> "Recall | None":
        """What it makes of the entries of a stream; None of a cache without a memory.

        Raises:
            ArtifactError: likewise.
        """
        from cache_models.cache.recall import Recall

        record = self.plan.caches[index]
        if record.memory is None:
            return None
        try:
            recall = Recall.of(self.weights(index))
        except (KeyError, ValueError, TypeError) as error:
            raise ArtifactError(f"{self.folder / record.file} cannot be loaded: {error}") from error
        if recall is None:
            raise ArtifactError(f"{self.folder / record.file} has no memory of streams")
        return recall

    def graph(self, index: int) -> bytes:
        """The same as an ONNX graph, for which no PyTorch is needed; see `cache.graph`.

        Raises:
            ArtifactError: likewise.
        """
        from cache_models.cache.graph import cache_graph

        record = self.plan.caches[index]
        try:
            return cache_graph(
                record.variant,
                record.feature_shape,
                len(self.plan.description.classes),
                self.weights(index),
            )
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"{self.folder / record.file} cannot be loaded: {error}") from error

    def file(self, name: str) -> Path:
        """A file beside plan and caches, which may be large and is checked here, when it is wanted.

        Raises:
            ArtifactError: the version has no such file, or it differs from its checksum.
        """
        file = self.folder / name
        try:
            check(self.number, self.folder, name)
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


def check_format(number: int, plan: str) -> None:
    """
    Args:
        plan: as JSON.

    Raises:
        ArtifactError: it was written by a newer release.
    """
    told, known = json.loads(plan), Plan.model_fields["format"].default
    found = told.get("format") if isinstance(told, dict) else None
    if isinstance(found, int) and found > known:
        raise ArtifactError(
            f"cache version {number} is of format {found}, and this release reads {known}: update "
            f"gati, or make an older version current"
        )


def check(number: int, folder: Path, *names: str) -> None:
    """
    Raises:
        ArtifactError: a file differs from its checksum, or the manifest has none.
    """
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in names:
        if name not in manifest:
            raise ArtifactError(
                f"cache version {number}: its manifest has no {name}: restore it, or build again"
            )
        if sha256(folder / name) != manifest[name]:
            raise ArtifactError(
                f"cache version {number} is damaged: {folder / name} differs from its checksum. "
                f"Restore the file, or build again."
            )
