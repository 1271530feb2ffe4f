"""What a version's caches said of the calibration samples, read from beside it."""

from cache_models.promise.streams import Said
from cache_models.store.files import CALIBRATION
from cache_models.store.versions import CacheVersion


def load_said(version: CacheVersion) -> Said:
    """What the caches of a version said of its calibration samples.

    Raises:
        ArtifactError: it is not there, or cannot be read.
    """
    caches, said = range(len(version.plan.caches)), version.tensors(CALIBRATION)
    return Said(
        [said[f"scores.{i}"].float() for i in caches],
        [said[f"familiar.{i}"] for i in caches],
        [version.load(i).selector for i in caches],
        said["answers"].numpy(),
    )
