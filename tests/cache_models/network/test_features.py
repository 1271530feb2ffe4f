"""Features are at most 16 KB, whatever the activation, and the same wherever they are made."""

import math
from typing import get_args

import numpy as np
import pytest
import torch

from cache_models.network.description import ModelDescription
from cache_models.network.features import feature_shape, input_features
from cache_models.network.pooling import extract, pool_further
from cache_models.network.preprocessing import Interpolation, Preprocessing

SHAPES = [
    (64, 56, 56),
    (512, 7, 7),
    (9000, 2, 2),
    (3, 200, 100),
    (197, 768),
    (20, 9000),
    (10,),
    (25088,),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_features_fit_in_16_kb_and_have_the_declared_shape(shape):
    features = extract(torch.randn(2, *shape))
    assert features.shape[1:] == feature_shape(shape)
    assert features.dtype == torch.float16
    assert 2 * math.prod(feature_shape(shape)) <= 16 * 1024


def test_a_small_vector_stays_as_it_is_and_large_values_stay_finite():
    activation = torch.tensor([[1.0, -2.0, 1e9]])
    assert extract(activation).tolist() == [[1.0, -2.0, 65504.0]]


def test_the_class_token_is_kept():
    tokens = torch.randn(1, 197, 768)
    assert torch.equal(extract(tokens)[0, 0], tokens[0, 0].half())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_features_of_inputs_are_pooled_as_those_of_activations(shape):
    inputs = np.random.default_rng(0).standard_normal((2, *shape), np.float32)
    got = input_features(ModelDescription(shape, ("a",)), inputs)
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, extract(torch.from_numpy(inputs)), rtol=2e-3, atol=1e-5)


LEVEL = 1 / 255 / min(Preprocessing((1, 1)).std)


@pytest.mark.parametrize("interpolation", get_args(Interpolation))
@pytest.mark.parametrize("resize_size", [None, 80])
@pytest.mark.parametrize("size", [(64, 64), (70, 50)])
@pytest.mark.parametrize(
    "picture", [(28, 28, 1), (28, 20, 3), (97, 301, 3), (1, 40, 1), (600, 9, 3)]
)
def test_features_of_pictures_are_those_of_what_the_base_dnn_takes(
    picture, size, resize_size, interpolation
):
    """But for how a resized picture is rounded, by half a level along each of its sides."""
    preprocessing = Preprocessing(size, resize_size=resize_size, interpolation=interpolation)
    description = ModelDescription((3, *size), ("a",), preprocessing)
    pictures = np.random.default_rng(0).integers(0, 256, (2, *picture), np.uint8)
    expected = extract(torch.from_numpy(description.inputs(pictures))).numpy()
    resized = input_features(description, preprocessing.resize(pictures), resized=True)
    np.testing.assert_allclose(resized, expected, rtol=2e-3, atol=1e-3)
    got = input_features(description, pictures)
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, expected, rtol=2e-3, atol=1.1 * LEVEL)


def test_features_of_a_picture_are_the_same_in_any_batch():
    description = ModelDescription((3, 64, 64), ("a",), Preprocessing((64, 64)))
    pictures = np.random.default_rng(0).integers(0, 256, (9, 28, 20, 3), np.uint8)
    together = input_features(description, pictures)
    alone = [input_features(description, picture[None])[0] for picture in pictures]
    assert np.array_equal(together, alone)


def test_padding_is_left_out_of_the_features_of_tokens():
    tokens = torch.randn(2, 64, 768)
    mask = torch.zeros(2, 64, 1)
    mask[0, :20] = mask[1, :64] = 1
    features = extract(torch.cat([tokens, mask], dim=2), with_mask=True).float()
    changed = torch.cat([tokens + 100 * (1 - mask), mask], dim=2)
    assert features.shape == (2, *feature_shape((64, 769)))
    assert torch.equal(features, extract(changed, with_mask=True).float())
    torch.testing.assert_close(features[0, 1, :-1], tokens[0, 1:8].mean(0), atol=1e-2, rtol=1e-2)
    assert features[0, -1, -1] == 0, "nothing is there"
    assert features[1, -1, -1] == 1


def test_a_short_text_is_as_a_long_one_however_far_it_is_pooled():
    token = torch.randn(1, 1, 384)
    mask = torch.zeros(1, 64, 1)
    mask[:, :5] = 1
    features = extract(torch.cat([token * mask, mask], dim=2), with_mask=True).float()
    pooled = pool_further(features, 1)[0, :, :-1]
    torch.testing.assert_close(pooled, token[0].expand(2, -1), atol=1e-2, rtol=1e-2)
