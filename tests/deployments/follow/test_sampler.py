"""One row of a sampled request is run on, and what it shows is told to the trainer."""

import asyncio

import numpy as np
import pytest

from cache_models.cascade import Answers, Control, Said, Trace
from deployments.config import AppArgs
from deployments.follow.control_client import ControlClient
from deployments.follow.messages import Instructions
from deployments.follow.sampler import Sampler
from tests.places import BATCH, FakeLookup, FakePlace, cascade_for

NAMES = ("early", "late")
SAID = [(Said(0, value), Said(0, value)) for value in BATCH[:, 0].tolist()]


class Router:
    """As much of one as samples go through.

    Args:
        used_caches: whether caches may answer.
        wanted: by the trainer.
    """

    def __init__(self, names=NAMES, lookups=None, used_caches=True, wanted=None, **args):
        lookups = [FakeLookup(1), FakeLookup(6)] if lookups is None else lookups
        place = FakePlace(names, lookups)
        self._partitions = place.partitions
        self.cascade = cascade_for(names, place)
        self.cascade.control = Control(7, used_caches)
        args = AppArgs.model_validate(args)
        self.client = ControlClient(args, self.cascade, place)
        if wanted is not None:
            self.client.instructions = wanted
        self.sampler = Sampler(args.sampling, self.cascade, self.client)

    async def answer(self, row: int, inclusion: float) -> None:
        """BATCH, for which one row stands."""
        trace = Trace(False, row, stream="a camera")
        answers = await self.cascade.answer(BATCH, trace=trace)
        self.sampler.add(trace, answers, inclusion, len(BATCH))

    @property
    def rows(self) -> int:
        """That partitions have run."""
        return sum(partition.rows for partition in self._partitions)


def serve_one(row=0, inclusion=0.5, expected=1, **more) -> tuple[Router, int]:
    """Answer BATCH and run the row on; also how many rows had been run before."""

    async def run():
        router = Router(**more)
        await router.answer(row, inclusion)
        before = router.rows
        async with asyncio.timeout(10):
            while len(router.client.observations) < expected:
                await asyncio.sleep(0)
        return router, before

    return asyncio.run(run())


@pytest.mark.parametrize("used_caches", [True, False])
@pytest.mark.parametrize("names", [NAMES, ("input", "late")])
@pytest.mark.parametrize("row", [0, 1, 2])
def test_the_trainer_hears_what_every_cache_and_the_base_dnn_say(names, used_caches, row):
    router, _ = serve_one(row, names=names, used_caches=used_caches)
    (heard,) = router.client.observations
    exit = [*names, "base"][row] if used_caches else "base"
    assert (heard.base_class_id, heard.exit, heard.version) == (1, exit, 7)
    assert heard.said == SAID[row]
    assert heard.weight == 3 / 0.5  # one of three rows, and every other request
    assert heard.stands_for == (3 if exit == "base" else 6)
    assert heard.stream == "a camera"
    assert [part.tolist() for part in heard.asked] == [BATCH[row].tolist()] * 2
    assert heard.probabilities.tolist() == [0, 1]
    assert router.client.answered == 3


def test_only_that_row_is_run_on_and_its_time_is_told():
    router, before = serve_one(row=0)
    assert before == 3 + 2 + 1
    assert router.rows == before + 2
    assert router.client.spent_ms > 0


def test_misses_are_told_of_though_nobody_sampled_them():
    router, _ = serve_one(row=2, inclusion=0.0)
    (heard,) = router.client.observations
    assert (heard.exit, heard.weight, heard.stands_for) == ("base", 0, 3)
    assert serve_one(row=0, inclusion=0.0, expected=0)[0].client.observations == []


def test_before_caches_have_been_trained_every_answer_is_a_sample_at_once():
    lookups = [FakeLookup(1), FakeLookup(6)]
    wanted = Instructions("serve", 1.0, judge=False, control=Control(7, on=False))
    router, _ = serve_one(inclusion=1.0, lookups=lookups, used_caches=False, wanted=wanted)
    (heard,) = router.client.observations
    assert (heard.weight, heard.said, len(heard.asked)) == (3, (None, None), 2)
    assert [lookup.calls for lookup in lookups] == [0, 0]


def test_a_plan_without_caches_is_judged_too():
    router, _ = serve_one(names=(), lookups=[], used_caches=False)
    (heard,) = router.client.observations
    assert (heard.exit, heard.said, heard.weight) == ("base", (), 6)


def test_requests_are_sampled_at_the_rate_that_is_wanted():
    nothing = Answers(np.empty(0), np.empty((0, 2)), [], 7)

    async def run():
        router = Router((), [], sampling={"rate": 0.2, "min_rate": 0.01})
        chosen = [router.sampler.choose() for _ in range(10_000)]
        for _ in range(AppArgs().sampling.max_backlog):
            router.sampler.add(Trace(False, control=Control(7)), nothing, 0.2, 1)
        return chosen, [router.sampler.choose() for _ in range(10_000)]

    chosen, under_load = asyncio.run(run())
    assert set(chosen) == {0.0, 0.2} and 1800 < np.count_nonzero(chosen) < 2200
    assert set(under_load) == {0.0, 0.01} and 50 < np.count_nonzero(under_load) < 150


def test_nothing_is_sampled_where_caches_are_off_for_good():
    router = Router(wanted=Instructions("off", 1.0, judge=True, control=Control(7, on=False)))
    assert router.sampler.choose() == 0.0


def test_every_sample_that_was_taken_is_finished_dropped_or_waits():
    async def run():
        router = Router(sampling={"rate": 1.0, "max_backlog": 1, "min_rate": 1.0})
        router.client.instructions = router.client.instructions._replace(sample_rate=1.0)
        for row in range(2):
            assert router.sampler.choose() == 1.0
            await router.answer(row, 1.0)
        assert router.sampler.counts() == {"taken": 2, "finished": 0, "dropped": 0, "waiting": 2}
        trace = Trace(False, control=Control(7))
        answers = Answers(np.empty(0), np.empty((0, 2)), [], 7)
        while router.sampler.choose():  # until there is no room
            router.sampler.add(trace, answers, 1.0, 1)
        assert router.sampler.counts()["dropped"] == 1
        async with asyncio.timeout(10):
            while router.sampler.counts()["waiting"]:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        return router.sampler.counts()

    counts = asyncio.run(run())
    assert counts["finished"] >= 2 and counts["dropped"] >= 1
    assert counts["taken"] == counts["finished"] + counts["dropped"]
