"""Closed loop in turn: balanced, the same pictures to all, and no failure ends it."""

import numpy as np
import pytest

from workload.client.answers import ERROR
from workload.compare.closed_loop import orders, round_robin


def test_a_turn_is_as_many_pictures_in_a_row_as_asked_for():
    seen = []

    def contender(name):
        def ask(picture, _):
            seen.append((name, int(picture[0, 0, 0])))
            return 0, "base", 1.0

        return ask

    contenders = {name: contender(name) for name in "ab"}
    pictures = [np.full((4, 4, 1), i, np.uint8) for i in range(7)]
    no_pauses = dict.fromkeys("ab", 0.0)
    answers = round_robin(contenders, pictures, seed=0, pauses_s=no_pauses, requests_per_turn=3)
    assert [i for _, i in seen] == [0, 1, 2] * 2 + [3, 4, 5] * 2 + [6] * 2
    whose = [name for name, _ in seen]
    assert [len(set(whose[at : at + 3])) for at in (0, 3, 6, 9)] == [1] * 4
    assert {len(a.latency_ms) for a in answers.values()} == {7}


@pytest.mark.parametrize("count", [1, 3, 7])
def test_every_contender_has_every_place_equally_often(count):
    found = orders(count, 20 * count, seed=0)
    assert (np.sort(found, axis=1) == np.arange(count)).all()
    for place in found.T:
        assert (np.bincount(place, minlength=count) == 20).all()


def test_orders_follow_the_seed():
    assert (orders(4, 40, seed=1) == orders(4, 40, seed=1)).all()
    assert (orders(4, 40, seed=1) != orders(4, 40, seed=2)).any()


def test_all_get_the_same_pictures_and_a_failure_is_counted():
    seen = {"good": [], "bad": []}

    def good(picture, body):
        seen["good"].append(int(picture[0, 0, 0]))
        assert body.content.startswith(b"\x89PNG")
        return int(picture[0, 0, 0]), "base", 1.5

    def bad(picture, _):
        seen["bad"].append(int(picture[0, 0, 0]))
        if len(seen["bad"]) == 2:
            raise RuntimeError("HTTP 503")
        return 7, "input", 2.5

    pictures = [np.full((4, 4, 1), i, np.uint8) for i in range(5)]
    answers = round_robin({"good": good, "bad": bad}, pictures, seed=0)
    assert seen["good"] == seen["bad"] == list(range(5))
    assert answers["good"].class_ids.tolist() == list(range(5))
    assert answers["bad"].errors == {"HTTP 503": 1}
    assert answers["bad"].exits.tolist() == ["input", ERROR, "input", "input", "input"]
    assert answers["bad"].latency_ms[0] == 2.5
