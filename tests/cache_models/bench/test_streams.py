"""What a stream's last answer is worth by itself: reused where a picture has hardly changed."""

import io

import numpy as np
from PIL import Image

from cache_models.bench.streams import difference_hash, reused
from cache_models.data.streams import Streams
from tests.tiny import images


def saved_again(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).resize((96, 96)).save(buffer, "JPEG", quality=90)
    return np.asarray(Image.open(buffer).resize((64, 64)))


def test_saving_a_picture_again_hardly_changes_its_hash_and_another_has_another():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (2, 8, 9, 3), np.uint8)
    pictures = np.stack([Image.fromarray(one).resize((64, 64)) for one in small])
    again = np.stack([saved_again(one) for one in pictures])
    before, after = difference_hash(pictures), difference_hash(again)
    assert before.shape == (2, 64)
    assert (before != after).sum(1).max() <= 4
    assert (before[0] != before[1]).sum() > 16


def test_hashes_are_of_grey_and_of_coloured_pictures():
    assert difference_hash(images(3)).shape == (3, 64)
    assert difference_hash(images(3)[..., :1]).shape == (3, 64)


def test_the_last_known_answer_is_its_own_streams_and_the_older_the_looser():
    values = np.array([0.0, 1.0, 2.0, 0.1])
    answers = np.array([7, 7, 8, 7])
    streams = Streams(np.array([0, 0, 0, 1]), np.array([0.0, 1.0, 2.0, 3.0]))
    limits = np.array([0.5, 1.5, 2.5])
    hits, wrong = reused(
        lambda last, row: np.abs(values[last] - values[row]), limits, streams, answers
    )
    assert hits.tolist() == [
        [False, False, False, False],  # stream 1 does not know of stream 0
        [False, True, False, False],  # the third is as far from the first, which was known last
        [False, True, True, False],
    ]
    assert wrong.tolist()[2] == [False, False, True, False]
