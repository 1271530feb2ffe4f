"""A process that is killed while it publishes, or whose disk fails or is full, leaves the old
version or the new one, and a store that can be published to again."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.variant import Variant
from cache_models.errors import ArtifactError
from cache_models.store.versions import Store
from tests.faults import ended_at, forbidden, limited, open_folder, out_of_room
from tests.plans import plan_for

VARIANT = Variant(family="pool", size=1)
PLAN = plan_for(["early"], variant=VARIANT)


def caches(seed=0):
    torch.manual_seed(seed)
    return {"early.safetensors": LearnedCache(VARIANT, (1,), 2).eval()}


def publish(store: Store, seed: int = 0):
    tensors = {"said": {"x": torch.zeros(3)}}
    return store.publish(PLAN, caches(seed), {"table.csv": "a\n1\n"}, tensors)


def is_sound(store: Store) -> int:
    """The version that is current, after all have been opened."""
    for number in store.versions():
        version = store.open(number)
        assert version.plan == PLAN
        version.load(0)
    return store.current().number


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    publish(store)
    return store


ERRORS = {"killed": None, "no space": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))}
ERRORS["failed"] = OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_what_ends_at_any_step_of_publishing_leaves_the_old_version_or_the_new(store, error):
    """A step is a file that is opened to be written, synced, renamed or removed."""
    step, found = 1, []
    while ended_at(step, lambda: publish(store), error):
        found.append(is_sound(store))
        step += 1
    assert step > 20 and found == sorted(found)
    assert found[0] == 1 and found[-1] > 1
    assert is_sound(store) == max(store.versions())
    publish(store)


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "refused"])
def test_a_disk_that_is_full_within_any_file_leaves_the_old_version(store, killed):
    room = 1
    while out_of_room(room, lambda: publish(store), killed):
        assert is_sound(store) == 1 and store.versions() == [1]
        room = room * 5 // 4 + 1
    assert room > 1_000 and is_sound(store) == 2


def test_a_disk_that_is_full_is_named_and_nothing_is_left_on_it(store):
    with limited(600), pytest.raises(ArtifactError, match=r"version 2 .*Free space there") as error:
        publish(store)
    assert "\n" not in str(error.value)
    assert [file.name for file in store.folder.rglob(".*")] == []
    assert publish(store).number == 2


def test_a_store_that_may_not_be_written_is_named_and_is_served():
    with open_folder() as folder:
        store = Store(folder / "store")
        publish(store)
        with forbidden(folder / "store" / "versions"):
            for use in (lambda: publish(store), store.current):
                with pytest.raises(ArtifactError, match=r"[Gg]ive this user leave"):
                    use()
        assert is_sound(store) == 1


def test_of_two_who_publish_at_once_each_gets_a_version_or_is_told(store):
    def one(seed):
        try:
            return publish(store, seed).number
        except ArtifactError as error:
            assert "somebody else has published" in str(error)

    with ThreadPoolExecutor(4) as pool:
        numbers = [number for number in pool.map(one, range(12)) if number]
    assert len(set(numbers)) == len(numbers) >= 3
    assert store.versions() == [1, *sorted(numbers)]
    assert is_sound(store) in numbers


def test_one_who_has_just_published_disturbs_nobody(store):
    """Its folder was seen under the name of a half-written one, and has its own now."""
    (store.folder / "versions" / ".2.gone").symlink_to("nowhere")
    assert publish(store).number == 2


def test_versions_come_in_order_whatever_the_clock_says(store, monkeypatch):
    for now in (2e9, 1e9):
        monkeypatch.setattr("time.time", lambda now=now: now)
        publish(store)
    assert store.versions() == [1, 2, 3] and is_sound(store) == 3


@pytest.mark.parametrize(
    "told", [b"", b"{", b"[]", b'{"version": 1e999}', b'{"version": 7}', b"\xff", b"[" * 100_000]
)
def test_where_what_names_the_version_is_damaged_the_newest_good_one_is_served(store, told):
    publish(store)
    (store.folder / "current").write_bytes(told)
    assert store.current().number == 2
    publish(store)
    assert store.current().number == 3


def test_what_a_kill_left_half_written_is_removed_with_a_later_version(store):
    assert ended_at(8, lambda: publish(store), None)
    folder = store.folder / "versions"
    (left,) = folder.glob(".*")
    publish(store)
    assert left.exists()  # somebody might still be writing it
    os.utime(left, (0, 0))
    publish(store)
    assert not left.exists()
