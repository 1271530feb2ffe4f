"""Arrays and plain values as the frames of a message, and back. No pickle: what arrives can hold
numbers, text and nothing that runs.

The first frame is JSON, a list with an entry a value; an array's entry says its dtype and shape,
and its bytes follow as a frame of their own, which is not copied.
"""

import json
from collections.abc import Sequence

import numpy as np

DTYPES = {np.dtype(code).newbyteorder(order).str for code in "?bhilqBHILQefd" for order in "<>"}
"""That may travel: numbers and truth values, by name. No other name is looked into: NumPy reads
some as Python."""


class FrameError(ValueError):
    """Frames that `to_frames` did not make."""


def to_frames(values: Sequence) -> list[bytes | memoryview]:
    """
    Args:
        values: arrays of numbers, and what JSON can hold but lists and objects.
    """
    header, buffers = [], []
    for value in values:
        if isinstance(value, np.ndarray):
            header.append([value.dtype.str, value.shape])
            buffers.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        else:
            header.append(value)
    return [json.dumps(header).encode(), *buffers]


def from_frames(frames: Sequence[bytes | memoryview]) -> list:
    """The values; arrays are read-only views of the frames.

    Raises:
        FrameError: the frames hold no such values.
    """
    buffers = iter(frames[1:])
    try:
        return [
            _array(*entry, next(buffers)) if isinstance(entry, list) else entry
            for entry in json.loads(bytes(frames[0]))
        ]
    except (ValueError, TypeError, IndexError, StopIteration, RuntimeError) as error:
        raise FrameError(f"the message cannot be read: {error!r}") from error


def _array(dtype: str, shape: list[int], buffer: bytes | memoryview) -> np.ndarray:
    if dtype not in DTYPES or min(shape, default=0) < 0:
        raise ValueError(f"no array of {dtype} and shape {shape} may travel")
    return np.ndarray(tuple(shape), np.dtype(dtype), buffer)
