"""The graphs that systems run: exported once, and kept in `$GATI_HOME/compare` for the next
comparison, so that no server makes one of its own."""

import shutil
from pathlib import Path

from cache_models.data.datasets import cache_home
from cache_models.errors import ArtifactError
from cache_models.store.exporting import ensure
from cache_models.store.graphs import folder_of, sound
from cache_models.store.version import CacheVersion


def give(version: CacheVersion, store: Path) -> None:
    """Put the graphs of all partitions of `version` into a store that serves it, or others at the
    same cut points: the store's own if it has them, those that lie beside `version`, or those that
    are kept, which are made where there are none.

    Raises:
        CacheModelsError: they cannot be made.
    """
    plan, beside = version.plan, version.folder.parents[1]
    target = folder_of(store, plan)
    if target.exists():
        return
    try:
        sound(beside, plan)
        source = folder_of(beside, plan)
    except ArtifactError:
        kept = cache_home() / "compare"
        ensure(kept, version)
        source = folder_of(kept, plan)
    shutil.copytree(source, target)
