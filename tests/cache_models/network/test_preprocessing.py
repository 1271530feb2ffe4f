"""Pictures become inputs as torchvision's presets make them of pictures."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from cache_models.network.preprocessing import Preprocessing

SIZES = pytest.mark.parametrize("size", [(28, 28, 1), (37, 91, 3), (500, 333, 3), (256, 256, 1)])
RESIZED = pytest.mark.parametrize("resize", [None, 256, 232])


def pictures(size: tuple[int, ...], count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size), np.uint8)


@pytest.mark.parametrize("size", [(37, 91), (500, 333), (256, 256)])
@pytest.mark.parametrize("resize", [256, 232])
def test_an_input_is_the_one_that_torchvisions_preset_makes_of_the_picture(size, resize):
    preset = ImageClassification(
        crop_size=224, resize_size=resize, interpolation=InterpolationMode.BILINEAR
    )
    (picture,) = pictures((*size, 3), count=1)
    expected = preset(Image.fromarray(picture))
    (got,) = Preprocessing((224, 224), resize_size=resize)(picture[None])
    assert torch.equal(torch.from_numpy(got), expected)


def test_a_grey_picture_is_repeated_over_the_channels():
    preprocessing = Preprocessing((224, 224))
    grey = pictures((28, 28, 1))
    assert np.array_equal(preprocessing(grey), preprocessing(grey.repeat(3, axis=3)))


def test_pictures_of_any_number_of_channels_are_resized():
    many = pictures((28, 20, 5))
    resized = Preprocessing((40, 50)).resize(many)
    for channel in range(5):
        alone = Preprocessing((40, 50)).resize(many[..., [channel]])
        assert np.array_equal(resized[..., [channel]], alone)


@SIZES
@RESIZED
def test_a_picture_kept_as_a_sample_becomes_the_same_input(size, resize):
    preprocessing, given = Preprocessing((224, 224), resize_size=resize), pictures(size)
    kept = preprocessing.shrink(given)
    assert kept.shape[1:3] == preprocessing.kept_size
    assert np.array_equal(preprocessing(kept), preprocessing(given))
