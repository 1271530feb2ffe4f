"""Answers given once more: near enough is what keeps the promise, and nothing else is given."""

import numpy as np
import pytest

from cache_models.bench.reuse import Earlier, fitting
from cache_models.promise.promise import Limits
from tests.streams import popular, scenes
from tests.tiny import images

LIMITS = Limits(max_disagreement=0.02, max_class_disagreement=0.5, confidence=0.8)


def ask(earlier, given, streams, answers):
    """Labels, and which were earlier ones'."""
    said = [
        earlier.answer(one, stream, lambda label=label: label)
        for one, stream, label in zip(given, streams, answers, strict=True)
    ]
    return np.array([label for label, _ in said]), np.array([hit for _, hit in said])


def test_the_very_same_input_has_the_very_same_answer_and_no_other():
    given = images(30)
    answers = np.arange(30)
    labels, hits = ask(Earlier("exact", 0), [*given, *given], [""] * 60, [*answers, *answers])
    assert (labels == np.tile(answers, 2)).all() and hits.sum() == 30
    nearly = given.copy()
    nearly[:, 0, 0] ^= 1
    _, hits = ask(Earlier("exact", 0), [*given, *nearly], [""] * 60, [*answers, *answers])
    assert not hits.any()


@pytest.mark.parametrize("kind", ["hash", "difference"])
def test_near_enough_is_where_the_promise_is_kept_and_some_are_reused(kind):
    if kind == "hash":
        given = popular(1_500)
        keys, answers = [""] * len(given), given.mean((1, 2, 3)).astype(int) // 16
    else:
        given, streams = scenes(1_500)
        keys = [str(key) for key in streams.keys]
        answers = given.mean((1, 2, 3)).astype(int) // 16
    limit = fitting(kind, given, keys, answers, LIMITS)
    assert limit is not None
    labels, hits = ask(Earlier(kind, limit), given, keys, answers)
    assert (labels != answers).mean() <= LIMITS.max_disagreement
    assert hits.any() and not (labels != answers)[~hits].any()


def test_of_a_stream_only_its_own_last_answer_is_given():
    same = images(1)[0]
    earlier = Earlier("difference", 1.0)
    _, hits = ask(earlier, [same] * 4, ["a", "b", "a", ""], [0, 1, 0, 2])
    assert hits.tolist() == [False, False, True, False]


def test_where_answers_change_at_random_nothing_is_near_enough():
    given = np.repeat(images(1), 500, axis=0)
    answers = np.random.default_rng(0).integers(0, 9, 500)
    assert fitting("difference", given, ["a"] * 500, answers, LIMITS) is None
