"""Large work leaves the loop alone, and memory bounded."""

import asyncio
import threading

import pytest

from deployments.ingress import workers
from deployments.ingress.errors import Unavailable
from deployments.ingress.workers import HUGE_PIXELS, LARGE_THREADS, Workers


class Gate:
    """Work that waits until it may end."""

    def __init__(self):
        self.open, self.inside, self.most = threading.Event(), 0, 0
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.open.wait(30)
        with self._lock:
            self.inside -= 1
        return threading.get_ident()


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


def test_huge_pictures_are_read_one_at_a_time_and_large_ones_go_past_them():
    async def run():
        pool, huge, large = Workers(), Gate(), Gate()
        waiting = [asyncio.create_task(pool.run(huge, pixels=HUGE_PIXELS)) for _ in range(3)]
        await until(lambda: huge.inside)
        large.open.set()
        assert await pool.run(large) != threading.get_ident()
        huge.open.set()
        await asyncio.gather(*waiting)
        return huge.most

    assert asyncio.run(run()) == 1


def test_who_comes_when_too_many_wait_is_refused_and_may_come_again(monkeypatch):
    monkeypatch.setattr(workers, "MAX_UNDER_WAY", LARGE_THREADS + 1)

    async def run():
        pool, gate = Workers(), Gate()
        waiting = [asyncio.create_task(pool.run(gate)) for _ in range(LARGE_THREADS + 1)]
        await until(lambda: gate.inside == LARGE_THREADS)
        with pytest.raises(Unavailable, match="try again later"):
            await pool.run(gate)
        gate.open.set()
        await asyncio.gather(*waiting)
        await pool.run(gate)

    asyncio.run(run())


def test_work_that_nobody_waits_for_any_more_is_not_begun():
    async def run():
        pool, gate, begun = Workers(), Gate(), []
        busy = [asyncio.create_task(pool.run(gate)) for _ in range(LARGE_THREADS)]
        await until(lambda: gate.inside == LARGE_THREADS)
        late = asyncio.create_task(pool.run(begun.append, 1))
        await asyncio.sleep(0)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        gate.open.set()
        await asyncio.gather(*busy)
        await pool.run(lambda: None)
        return begun

    assert asyncio.run(run()) == []
