"""Altered copies: more to ask the base DNN about, alike whenever they are asked for."""

import numpy as np
import pytest

from cache_models.data.augmentation import Augmented
from tests.tiny import images

ROWS = np.array([1, 3, 4])


def test_images_come_first_and_copies_are_alike_however_they_are_asked_for():
    originals = images(6)
    augmented = Augmented(originals, ROWS, copies=4)
    assert augmented.shape == (6 + 12, 8, 8, 1)
    assert augmented.added.tolist() == list(range(6, 18))
    whole = augmented[0 : len(augmented)]
    assert whole.dtype == np.uint8
    assert np.array_equal(whole[:6], originals)
    assert np.array_equal(np.concatenate([augmented[0:8], augmented[8:20]]), whole)
    assert len({image.tobytes() for image in whole}) == 18
    other = Augmented(originals, ROWS, copies=4, seed=1)
    assert not np.array_equal(other[6:18], whole[6:])


def test_copies_are_made_of_the_rows_that_train_and_of_no_other():
    originals = np.zeros((6, 8, 8, 1), np.uint8)
    originals[ROWS] = 200
    originals[[0, 2, 5], :] = 77  # what selects and calibrates
    copies = Augmented(originals, ROWS, copies=10)[6:36]
    middle = copies[:, 3:5, 3:5].astype(float)
    assert middle.min() > 160


def test_every_other_copy_is_moved_turned_or_brighter_and_the_rest_are_mixed():
    originals = np.zeros((2, 8, 8, 1), np.uint8)
    originals[1] = 200
    copies = Augmented(originals, np.array([0, 1]), copies=40)[2:82].reshape(40, 2, -1)
    altered, mixed = copies[::2], copies[1::2]
    assert altered[:, 0].max() == 0
    assert altered[:, 1].max(1).min() >= 165
    peaks = mixed.max(2).ravel()
    assert np.mean((peaks > 5) & (peaks < 165)) > 0.3


@pytest.mark.parametrize("copies", [0, 2])
def test_inputs_that_are_no_images_are_mixed(copies):
    originals = np.eye(4, dtype=np.float32)
    made = Augmented(originals, np.array([0, 1]), copies)[0:100]
    assert made.dtype == np.float32
    assert np.array_equal(made[:4], originals)
    assert np.allclose(made[4:, :2].sum(1), 1)
    assert len(made) == 4 + 2 * copies


def test_of_two_texts_each_place_has_a_token_of_one():
    ids = np.stack([np.arange(10, 20), np.arange(30, 40)])
    masks = np.stack([np.ones(10), np.arange(10) < 6])
    originals = np.stack([ids, masks], axis=1).astype(np.float32)
    copies = Augmented(originals, np.array([0, 1]), copies=20, of_tokens=True)[2:42]
    assert copies.dtype == np.float32
    of_first = copies[:, 0] < 25
    assert np.array_equal(copies, np.where(of_first[:, None], originals[0], originals[1]))
    assert 0.2 < of_first.mean() < 0.8
