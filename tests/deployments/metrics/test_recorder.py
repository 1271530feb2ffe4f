"""What is counted elsewhere reaches Ray as increments, values and observations."""

import asyncio

from deployments.metrics import recorder
from deployments.metrics.definitions import ALARMS, CACHES_ON, LATENCY, REQUESTS
from deployments.metrics.recorder import Recorder, record_for_ever


def test_a_counter_begins_at_zero_and_grows_by_what_is_new(ray_metrics):
    to = Recorder()
    for total in (0, 3, 3, 5):
        to.count(REQUESTS, total, exit="base")
    to.count(REQUESTS, 2, exit="input")
    said = ray_metrics.said
    assert said["gati_requests", frozenset({("exit", "base")})] == [0, 3, 2]
    assert said["gati_requests", frozenset({("exit", "input")})] == [0, 2]


def test_a_histogram_gets_each_observation_once(ray_metrics):
    to = Recorder()
    to.observe(LATENCY, 0.01, 2, exit="base")
    to.observe(LATENCY, 0.01, 3, exit="base")
    to.observe(LATENCY, 0.02, 1, exit="base")
    said = ray_metrics.said["gati_request_latency_seconds", frozenset({("exit", "base")})]
    assert said == [0.01, 0.01, 0.01, 0.02]


def test_who_is_no_replica_says_its_application(ray_metrics):
    to = Recorder("pets")
    to.set(CACHES_ON, True)
    to.count(ALARMS, 1)
    assert ray_metrics.last("gati_caches_on", application="pets") == 1
    assert ray_metrics.total("gati_alarms", application="pets") == 1


def test_rays_own_metrics_take_all_of_it_without_ray():
    to = Recorder()
    to.count(REQUESTS, 0, exit="base")
    to.count(REQUESTS, 4, exit="base")
    to.set(CACHES_ON, True)
    to.observe(LATENCY, 0.003, 2, exit="base")


def test_what_cannot_be_recorded_once_is_recorded_the_next_time(monkeypatch):
    monkeypatch.setattr(recorder, "RECORD_S", 0.001)
    recorded = []

    async def read():
        return len(recorded)

    def record(number):
        recorded.append(number)
        if number == 0:
            raise ValueError("Ray is not there")

    async def run():
        recording = record_for_ever(read, record)
        async with asyncio.timeout(10):
            while len(recorded) < 3:
                await asyncio.sleep(0.001)
        assert not recording.done()
        recording.cancel()

    asyncio.run(run())
    assert recorded[:3] == [0, 1, 2]
