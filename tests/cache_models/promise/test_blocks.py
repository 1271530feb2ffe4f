"""How long a block is, is measured: neither noise nor a slow drift makes one."""

import numpy as np
import pytest

from cache_models.promise.blocks import block_length, block_numbers, stream_number

REPETITIONS = 20


def samples(count, stay, seed, odd=0.08, streams=1):
    """What comes of objects that stay for `stay` seconds, each in its stream, a sample a second on
    average: how sure a cache is of each, and it is wrong of some."""
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.exponential(1.0, count))
    stream = rng.integers(0, streams, count)
    begins = rng.random(streams) * max(stay, 1)
    place = np.floor((at + begins[stream]) / stay).astype(int) if stay else np.arange(count)
    _, seen = np.unique(stream * 10**9 + place, return_inverse=True)
    objects = seen.max() + 1
    sure = 0.9 + 0.1 * rng.standard_normal(objects)[seen] + 0.1 * rng.standard_normal(count)
    wrong = (rng.random(objects) < odd)[seen]
    classes = rng.integers(0, 4, objects)[seen]
    return np.where(wrong, -sure, sure), classes, stream, at


def lengths(**how):
    return np.array([block_length(*samples(seed=seed, **how)) for seed in range(REPETITIONS)])


@pytest.mark.parametrize("count", [250, 1000, 4000])
def test_samples_that_know_nothing_of_each_other_are_blocks_of_their_own(count):
    assert (lengths(count=count, stay=0) == 0).sum() >= 17


@pytest.mark.parametrize("stay", [4, 20, 100])
def test_a_block_is_longer_than_an_object_stays_and_not_much_longer(stay):
    found = lengths(count=4000, stay=stay)
    assert (found >= stay).sum() >= 19 and (found <= 8 * stay).sum() >= 19


def test_frames_that_a_cache_is_sure_of_are_known_to_be_alike():
    """Their confidences differ little, and most where it is not quite sure, which is noise."""
    found = []
    for seed in range(REPETITIONS):
        rng = np.random.default_rng(seed)
        place = np.arange(400) // 20
        doubt = rng.uniform(3, 7, 20)[place] + 0.3 * rng.standard_normal(400)
        doubt[rng.random(400) < 0.05] = 0.7
        sure = 1 - 10.0**-doubt
        classes = rng.integers(0, 4, 20)[place]
        found.append(block_length(sure, classes, np.zeros(400), 0.1 * np.arange(400)))
    assert (np.array(found) >= 2).sum() >= 19


def test_what_is_wrong_in_a_row_is_known_to_be_alike():
    found = []
    for seed in range(REPETITIONS):
        rng = np.random.default_rng(seed)
        wrong = (rng.random(80) < 0.05)[np.arange(2000) // 25]
        sure = rng.uniform(0.8, 1.0, 2000)
        signal = np.where(wrong, -sure, sure)
        found.append(block_length(signal, np.zeros(2000, int), np.zeros(2000), np.arange(2000.0)))
    assert (np.array(found) >= 16).sum() >= 19


def test_where_streams_are_named_others_between_do_not_hide_it():
    found = lengths(count=4000, stay=60, streams=10)
    assert (found >= 60).sum() >= 19 and (found <= 480).sum() >= 19


def test_a_slow_drift_and_a_change_are_no_dependence():
    rng = np.random.default_rng(0)
    none = 0
    for _ in range(REPETITIONS):
        place = np.arange(2000)
        changed = np.clip((place - 500) / 600, 0, 1)
        signal = 0.9 - 0.6 * changed + (0.1 + 0.4 * changed) * rng.standard_normal(2000)
        none += block_length(signal, np.zeros(2000, int), np.zeros(2000), 1.0 * place) == 0
    assert none >= 16


def test_what_cannot_be_told_is_not():
    signal, classes, stream, at = samples(199, 0, 0)
    assert block_length(signal, classes, stream, at) is None
    ones = np.ones(1000)
    assert block_length(ones, np.zeros(1000, int), ones, np.arange(1000.0)) is None
    signal, classes, _, at = samples(1000, 0, 0)
    assert block_length(signal, classes, np.arange(1000), at) is None  # every stream comes once


def test_a_block_is_a_stretch_of_one_stream():
    streams = np.array([stream_number(name) for name in ("", "", "a", "a", "b")])
    numbers = block_numbers(streams, np.array([9.0, 19.9, 19.9, 10.0, 10.0]), 10.0)
    assert numbers[2] == numbers[3] and len(set(numbers.tolist())) == 4
