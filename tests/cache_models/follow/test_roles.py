"""Roles come in stretches, which stay the same, and how near others are is known."""

from itertools import pairwise

import numpy as np

from cache_models.follow.roles import BLOCKS, SHARES, UNKNOWN_S, Roles
from cache_models.store.strata import TRAIN

BLOCK_S = 4.0
RNG = np.random.default_rng(0)


def drawn(roles, stream=0, seconds=40_000):
    return [roles.draw(stream, at, RNG) for at in range(seconds)]


def test_whoever_is_far_from_other_roles_has_none_of_them_near():
    found = drawn(Roles(7, BLOCK_S))
    which = np.array([role for role, _ in found])
    for at, (role, apart_s) in enumerate(found):
        near = which[max(0, int(at - apart_s) + 1) : int(at + apart_s)]
        assert (near == role).all()
    changes = [at for at, (a, b) in enumerate(pairwise(which)) if a != b]
    assert min(np.diff(changes)) >= BLOCKS * BLOCK_S
    shares = np.bincount(which) / len(which)
    assert np.abs(shares - list(SHARES.values())).max() < 0.1
    tests = [apart_s >= BLOCK_S for role, apart_s in found if role != TRAIN]
    assert np.mean(tests) > 0.8  # little is lost at the borders


def test_the_draw_is_the_same_after_a_restart_and_another_for_other_streams():
    first = drawn(Roles(7, BLOCK_S), seconds=2000)
    assert drawn(Roles(7, BLOCK_S), seconds=2000) == first
    assert drawn(Roles(7, BLOCK_S), stream=1, seconds=2000) != first
    assert drawn(Roles(8, BLOCK_S), seconds=2000) != first


def test_blocks_of_another_length_before_keep_their_distance():
    assert Roles(7, BLOCK_S, since=1000.0).draw(0, 1001.0, RNG)[1] <= 1.0


def test_samples_that_are_blocks_have_a_role_each():
    found = drawn(Roles(7, 0.0), seconds=5000)
    assert {apart_s for _, apart_s in found} == {0.0} and Roles(7, 0.0).apart_s == 0
    shares = np.bincount([role for role, _ in found]) / len(found)
    assert np.abs(shares - list(SHARES.values())).max() < 0.03
    assert Roles(7).apart_s == UNKNOWN_S
