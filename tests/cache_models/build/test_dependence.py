"""Of the frames of a video only those calibrate that know nothing of each other."""

import numpy as np
import pytest

from cache_models.build.dependence import dependence
from cache_models.build.split import split
from cache_models.data.samples import Samples
from cache_models.data.streams import Streams

FRAMES = 4000


def measured(stay, crops, alike, seed=0, frames=FRAMES):
    """On objects that stay for `stay` frames, in every crop another one or in all the same."""
    rng = np.random.default_rng(seed)
    rows = np.arange(frames * crops)
    frame, crop = np.divmod(rows, crops)
    objects = frame // stay + (0 if alike else crop * frames)
    sure = 0.9 + 0.1 * rng.standard_normal(objects.max() + 1)[objects]
    sure += 0.05 * rng.standard_normal(len(rows))
    answers = rng.integers(0, 4, objects.max() + 1)[objects]
    wrong = (rng.random(objects.max() + 1) < 0.1)[objects]
    return dependence(
        Streams.of_frames(len(rows), crops, 1.0), rows, np.where(wrong, 9, answers), sure, answers
    )


@pytest.mark.parametrize("crops", [1, 6])
def test_frames_that_know_nothing_of_each_other_all_count(crops):
    found = [measured(1, crops, alike=False, seed=seed) for seed in range(20)]
    free = [f for f in found if f.block == 0 and not f.together]
    assert len(free) >= 17
    rows = np.arange(60, 600)
    assert free[0].independent(rows, 59 // crops).tolist() == rows.tolist()


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("crops", [1, 6])
def test_one_of_every_block_counts_and_none_near_what_was_chosen_on(crops, alike):
    together = 0
    for seed in range(20):
        found = measured(20, crops, alike, seed)
        assert found.block >= 20
        together += found.together
        border = 50 * crops - 1
        rows = found.independent(np.arange(border + 1, FRAMES * crops), border // crops)
        frame, crop = np.divmod(rows, crops)
        assert frame.min() > 50 + found.block - 1
        blocks = frame // found.block + (0 if found.together else crop * FRAMES)
        assert len(np.unique(blocks)) == len(blocks) >= 3
        told = found.told(3950 * crops, len(rows), 9999)
        assert f"count as {len(rows)} independent ones" in told and "9999 are needed" in told
    assert together >= 19 if alike and crops > 1 else together <= 3


def test_eight_seconds_tell_whether_crops_are_alike():
    """In them are few stretches that know nothing of each other, but many crops."""
    found = {
        alike: [measured(10, 24, alike, seed, frames=80).together for seed in range(20)]
        for alike in (False, True)
    }
    assert sum(found[False]) <= 3 and sum(found[True]) >= 19


def test_where_nothing_differs_nothing_is_known_and_nothing_counts():
    rows, ones = np.arange(500), np.ones(500)
    found = dependence(Streams.of_frames(500, 1, 1.0), rows, ones, ones, ones.astype(int))
    assert found.block is None and not len(found.independent(rows, 0))
    assert "too few differ" in found.told(500, 0, 299)


def test_crops_of_a_frame_learn_and_test_together():
    train, select, calibrate = split(
        Samples(np.zeros((101 * 6, 1, 1, 1), np.uint8), Streams.of_frames(606, 6, 10.0))
    )
    assert [len(part) // 6 for part in (train, select, calibrate)] == [50, 20, 31]
    parts = np.concatenate([train, select, calibrate])
    assert parts.tolist() == list(range(606)) and len(train) % 6 == len(select) % 6 == 0
