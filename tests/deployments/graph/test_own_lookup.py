"""A router's own lookup says what a replica does, and refuses what would wait for long."""

import asyncio

import numpy as np
import pytest

from cache_models.network.stages import LookUp
from cache_models.store.copies import working_copy
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE, sample
from deployments.config import AppArgs, Compute, LaneArgs
from deployments.graph.lookup import Lookup
from deployments.graph.own_lookup import OwnLookup
from deployments.transport import endpoint
from deployments.transport.errors import Failed, Refused
from tests.plans import plan_for

IMAGES = sample()[0][:20]


@pytest.fixture
def asked(tmp_path):
    """What a lookup is made from."""
    store = working_copy(Store(STORE), tmp_path)
    plan = store.current().plan
    stage = next(stage for stage in plan.stages() if stage.is_lookup)
    return stage, plan, str(store.folder), Compute(threads=1, max_batch_rows=2)


def test_it_says_what_a_replica_says(asked, monkeypatch):
    monkeypatch.setattr(endpoint, "max_ongoing_requests", lambda: 64)
    replica, own = Lookup.func_or_class(*asked, LaneArgs(enabled=False)), OwnLookup(*asked)

    async def run():
        return [await lookup.ask(LookUp(IMAGES, 1, 0.3)) for lookup in (replica, own)]

    there, here = asyncio.run(run())
    assert there.hits.any()
    for part, same in zip(there[:4], here[:4], strict=True):
        assert np.array_equal(part, same)
    assert here.queued_ms is not None and here.compute_ms is not None


def test_more_than_fit_a_batch_are_refused(asked):
    own = OwnLookup(*asked)

    async def run():
        asks = (own.ask(LookUp(IMAGES[:1], 1)) for _ in range(5))
        together = await asyncio.gather(*asks, return_exceptions=True)
        return together, await own.ask(LookUp(IMAGES[:1], 1)), await own.state()

    together, after, state = asyncio.run(run())
    assert [isinstance(reply, Refused) for reply in together] == [False] * 2 + [True] * 3
    assert len(after.hits) == 1
    assert (state["rows"], state["batches"], state["ongoing"]) == (3, 2, 0)


def test_a_version_that_is_not_there_is_no_other_ones_answer(asked):
    async def run():
        own = OwnLookup(*asked)
        with pytest.raises(Failed, match="99"):
            await own.ask(LookUp(IMAGES, 99))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("place", "cut_points", "remember", "own"),
    [
        ("deployment", ["input"], [], []),
        ("router", ["input"], [], ["Lookup0"]),
        ("router", ["input", "layer1.0"], [], ["Lookup0"]),
        ("router", ["layer1.0"], [], []),
        ("router", ["input"], ["input"], ["Lookup0"]),
    ],
    ids=["as by default", "the input's", "no other", "none at the input", "one that remembers"],
)
def test_which_are_asked_in_routers(place, cut_points, remember, own):
    args = AppArgs(lookup={"place": place})
    stages = plan_for(cut_points, remember=remember).stages()
    assert [stage.name for stage in stages if args.asked_in_router(stage)] == own
