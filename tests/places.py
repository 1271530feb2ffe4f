"""Stages that only pretend, for tests of what walks through them."""

import asyncio

import numpy as np

from cache_models.cascade import Cascade, Control, Gone
from cache_models.network.stages import Activation, Answer, Verdict
from tests.plans import plan_for

BATCH = np.array([[0.0], [5.0], [9.0]])


class FakePartition:
    """Hands its input on, in no time at the front and in 3 ms in the background; counts the rows
    that it was given. The next `gone` are not there when it would read them."""

    def __init__(self, last: bool = False):
        self.last, self.fail, self.gone = last, False, 0
        self.rows = self.background_rows = 0

    async def run(self, batch, resized, background):
        self.rows += len(batch)
        self.background_rows += background * len(batch)
        self.resized = resized
        if self.fail:
            raise RuntimeError("lost")
        if self.gone:
            self.gone -= 1
            raise Gone("read too late")
        ms = np.full(len(batch), 3.0 * background)
        if self.last:
            answers = np.full(len(batch), 1), np.tile([0.0, 1.0], (len(batch), 1))
            return Answer(*answers, queued_ms=ms, compute_ms=ms)
        return Activation(batch, batch, queued_ms=ms, compute_ms=ms)


class FakeLookup:
    """Hits where the input is below `below`."""

    def __init__(self, below: float, fail: bool = False, delay_s: float = 0):
        self.below, self.fail, self.delay_s, self.calls = below, fail, delay_s, 0
        self.streams = []

    async def run(self, features, version, threshold, resized, stream, at):
        self.calls += 1
        self.resized, self.asked_with = resized, (version, threshold)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.fail:
            raise RuntimeError("lost")
        n = len(features)
        sure = np.tile([1.0, 0.0], (n, 1))
        hits, vectors = features[:, 0] < self.below, features if stream else None
        self.streams.append((stream, at))
        return Verdict(hits, np.zeros(n, int), sure, features[:, 0], vectors)

    async def prepare(self, version):
        if self.fail:
            raise RuntimeError("lost")
        self.prepared = version


class FakePlace:
    """Of caches at the cut points `names`."""

    def __init__(self, names, lookups):
        self.lookups, self.told = list(lookups), []
        self.forgot = 0
        self.partitions = [FakePartition() for name in names if name != "input"]
        self.partitions.append(FakePartition(last=True))

    async def ask(self, stage, message, timeout_s=None):
        fake = (self.lookups if stage.is_lookup else self.partitions)[stage.index]
        fake.timeout_s = timeout_s
        if not timeout_s:
            return await fake.run(*message)
        async with asyncio.timeout(timeout_s):
            return await fake.run(*message)

    def tell(self, stage, message):
        self.told.append((stage.name, message))

    async def forget_here(self):
        self.forgot += 1

    async def prepare(self, version):
        await asyncio.gather(*(lookup.prepare(version) for lookup in self.lookups))


def cascade_for(
    names, place, lookup_timeout_s=None, speculation=None, remember=(), under_way=None
) -> Cascade:
    """Of caches at the cut points `names` in version 7, with two classes; those at `remember` have
    a memory of streams."""
    stages = plan_for(names, remember=remember).stages()
    if lookup_timeout_s is None and any(lookup.delay_s > 1 for lookup in place.lookups):
        lookup_timeout_s = 0.05
    return Cascade(stages, 2, place, Control(7), lookup_timeout_s, speculation, under_way)
