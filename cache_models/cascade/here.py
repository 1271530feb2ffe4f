"""Where a walk asks stages that are all in this process, and nothing waits."""

from collections.abc import Mapping

from cache_models.cache.lookup import CacheLookup
from cache_models.network.slice import Slice
from cache_models.network.stages import LookUp, Message, Remember, Reply, Run, Stage
from cache_models.store.graphs import cache_lookup
from cache_models.store.version import CacheVersion


class Here:
    """A place for `Cascade`.

    Attributes:
        slices, lookups: by their stage's name.
    """

    def __init__(self, slices: Mapping[str, Slice], lookups: Mapping[str, CacheLookup]):
        self.slices, self.lookups = slices, lookups

    async def ask(self, stage: Stage, message: Message, timeout_s: float | None = None) -> Reply:
        if isinstance(message, LookUp):
            batch, _, threshold, resized, stream, at = message
            return self.lookups[stage.name](batch, threshold, resized, stream, at)
        assert isinstance(message, Run)
        return self.slices[stage.name](message.batch, message.resized)

    def tell(self, stage: Stage, message: Remember) -> None:
        self.lookups[stage.name].remember(message)


def lookups_of(version: CacheVersion) -> dict[str, CacheLookup]:
    """All of a version, each with one thread, as in service."""
    return {
        stage.name: cache_lookup(version, stage, "auto", threads=1)
        for stage in version.plan.stages()
        if stage.is_lookup
    }
