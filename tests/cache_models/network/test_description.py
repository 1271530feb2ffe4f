"""What a user says of a module is made whole."""

import numpy as np
import pytest

from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing


def test_classes_of_one_name_are_told_apart():
    described = ModelDescription((4,), ["crane", "maillot", "crane", 7])
    assert described.classes == ("crane (0)", "maillot", "crane (2)", "7")
    again = ModelDescription((4,), described.classes)
    assert again == described


@pytest.mark.parametrize("given", [np.uint8, np.float32])
def test_inputs_are_contiguous_whatever_lies_in_memory(given):
    described = ModelDescription((3, 8, 8), ("a", "b"), Preprocessing((8, 8)))
    if given is np.uint8:
        batch = np.zeros((2, 8, 8, 3), given)
    else:
        batch = np.zeros((2, 8, 8, 3), given).transpose(0, 3, 1, 2)
    inputs = described.inputs(batch)
    assert inputs.flags.c_contiguous and inputs.shape == (2, 3, 8, 8)
