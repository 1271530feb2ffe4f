"""Sampled requests are run on in the background, and what they show is told to the trainer."""

import asyncio

import numpy as np
import pytest

from cache_models.cascade import Answers, Control, Trace
from deployments.config import AppArgs
from deployments.follow.control_client import ControlClient
from deployments.follow.messages import Instructions
from deployments.follow.sampler import Sampler
from deployments.graph.speculation import Busy
from tests.places import BATCH, FakeLookup, FakePlace, cascade_for

NAMES = ("early", "late")


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
        self.sampler = Sampler(args.sampling, self.cascade, Busy(), self.client)

    async def answer(self, inclusion: float) -> None:
        trace = Trace(False)
        answers = await self.cascade.answer(BATCH, trace=trace)
        self.sampler.add(trace, answers, inclusion)

    @property
    def rows(self) -> tuple[int, int]:
        """That partitions have run for clients, and in the background."""
        background = sum(partition.background_rows for partition in self._partitions)
        return sum(partition.rows for partition in self._partitions) - background, background

    async def observed(self, count: int) -> None:
        """Returns once the trainer could hear of so many rows."""
        async with asyncio.timeout(10):
            while len(self.client.observations) < count:
                await asyncio.sleep(0)


def serve_one(inclusion=0.5, **more) -> Router:
    """Answer BATCH, sampled, and run it on."""

    async def run():
        router = Router(**more)
        with router.sampler.waiting():
            await router.answer(inclusion)
            await router.observed(3 if inclusion else 1)
        return router

    return asyncio.run(run())


@pytest.mark.parametrize("used_caches", [True, False])
@pytest.mark.parametrize("names", [NAMES, ("input", "late")])
def test_the_trainer_hears_what_caches_and_base_dnn_said(names, used_caches):
    router = serve_one(names=names, used_caches=used_caches)
    known = 0.5 if used_caches else 1.0
    assert [tuple(o[:6]) for o in router.client.observations] == [
        (names[0], 0, 1, 7, 0.5, known),
        ("late", 0, 1, 7, 0.5, known),
        ("base", 1, 1, 7, 0.5, 1.0),
    ]
    assert router.client.answered == 3
    for row, observation in enumerate(router.client.observations):
        assert [part.tolist() for part in observation.asked] == [BATCH[row].tolist()] * 2
        assert observation.probabilities.tolist() == [0, 1]


def test_misses_are_told_of_though_nobody_sampled_them():
    router = serve_one(inclusion=0.0)
    assert [tuple(o[:6]) for o in router.client.observations] == [("base", 1, 1, 7, 0.0, 1.0)]


def test_before_caches_have_been_trained_every_answer_is_a_sample_at_once():
    lookups = [FakeLookup(1), FakeLookup(6)]
    wanted = Instructions("serve", 1.0, judge=False, control=Control(7, on=False))

    async def run():
        router = Router(lookups=lookups, used_caches=False, wanted=wanted)
        await router.answer(router.sampler.choose())
        return router.client.observations

    assert [(o.inclusion, len(o.asked)) for o in asyncio.run(run())] == [(1.0, 2)] * 3
    assert [lookup.calls for lookup in lookups] == [0, 0]


def test_a_plan_without_caches_is_judged_too():
    router = serve_one(names=(), lookups=[], used_caches=False)
    observations = router.client.observations
    assert [tuple(o[:6]) for o in observations] == [("base", 1, 1, 7, 0.5, 1.0)] * 3


def test_what_is_run_on_goes_in_the_background_while_clients_wait():
    # all three rows, from the first hit's cut point on
    assert serve_one().rows == (3 + 2 + 1, 3 + 3)


def test_requests_are_sampled_at_the_rate_that_is_wanted():
    nothing = Answers(np.empty(0), np.empty((0, 2)), [], 7)

    async def run():
        router = Router((), [], sampling={"rate": 0.2})
        chosen = [router.sampler.choose() for _ in range(10_000)]
        for _ in range(AppArgs().sampling.max_backlog):
            router.sampler.add(Trace(False, Control(7)), nothing, 0.2)
        return chosen, [router.sampler.choose() for _ in range(10_000)]

    chosen, under_load = asyncio.run(run())
    assert set(chosen) == {0.0, 0.2} and 1800 < np.count_nonzero(chosen) < 2200
    assert set(under_load) == {0.0, 0.01} and 50 < np.count_nonzero(under_load) < 150


def test_nothing_is_sampled_where_caches_are_off_for_good():
    router = Router(wanted=Instructions("off", 1.0, judge=True, control=Control(7, on=False)))
    assert router.sampler.choose() == 0.0
