"""One trainer writes to a store; another waits until it is gone."""

import multiprocessing

import pytest

from deployments.follow.ownership import Ownership


def hold(store, held, go):
    ownership = Ownership(store)
    held.put(ownership.mine())
    go.get()


def test_the_first_writes_and_the_next_when_it_is_gone_however_it_went(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, go = context.Queue(), context.Queue()
    first = context.Process(target=hold, args=(tmp_path, held, go))
    first.start()
    assert held.get(timeout=60)
    mine = Ownership(tmp_path)
    assert not mine.mine()
    with pytest.raises(ValueError, match="another application"):
        mine.check()
    first.kill()
    first.join()
    assert mine.mine()
    mine.check()


def test_stores_are_each_their_own(tmp_path):
    (tmp_path / "other").mkdir()
    assert Ownership(tmp_path).mine() and Ownership(tmp_path / "other").mine()
