"""Features are at most 16 KB, whatever the activation."""

import math

import pytest
import torch

from cache_models.network.features import extract, feature_shape


@pytest.mark.parametrize(
    "shape",
    [
        (64, 56, 56),
        (512, 7, 7),
        (9000, 2, 2),
        (3, 200, 100),
        (197, 768),
        (20, 9000),
        (10,),
        (25088,),
    ],
)
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
