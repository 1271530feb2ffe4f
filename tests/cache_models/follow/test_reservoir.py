"""The build's samples are recorded in an order that soon lets a round test every class."""

import numpy as np

from cache_models.follow.reservoir import ENOUGH, recording_order
from cache_models.follow.traffic import TEST, TRAIN
from cache_models.follow.traffic_log import RESERVOIR

K = 10


def build(rare=300):
    """As `pick` keeps them, shuffled; of the last class there are `rare` test samples."""
    kept = {(role, k): count for role, count in RESERVOIR.items() for k in range(K)}
    kept[TEST, K - 1] = rare
    pairs = np.repeat(list(kept), list(kept.values()), axis=0)
    roles, answers = np.random.default_rng(0).permutation(pairs).T
    return answers, roles


def test_all_are_recorded_once():
    answers, roles = build()
    assert sorted(recording_order(answers, roles)[0]) == list(range(len(roles)))


def test_rounds_begin_when_every_class_can_be_tested_long_before_all_are_recorded():
    answers, roles = build()
    order, enough = recording_order(answers, roles)
    first = order[:enough]
    tests = np.bincount(answers[first][roles[first] == TEST])
    assert (tests >= ENOUGH).all() and enough < 0.55 * len(order)
    assert np.bincount(answers[first][roles[first] == TRAIN], minlength=K).min() >= 40


def test_a_class_with_few_samples_is_not_waited_for_longer_than_for_those():
    answers, roles = build(rare=30)
    order, enough = recording_order(answers, roles)
    first = order[:enough]
    assert np.bincount(answers[first][roles[first] == TEST])[-1] == 30
    assert enough < 0.6 * len(order)


def test_nothing_is_waited_for_where_there_is_nothing():
    order, enough = recording_order(np.empty(0, int), np.empty(0, int))
    assert (len(order), enough) == (0, 0)
