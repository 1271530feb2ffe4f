"""Pictures become inputs as torchvision's presets make them of pictures."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.models import get_model_weights
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from cache_models.network.loading.torchvision_models import preprocessing_of
from cache_models.network.preprocessing import Preprocessing

SIZES = pytest.mark.parametrize("size", [(28, 28, 1), (37, 91, 3), (500, 333, 3), (256, 256, 1)])
RESIZED = pytest.mark.parametrize("resize", [None, 256, 232])


def pictures(size: tuple[int, ...], count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size), np.uint8)


@pytest.mark.parametrize("size", [(37, 91), (500, 333), (256, 256)])
@pytest.mark.parametrize("resize", [256, 232])
@pytest.mark.parametrize(
    "interpolation", [InterpolationMode.BILINEAR, InterpolationMode.BICUBIC, InterpolationMode.BOX]
)
def test_an_input_is_the_one_that_torchvisions_preset_makes_of_the_picture(
    size, resize, interpolation
):
    preset = ImageClassification(crop_size=224, resize_size=resize, interpolation=interpolation)
    (picture,) = pictures((*size, 3), count=1)
    preprocessing = Preprocessing((224, 224), resize_size=resize, interpolation=interpolation.value)
    assert_alike(preprocessing, preset, picture)


@pytest.mark.parametrize(
    ("builder", "preset"),
    [
        ("resnet50", "IMAGENET1K_V2"),
        ("efficientnet_b3", "IMAGENET1K_V1"),
        ("inception_v3", "IMAGENET1K_V1"),
        ("swin_t", "IMAGENET1K_V1"),
        ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1"),
        ("vit_h_14", "IMAGENET1K_SWAG_E2E_V1"),
        ("maxvit_t", "IMAGENET1K_V1"),
    ],
)
def test_photographs_become_inputs_as_torchvisions_presets_make_them(builder, preset):
    entry = get_model_weights(builder)[preset]
    for photograph in photographs():
        assert_alike(preprocessing_of(entry), entry.transforms(), photograph)


def photographs() -> list[np.ndarray]:
    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    large = [np.asarray(Image.open(hopper)), *load_sample_images().images]
    return [*large, large[0][:180, :150], large[1][100:160]]


def assert_alike(preprocessing: Preprocessing, preset, picture: np.ndarray) -> None:
    (got,) = preprocessing(picture[None])
    assert got.flags.c_contiguous
    assert torch.equal(torch.from_numpy(got), preset(Image.fromarray(picture)))


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


@pytest.mark.parametrize("crop", [224, 223, 214])
@pytest.mark.parametrize("size", [(37, 91, 3), (500, 333, 3), (401, 256, 3), (257, 256, 1)])
@pytest.mark.parametrize("resize", [255, 256, 234])
def test_what_is_kept_has_the_same_centre_however_half_a_pixel_is_rounded(size, resize, crop):
    preprocessing, given = Preprocessing((crop, crop), resize_size=resize), pictures(size)
    preset = ImageClassification(crop_size=crop, resize_size=resize)
    kept = preprocessing.shrink(given)
    assert kept.shape[1:3] == preprocessing.kept_size
    assert np.array_equal(preprocessing(kept), preprocessing(given))
    if size[2] == 3:
        assert np.array_equal(preprocessing(given)[0], preset(Image.fromarray(given[0])).numpy())


@SIZES
@RESIZED
def test_a_picture_becomes_what_its_array_becomes(size, resize):
    preprocessing, (given,) = Preprocessing((224, 224), resize_size=resize), pictures(size, 1)
    picture = Image.fromarray(given if size[2] == 3 else given[..., 0])
    for of_arrays, of_pictures in (
        (preprocessing.resize, preprocessing.resize_picture),
        (preprocessing.shrink, preprocessing.shrink_picture),
    ):
        assert np.array_equal(of_arrays(given[None])[0], of_pictures(picture))


@pytest.mark.parametrize("size", [(1, 400, 3), (400, 1, 3), (3, 1000, 1), (1, 17, 3)])
@pytest.mark.parametrize("resize", [64, 57])
def test_a_long_picture_becomes_what_it_would_if_it_were_resized_whole(size, resize, monkeypatch):
    preprocessing, given = Preprocessing((48, 48), resize_size=resize), pictures(size)
    got = preprocessing.resize(given).astype(int)
    monkeypatch.setattr("cache_models.network.preprocessing.MOST_ENLARGED", np.inf)
    off = np.abs(got - preprocessing.resize(given))
    assert off.max() <= 1
    assert off.mean() < 0.02


@pytest.mark.parametrize("size", [(1, 10_000, 3), (10_000, 1, 1), (65_535, 2, 3)])
def test_a_long_picture_takes_no_more_memory_than_a_square_one(size):
    preprocessing, given = Preprocessing((224, 224), resize_size=256), pictures(size, 1)
    picture = Image.fromarray(given[0] if size[2] == 3 else given[0, ..., 0])
    resized = []
    original = Image.Image.resize

    def watched(image, size, *more, **others):
        resized.append(size[0] * size[1])
        return original(image, size, *more, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "resize", watched)
        for got in (
            preprocessing.resize(given)[0],
            preprocessing.resize_picture(picture),
            preprocessing.shrink(given)[0][16:240, 16:240],
        ):
            assert got.shape == (224, 224, size[2])
            assert np.array_equal(got, preprocessing.resize(given)[0])
    assert max(resized) <= 16 * 256 * 256


@RESIZED
@pytest.mark.parametrize("size", [(28, 28), (37, 91), (500, 333), (1, 40)])
@pytest.mark.parametrize("interpolation", ["bilinear", "hamming"])
def test_resizing_is_a_product_with_a_matrix_for_each_side(size, resize, interpolation):
    preprocessing = Preprocessing((224, 200), resize_size=resize, interpolation=interpolation)
    (picture,) = pictures((*size, 1), count=1)
    rows, columns = preprocessing.matrices(*size)
    product = rows @ picture[..., 0].astype(np.float32) @ columns.T
    (resized,) = preprocessing.resize(picture[None])
    assert np.abs(product - resized[..., 0]).max() < 1.1


@pytest.mark.parametrize("interpolation", ["nearest", "bicubic", "box", "lanczos"])
def test_resizing_that_is_no_such_product_says_so(interpolation):
    assert Preprocessing((224, 224), interpolation=interpolation).matrices(28, 28) is None


def test_a_long_picture_has_no_matrices():
    """They would take gigabytes."""
    assert Preprocessing((224, 224)).matrices(1, 50_000) is None
