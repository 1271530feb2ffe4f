"""Versions are made ready beside those that are asked, and the one in service stays."""

import asyncio

import pytest

from cache_models.errors import ArtifactError
from deployments.graph.loaded import KEPT, LoadedVersions


class Loader:
    def __init__(self, serving=1):
        self.loads, self.serving, self.go = [], serving, asyncio.Event()
        self.go.set()
        self.versions = LoadedVersions(1, "v1", self.load, self.in_service)

    async def load(self, number):
        self.loads.append(number)
        await self.go.wait()
        if number > 90:
            raise ArtifactError("there is none")
        return f"v{number}"

    async def in_service(self):
        return self.serving


def test_while_one_is_loaded_another_is_there_at_once():
    async def run():
        loader = Loader()
        loader.go.clear()
        two = asyncio.create_task(loader.versions.get(2))
        await asyncio.sleep(0)
        assert await loader.versions.get(1) == "v1" and not two.done()
        loader.go.set()
        return await two

    assert asyncio.run(run()) == "v2"


def test_one_is_loaded_once_for_all_who_ask_also_if_the_first_leaves():
    async def run():
        loader = Loader()
        loader.go.clear()
        asks = [asyncio.create_task(loader.versions.get(2)) for _ in range(3)]
        await asyncio.sleep(0)
        asks[0].cancel()
        loader.go.set()
        return await asyncio.gather(*asks[1:]), loader.loads

    assert asyncio.run(run()) == (["v2", "v2"], [2])


def test_the_one_in_service_stays_whatever_else_is_asked_for():
    async def run():
        loader = Loader(serving=1)
        for number in range(2, 10):
            await loader.versions.get(number)
        await loader.versions.get(1)
        return loader.loads

    assert asyncio.run(run()) == list(range(2, 10))


def test_the_one_asked_for_least_recently_goes():
    async def run():
        loader = Loader(serving=None)
        for number in range(2, KEPT + 1):
            await loader.versions.get(number)
        await loader.versions.get(1)
        await loader.versions.get(KEPT + 1)
        loader.loads.clear()
        await loader.versions.get(1)
        await loader.versions.get(2)
        return loader.loads

    assert asyncio.run(run()) == [2]


def test_one_that_cannot_be_loaded_is_named_to_all_who_ask_and_changes_nothing():
    async def run():
        loader = Loader()
        for _ in range(2):
            with pytest.raises(ArtifactError):
                await loader.versions.get(99)
        return loader.loads, await loader.versions.get(1)

    assert asyncio.run(run()) == ([99, 99], "v1")
