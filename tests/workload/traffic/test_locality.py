"""Locality is measured on classes."""

import numpy as np

from workload.traffic import locality, streams
from workload.traffic.variation import NOISE

LABELS = np.random.default_rng(0).integers(0, 10, 5_000)


def classes_of(text, count=10_000, seed=0):
    made = streams.make(text, count, LABELS, seed)
    return np.where(made.items == NOISE, -1, LABELS[made.items])


def test_locality_is_measured():
    few = locality.measure(classes_of("locality:classes=2"))
    everything = locality.measure(classes_of("iid"))
    assert few["window_entropy_bits"] < 1.2 < 3.2 < everything["window_entropy_bits"]
    for name in ("reuse_distance_p50", "reuse_distance_p90"):
        assert few[name] < everything[name]
    assert locality.reuse_distances(np.array([4, 7, 4, 4, 7])).tolist() == [2, 1, 3]


def test_answers_are_compared_with_those_to_the_same_key():
    answers, keys = np.array([1, 2, 1, 2, 1, 3]), np.array(["a", "b", "a", "b", "a", "b"])
    assert locality.same_as_last(answers, keys).tolist() == [True, True, True, False]
    assert not locality.same_as_last(answers).any()
    measured = locality.measure(answers, np.array([7, 8, 9, 7, 7, 7]), answers, keys)
    assert measured["same_as_keys_last"] == 0.75 and measured["same_as_last"] == 0
    assert measured["items_seen_before"] == 0.5 and measured["item_reuse_distance_p50"] == 1
    told = locality.describe(measured)
    assert "same of 2 keys in 75.0%: it changes every 4.0 requests" in told
