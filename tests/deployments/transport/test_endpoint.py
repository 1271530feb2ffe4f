"""At a replica there are never more requests than it may have, whatever way they came."""

import asyncio

import numpy as np
import pytest

from cache_models.network.stages import Answer, Run
from deployments.transport.endpoint import MAX_IN_BACKGROUND, Endpoint
from deployments.transport.errors import Failed, Lost, Refused

RUN = Run(np.zeros((1, 2)))
IN_BACKGROUND = Run(np.zeros((1, 2)), background=True)


class Held:
    """Computes for as long as it is held."""

    def __init__(self):
        self.go, self.begun, self.ongoing, self.most = asyncio.Event(), 0, 0, 0

    async def __call__(self, message, until):
        self.begun += 1
        self.ongoing += 1
        self.most = max(self.most, self.ongoing)
        try:
            await self.go.wait()
        finally:
            self.ongoing -= 1
        return Answer(np.zeros(1), np.zeros((1, 1)))


async def turns():
    for _ in range(20):
        await asyncio.sleep(0)


def test_calls_by_handle_wait_and_those_by_zeromq_are_refused():
    async def run():
        held = Held()
        endpoint = Endpoint(held, lambda: 2)
        tasks = [asyncio.create_task(endpoint.ask(RUN)) for _ in range(5)]
        await turns()
        with pytest.raises(Refused):
            await endpoint.ask_now(RUN)
        tasks.pop().cancel()  # one that waits
        held.go.set()
        await asyncio.gather(*tasks)
        await endpoint.ask_now(RUN)
        return held.begun, held.most, endpoint.ongoing

    assert asyncio.run(run()) == (5, 2, 0)


def test_whoever_leaves_hands_the_place_on():
    async def run():
        held = Held()
        endpoint = Endpoint(held, lambda: 1)
        first, second, third = (asyncio.create_task(endpoint.ask(RUN)) for _ in range(3))
        await turns()
        first.cancel()
        second.cancel()
        held.go.set()
        await third
        return held.begun, endpoint.ongoing

    assert asyncio.run(run()) == (2, 0)


def test_a_limit_that_serve_raises_holds_from_then_on():
    async def run():
        held, limit = Held(), [1]
        endpoint = Endpoint(held, lambda: limit[0])
        tasks = [asyncio.create_task(endpoint.ask_now(RUN))]
        await turns()
        limit[0] = 2
        tasks.append(asyncio.create_task(endpoint.ask_now(RUN)))
        await turns()
        with pytest.raises(Refused):
            await endpoint.ask_now(RUN)
        held.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(run())


@pytest.mark.parametrize("message", [RUN, IN_BACKGROUND])
def test_what_is_raised_is_a_failure_that_names_its_cause(message):
    async def broken(_, until):
        raise ValueError("broken")

    async def run():
        endpoint = Endpoint(broken, lambda: 1)
        for ask in (endpoint.ask, endpoint.ask_now):
            with pytest.raises(Failed, match=r"Run failed: ValueError.*broken"):
                await ask(message)
        assert endpoint.ongoing == 0

    asyncio.run(run())


def test_draining_waits_for_calls_by_handle_too():
    async def run():
        held = Held()
        endpoint = Endpoint(held, lambda: 5)
        task = asyncio.create_task(endpoint.ask(RUN))
        await turns()
        drained = asyncio.create_task(endpoint.drain())
        await turns()
        assert not drained.done()
        held.go.set()
        await drained
        assert task.done()

    asyncio.run(run())


@pytest.mark.parametrize("way", ["ask", "ask_now"])
def test_what_nobody_waits_for_takes_no_requests_place_and_has_few_of_its_own(way):
    async def run():
        held = Held()
        endpoint = Endpoint(held, lambda: 1)
        ask = getattr(endpoint, way)
        tasks = [asyncio.create_task(ask(IN_BACKGROUND)) for _ in range(MAX_IN_BACKGROUND)]
        await turns()
        assert endpoint.ongoing == 0
        with pytest.raises(Refused, match="run on"):
            await ask(IN_BACKGROUND)
        tasks.append(asyncio.create_task(ask(RUN)))
        await turns()
        assert (held.ongoing, endpoint.ongoing) == (MAX_IN_BACKGROUND + 1, 1)
        tasks.pop(0).cancel()
        await turns()
        tasks.append(asyncio.create_task(ask(IN_BACKGROUND)))
        held.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(run())


@pytest.mark.parametrize("way", ["ask", "ask_now"])
def test_draining_drops_what_nobody_waits_for(way):
    async def run():
        held = Held()
        endpoint = Endpoint(held, lambda: 1)
        ask = getattr(endpoint, way)
        task = asyncio.create_task(ask(IN_BACKGROUND))
        await turns()
        async with asyncio.timeout(30):
            await endpoint.drain()
            with pytest.raises(Lost):
                await task
            with pytest.raises(Lost):
                await ask(IN_BACKGROUND)
        assert held.ongoing == 0

    asyncio.run(run())
