"""What a tensor in a request may be: its name, datatype and shape, and its values."""

import math

import numpy as np

from cache_models.network.description import ModelDescription
from deployments.ingress.errors import BodyTooLarge, InvalidInput


def check_tensor(
    name: str, datatype: str, given: list[int], description: ModelDescription, max_rows: int
) -> tuple[int, ...]:
    """Its shape, if there is such a tensor.

    Raises:
        InvalidInput, BodyTooLarge
    """
    images = description.preprocessing is not None
    datatypes = {"image": "UINT8", "input": "FP32"} if images else {"input": "FP32"}
    if name not in datatypes:
        raise InvalidInput(f"inputs.0.name is {name!r}; it may be {' or '.join(datatypes)}")
    if datatype != datatypes[name]:
        raise InvalidInput(
            f"inputs.0.datatype is {datatype!r}; for {name!r} it is {datatypes[name]!r}"
        )
    shape = tuple(given)
    _check_shape(name, shape, description)
    if shape[0] > max_rows:
        raise BodyTooLarge(
            f"the batch has {shape[0]} rows, more than {max_rows}; send fewer or raise "
            f"http.max_batch_rows in serve_config.yaml"
        )
    return shape


def as_array(data: list, datatype: str, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers in `data`, flat or nested as `shape` says.

    Raises:
        InvalidInput: it holds something else.
    """
    try:
        values = np.array(data)
    except (ValueError, OverflowError):  # rows of unequal length, integers beyond 64 bits
        values = np.array(None)
    if values.dtype.kind not in "iuf" or _holds_bool(data):
        raise InvalidInput(
            f"inputs.0.data must hold numbers for datatype {datatype}, flat or nested as "
            f"inputs.0.shape says; it holds other values or rows of unequal length"
        )
    if values.shape != shape and values.shape != (math.prod(shape),):
        raise InvalidInput(
            f"inputs.0.data has the shape {list(values.shape)}; inputs.0.shape says {list(shape)}, "
            f"so it may be that or flat with {math.prod(shape)} values"
        )
    return values.reshape(shape)


def checked(values: np.ndarray, datatype: str) -> np.ndarray:
    """The values as uint8 or float32, if the datatype can hold them.

    Raises:
        InvalidInput
    """
    if datatype == "UINT8":
        if values.dtype.kind == "f" or values.min() < 0 or values.max() > 255:
            raise InvalidInput("inputs.0.data: UINT8 values are whole numbers from 0 to 255")
        return values.astype(np.uint8)
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise InvalidInput(
            "inputs.0.data holds NaN or infinite values, or some that FP32 cannot hold; all must "
            "be finite"
        )
    return values


def _holds_bool(data: list) -> bool:
    """numpy reads true among numbers as 1; a tensor of numbers has none."""
    return any(_holds_bool(v) if isinstance(v, list) else isinstance(v, bool) for v in data)


def _check_shape(name: str, shape: tuple[int, ...], description: ModelDescription) -> None:
    if name == "input":
        fits = len(shape) > 1 and shape[1:] == description.input_shape and shape[0] > 0
        expected = [-1, *description.input_shape]
    else:
        assert description.preprocessing is not None
        channels = len(description.preprocessing.mean)
        fits = len(shape) == 4 and min(shape) > 0 and shape[3] in (1, channels)
        expected = [-1, -1, -1, channels]
    if not fits:
        one = " (or 1 channel)" if name == "image" and expected[-1] != 1 else ""
        raise InvalidInput(
            f"inputs.0.shape is {list(shape)}; for {name!r} it may be {expected}{one}, where -1 is "
            f"any number from 1"
        )
