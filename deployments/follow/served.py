"""What a version of the caches has done since it came into service: a round's record says what it
would have saved on the samples that it was tested on; this says what it did save."""

from collections.abc import Collection, Iterable
from typing import Any

from cache_models.store.version import CacheVersion


def told(
    versions: Iterable[CacheVersion], serving: int, unproven: Collection[int]
) -> list[dict[str, Any]]:
    """For operators: versions that could be served, and what each was tested on.

    Args:
        serving: number of the one in service.
        unproven: numbers of those that an operator went back to though they did not pass.
    """
    return [
        {
            "cache_version": version.number,
            "serving": version.number == serving,
            "unproven": version.number in unproven,
            "data": version.plan.data,
            "threshold": version.plan.promise.threshold,
            "disagreements": version.plan.promise.disagreements,
            "tested_on": version.plan.promise.samples,
            "expected": version.plan.expected.model_dump(),
        }
        for version in versions
    ]


class Served:
    """
    Args:
        before: the share of hits of the version before; None if there was none, or too little
            traffic to tell.
    """

    def __init__(self, version: CacheVersion, before: float | None = None):
        self._version, self._before = version, before
        self._answered = self._missed = 0.0

    def advance(self, answered: int, missed: float) -> None:
        """So many rows more, while the caches might answer; `missed` of them the base DNN did."""
        self._answered += answered
        self._missed += missed

    @property
    def hit_rate(self) -> float | None:
        """None without traffic."""
        return 1 - self._missed / self._answered if self._answered else None

    def told(self) -> dict[str, Any]:
        """`saved_ms` is of the mean request, by the costs that the plan was made with: what these
        hits save beyond those of the version before."""
        expected, hits, before = self._version.plan.expected, self.hit_rate, self._before
        saved_ms = None
        if hits is not None and before is not None and expected.hit_rate:
            hit_ms = (expected.base_latency_ms - expected.latency_ms) / expected.hit_rate
            saved_ms = round((hits - before) * hit_ms, 3)
        return {
            "version": self._version.number,
            "requests": round(self._answered),
            "hit_rate": hits,
            "hit_rate_before": before,
            "saved_ms": saved_ms,
        }

    def beside(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Records of rounds; that which published the version in service says what it has done."""
        mine = self._version.number
        return [{**r, "did": self.told()} if r["published"] == mine else r for r in records]
