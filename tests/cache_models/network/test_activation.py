"""What is packed comes out as it went in, in the precision of the dtype."""

import numpy as np
import pytest
import torch

from cache_models.network.activation import pack, unpack

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_an_activation_survives_the_way(name):
    dtype = getattr(torch, name)
    activation = torch.randn(2, 3, 4)
    arrived = unpack(pack(activation, dtype), CPU)
    assert arrived.dtype == torch.float32
    assert torch.equal(arrived, activation.to(dtype).float())


def test_large_values_do_not_become_infinite():
    assert unpack(pack(torch.tensor([1e9]), torch.float16), CPU).item() == 65504


def test_what_arrives_may_be_changed_in_place_without_changing_what_was_sent():
    sent = np.ones(3, np.float32)
    sent.setflags(write=False)
    unpack(sent, CPU).mul_(2)
    assert sent.tolist() == [1, 1, 1]
