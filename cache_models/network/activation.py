"""Activations on their way from one partition to the next: arrays in the precision that travels."""

from typing import Literal

import ml_dtypes
import numpy as np

Precision = Literal["float32", "float16", "bfloat16"]
DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
LARGEST = float(np.finfo(np.float16).max)


def pack(activation: np.ndarray, precision: Precision) -> np.ndarray:
    """A float32 activation in the precision that travels; bfloat16, which few readers of arrays
    know, as its bits in int16. Values beyond what float16 holds are clamped."""
    if precision == "float16":
        activation = activation.clip(-LARGEST, LARGEST)
    packed = activation.astype(DTYPES[precision], copy=False)
    return packed.view(np.int16) if precision == "bfloat16" else packed


def unpack(array: np.ndarray) -> np.ndarray:
    """The float32 activation that `pack` made `array` from."""
    if array.dtype == np.int16:
        array = array.view(ml_dtypes.bfloat16)
    return array.astype(np.float32, copy=False)
