"""As many are let in as are answered in the time that one may wait; others hear so at once."""

import asyncio
from contextlib import ExitStack

import pytest

from deployments.config import LoadLimits
from deployments.ingress.errors import Unavailable
from deployments.ingress.load import Load
from tests.deployments.ingress.test_endpoints import PICTURE, Client, FakeService


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def simulate(load, clock, arrivals_per_s, answered_per_s, seconds, seed=0):
    """Requests at even times to one that answers in turn; how long each of those that were let in
    was inside, and how many were refused."""
    inside, times, refused, ready, step = [], [], 0, 0.0, 1 / arrivals_per_s
    for i in range(int(seconds * arrivals_per_s)):
        now = i * step
        while inside and inside[0][0] <= now:
            end, begun, leave = inside.pop(0)
            clock.now = end
            leave.close()
            times.append(end - begun)
        clock.now = now
        stack = ExitStack()
        try:
            stack.enter_context(load.admitted(""))
        except Unavailable:
            refused += 1
            continue
        ready = max(ready, now) + 1 / answered_per_s
        inside.append((ready, now, stack))
    return times, refused


@pytest.mark.parametrize("answered_per_s", [20, 100, 1000])
def test_at_three_times_the_capacity_nobody_waits_much_longer_than_may_be_and_none_idles(
    answered_per_s,
):
    clock = Clock()
    load = Load(LoadLimits(max_wait_s=1, least_inside=8), clock)
    times, refused = simulate(load, clock, 3 * answered_per_s, answered_per_s, 30)
    assert max(times[len(times) // 2 :]) < 1.3
    assert len(times) > 0.9 * 30 * answered_per_s
    assert refused == load.refused > 0


def test_below_capacity_nobody_is_refused():
    clock = Clock()
    load = Load(LoadLimits(max_wait_s=1, least_inside=8), clock)
    _, refused = simulate(load, clock, 80, 100, 30)
    assert refused == 0 and not load.is_high


def test_one_stream_leaves_room_for_others():
    load = Load(LoadLimits(least_inside=10, max_inside_stream=2))
    with load.admitted("mine"), load.admitted("mine"):
        with pytest.raises(Unavailable, match="2 requests of this stream"), load.admitted("mine"):
            pass
        with load.admitted("yours"), load.admitted(""), load.admitted(""):
            assert load.inside == 5 and not load.is_high
            with load.admitted(""):
                assert load.is_high
    assert load.inside == 0
    with load.admitted("mine"):
        assert load.inside == 1


def test_a_request_too_many_gets_503_and_is_told_when_to_come_again():
    service = FakeService(load=LoadLimits(least_inside=1))
    service.wait.clear()
    client = Client(service)

    async def both():
        first = asyncio.create_task(client.ask("POST", "/predict", content=PICTURE))
        while not service.load.inside:
            await asyncio.sleep(0.001)
        second = await client.ask("POST", "/predict", content=PICTURE)
        service.wait.set()
        return await first, second

    first, second = asyncio.run(both())
    assert first.status_code == 200
    assert second.status_code == 503 and second.headers["Retry-After"] == "1"
    assert "try again later" in second.json()["error"]
    assert service.errors == {"503": 1}


def test_who_sends_slowly_takes_nobodys_place():
    service = FakeService(load=LoadLimits(least_inside=1))
    client, go = Client(service), asyncio.Event()

    async def slowly():
        yield PICTURE[:20]
        await go.wait()
        yield PICTURE[20:]

    async def all_three():
        slow = [asyncio.create_task(client.ask("POST", "/predict", content=slowly())) for _ in "ab"]
        await asyncio.sleep(0.05)
        quick = await client.ask("POST", "/predict", content=PICTURE)
        go.set()
        return quick, *await asyncio.gather(*slow)

    quick, *slow = asyncio.run(all_three())
    assert quick.status_code == 200
    assert [answer.status_code for answer in slow] == [200, 200]


def test_a_client_says_how_long_it_waits():
    service = FakeService(timeout_s=60)
    client = Client(service)
    for header, timeout_s in (("250", 0.25), ("1e9", 60), ("0.5", 0.0005)):
        headers = {"X-Request-Timeout-Ms": header}
        client.post("/predict", content=PICTURE, headers=headers)
        assert service.timeouts_s.pop() == timeout_s
    service.wait.clear()
    late = client.post("/predict", content=PICTURE, headers={"X-Request-Timeout-Ms": "20"})
    assert late.status_code == 504 and "X-Request-Timeout-Ms" in late.json()["error"]
    for wrong in ("-1", "0", "soon", "nan", "inf-"):
        headers = {"X-Request-Timeout-Ms": wrong}
        refused = client.post("/predict", content=PICTURE, headers=headers)
        assert refused.status_code == 400 and wrong in refused.json()["error"]
