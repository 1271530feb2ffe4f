"""A build on samples of streams: caches with memories, tested as they are served."""

import numpy as np
import pytest

from cache_models.bench.evaluation import evaluate
from cache_models.data.streams import Streams
from cache_models.network.base_dnn import load
from tests.remembering import LIMITS, built_on_popular, built_on_scenes
from tests.streams import popular, scenes


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    store = built_on_scenes(tmp_path_factory.mktemp("remembering"))
    return load("tests.tiny:tiniest"), store.current()


def test_a_cache_with_a_memory_is_deployed_and_keeps_its_promise_on_later_streams(built):
    base, version = built
    (cache,) = version.plan.caches
    assert cache.memory is not None and version.plan.promise.samples > 20
    pictures, streams = scenes(3_600, seed=5)
    with_keys = evaluate(base, version, pictures, base_every=10_000, streams=streams)
    without = evaluate(base, version, pictures, base_every=10_000)
    assert with_keys.disagreements / with_keys.samples < 2 * LIMITS.max_disagreement
    assert with_keys.exits["input"] > without.exits["input"]
    assert without.disagreements / without.samples < 2 * LIMITS.max_disagreement


def test_streams_do_not_answer_each_other(built):
    """Every request of a stream of its own finds nothing, whatever was remembered before."""
    base, version = built
    pictures, streams = scenes(600, seed=6)
    alone = Streams(np.arange(len(pictures)), streams.at)
    own = evaluate(base, version, pictures, base_every=10_000, streams=alone)
    none = evaluate(base, version, pictures, base_every=10_000)
    assert own.exits == none.exits


def test_a_shared_memory_answers_what_came_before_from_whomever(tmp_path):
    version = built_on_popular(tmp_path).current()
    assert version.plan.shares
    base, seen, new = load("tests.tiny:tiniest"), popular(800, seed=3), popular(800, seed=4)
    again, first = (
        evaluate(base, version, pictures, base_every=10_000)
        for pictures in (np.concatenate([seen, seen]), np.concatenate([seen, new]))
    )
    assert again.exits["input"] > first.exits["input"] > 0.5
    for found in (again, first):
        assert found.disagreements / found.samples < 2 * LIMITS.max_disagreement
