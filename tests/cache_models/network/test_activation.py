"""What is packed comes out as it went in, in the precision that travels."""

import numpy as np
import pytest
import torch

from cache_models.network.activation import pack, unpack


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_an_activation_survives_the_way(precision):
    activation = np.random.default_rng(0).standard_normal((2, 3, 4), np.float32)
    arrived = unpack(pack(activation, precision))
    rounded = torch.from_numpy(activation).to(getattr(torch, precision)).float()
    assert arrived.dtype == np.float32
    assert np.array_equal(arrived, rounded.numpy())


def test_large_values_do_not_become_infinite():
    assert unpack(pack(np.array([1e9], np.float32), "float16")).item() == 65504
