"""A process that is killed while it publishes leaves the old version or the new one, and a store
that can be published to again."""

import os
import signal

import pytest
import safetensors.torch
import torch

from cache_models.cache import learned_cache
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.variant import Variant
from cache_models.store import versions as module
from cache_models.store.versions import Store
from tests.plans import plan_for

VARIANT = Variant(family="pool", size=1)
PLAN = plan_for(["early"], variant=VARIANT)
STEPS = (
    (module, "sync"),
    (safetensors.torch, "save_file"),
    (learned_cache, "save_cache"),
    (module, "sha256"),
)


def caches():
    torch.manual_seed(0)
    return {"early.safetensors": LearnedCache(VARIANT, (1,), 2).eval()}


def publish_until(step: int, store: Store) -> bool:
    """In a process that is killed at the `step`-th thing that it does; False if it came through."""
    if pid := os.fork():
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    done = 0

    def killed_before(function):
        def run(*args, **more):
            nonlocal done
            done += 1
            if done == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **more)

        return run

    for home, name in STEPS:
        setattr(home, name, killed_before(getattr(home, name)))
    try:
        store.publish(PLAN, caches(), tensors={"said": {"x": torch.zeros(3)}})
    finally:
        os._exit(0)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.publish(PLAN, caches())
    return store


def test_a_kill_at_any_moment_of_publishing_leaves_the_old_version_or_the_new(store):
    step, found = 1, []
    while publish_until(step, store):
        version = store.current()
        version.load(0)
        found.append(version.number)
        for number in store.versions():
            assert store.open(number).plan == PLAN
        step += 1
    assert step > 8 and found == sorted(found)
    assert found[0] == 1 and found[-1] > 1
    assert store.current().number == max(store.versions())


def test_what_a_kill_left_half_written_is_removed_with_a_later_version(store):
    assert publish_until(4, store)
    folder = store.folder / "versions"
    (left,) = folder.glob(".*")
    store.publish(PLAN, caches())
    assert left.exists()  # somebody might still be writing it
    os.utime(left, (0, 0))
    store.publish(PLAN, caches())
    assert not left.exists()
