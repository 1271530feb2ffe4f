"""The smallest form of an image that is the same to the base DNN: larger ones are resized to its
input before they travel, smaller ones beside the base DNN."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from cache_models.network.pixels import as_array
from cache_models.network.preprocessing import Preprocessing


class Input(NamedTuple):
    """What the cascade is asked about.

    Attributes:
        batch: images `(B, h, w, C)` uint8 or inputs `(B, *input_shape)` float32.
        resized: whether images have the base DNN's size already.
    """

    batch: np.ndarray
    resized: bool = False


def is_larger(height: int, width: int, preprocessing: Preprocessing) -> bool:
    """Whether an image has more pixels than the base DNN's input."""
    return height * width > preprocessing.crop_size[0] * preprocessing.crop_size[1]


def smallest_form_of_picture(picture: Image.Image, preprocessing: Preprocessing) -> Input:
    """Of an image of mode L or RGB; may take long, too. A large one never becomes an array, which
    would hold the interpreter for half a second."""
    if is_larger(picture.height, picture.width, preprocessing):
        return Input(preprocessing.resize_picture(picture)[None], True)
    return Input(as_array(picture)[None])


def smallest_form(batch: np.ndarray, preprocessing: Preprocessing | None) -> Input:
    """Of images or inputs of one size; may take long, so not for an event loop."""
    if preprocessing is None or not needs_resizing(batch, preprocessing):
        return Input(batch)
    return Input(preprocessing.resize(batch), True)


def needs_resizing(batch: np.ndarray, preprocessing: Preprocessing | None) -> bool:
    """Whether `smallest_form` has anything to do."""
    if preprocessing is None or batch.dtype != np.uint8:
        return False
    return is_larger(batch.shape[1], batch.shape[2], preprocessing)
