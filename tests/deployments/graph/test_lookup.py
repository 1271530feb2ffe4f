"""A lookup answers from the version that is named, and from others while that one is loaded."""

import asyncio
import shutil
import threading

import numpy as np
import pytest

from cache_models.network.stages import LookUp
from cache_models.store.copies import working_copy
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE, sample
from deployments.config import Compute, LaneArgs
from deployments.graph.lookup import Lookup
from deployments.transport import endpoint
from deployments.transport.errors import Failed
from tests.deaths import end

IMAGES = sample()[0][:20]


@pytest.fixture
def store(tmp_path):
    """Of the shipped caches, twice."""
    store = working_copy(Store(STORE), tmp_path)
    versions = store.folder / "versions"
    shutil.copytree(versions / "1", versions / "2")
    return store


@pytest.fixture(
    params=[{"threads": 1}, {"threads": 2}, {"threads": 1, "engine": "torch"}],
    ids=["quick", "threaded", "torch"],
)
def lookup(request, store, monkeypatch):
    monkeypatch.setattr(endpoint, "max_ongoing_requests", lambda: 64)
    plan = store.current().plan
    stage = next(stage for stage in plan.stages() if stage.is_lookup)
    compute = Compute(device="cpu", **request.param, max_batch_rows=2)
    return Lookup.func_or_class(stage, plan, str(store.folder), compute, LaneArgs(enabled=False))


def test_while_a_version_is_loaded_others_answer(lookup, monkeypatch):
    go, begun, threads = threading.Event(), threading.Event(), []
    load = lookup._load

    def slowly(number):
        threads.append(threading.current_thread())
        begun.set()
        assert go.wait(30)
        return load(number)

    monkeypatch.setattr(lookup, "_load", slowly)

    async def run():
        asks = [asyncio.create_task(lookup.ask(LookUp(IMAGES, 2))) for _ in range(2)]
        prepared = asyncio.create_task(lookup.prepare(2))
        await asyncio.to_thread(begun.wait, 30)
        first = await lookup.ask(LookUp(IMAGES, 1))
        assert not prepared.done() and not any(ask.done() for ask in asks)
        go.set()
        await prepared
        return first, *await asyncio.gather(*asks)

    first, *second = asyncio.run(run())
    assert first.hits.any()
    for verdict in second:
        assert np.array_equal(verdict.hits, first.hits)
        assert np.array_equal(verdict.probabilities, first.probabilities)
    assert len(threads) == 1 and threads[0] is not threading.main_thread()


def test_a_version_that_is_not_there_is_named_and_harms_no_other(lookup):
    async def run():
        with pytest.raises(Failed, match="99"):
            await lookup.ask(LookUp(IMAGES, 99))
        return await lookup.ask(LookUp(IMAGES, 1))

    assert asyncio.run(run()).hits.any()


def test_the_version_in_service_is_never_loaded_again(lookup, store, monkeypatch):
    for number in range(3, 8):
        shutil.copytree(store.folder / "versions" / "1", store.folder / "versions" / str(number))
    loads, load = [], lookup._load
    monkeypatch.setattr(lookup, "_load", lambda number: loads.append(number) or load(number))

    async def run():
        for number in range(2, 8):
            await lookup.ask(LookUp(IMAGES, number))
        await lookup.ask(LookUp(IMAGES, 1))

    asyncio.run(run())
    assert loads == list(range(2, 8))


def test_a_lookup_without_one_of_its_threads_is_unhealthy(lookup):
    asyncio.run(lookup.check_health())
    end(lookup._loader)
    with pytest.raises(RuntimeError, match="a thread that computes has ended"):
        asyncio.run(lookup.check_health())
