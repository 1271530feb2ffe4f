"""Arrays and plain values as the frames of a message, and back. No pickle: what arrives can hold
numbers, text and nothing that runs.

The first frame is JSON, a list with an entry a value; an array's entry says its dtype and shape,
and its bytes follow as a frame of their own, which is not copied. Where the other end sees this
one's memory, a large array's entry also says where it lies, and no frame follows.
"""

import json
from collections.abc import Iterator, Sequence

import numpy as np

from deployments.transport.shared_memory import Lent, Loan, Slot

DTYPES = {np.dtype(code).newbyteorder(order).str for code in "?bhilqBHILQefd" for order in "<>"}
"""That may travel: numbers and truth values, by name. No other name is looked into: NumPy reads
some as Python."""


class FrameError(ValueError):
    """Frames that `to_frames` did not make."""


def to_frames(values: Sequence, loan: Loan | None = None) -> list[bytes | memoryview]:
    """
    Args:
        values: arrays of numbers, and what JSON can hold but lists and objects.
        loan: for large arrays; by default the other end does not see them.

    Raises:
        Gone, Lost: a lent array is not there any more.
    """
    loan = loan or Loan(None)
    header, buffers = [], []
    for value in values:
        if isinstance(value, Lent):
            if loan.possible:
                header.append([value.dtype.str, value.shape, value.slot])
                continue
            value = value.read()
        if isinstance(value, np.ndarray):
            if (slot := loan.lend(value)) is not None:
                header.append([value.dtype.str, value.shape, slot])
                continue
            header.append([value.dtype.str, value.shape])
            buffers.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        else:
            header.append(value)
    return [json.dumps(header).encode(), *buffers]


def from_frames(frames: Sequence[bytes | memoryview]) -> list:
    """The values; arrays are read-only views of the frames, or `Lent`.

    Raises:
        FrameError: the frames hold no such values.
    """
    buffers = iter(frames[1:])
    try:
        return [
            _array(entry, buffers) if isinstance(entry, list) else entry
            for entry in json.loads(bytes(frames[0]))
        ]
    except (ValueError, TypeError, IndexError, StopIteration, RuntimeError) as error:
        raise FrameError(f"the message cannot be read: {error!r}") from error


def _array(entry: list, buffers: Iterator[bytes | memoryview]) -> np.ndarray | Lent:
    dtype, shape, *lent = entry
    if dtype not in DTYPES or min(shape, default=0) < 0:
        raise ValueError(f"no array of {dtype} and shape {shape} may travel")
    if not lent:
        return np.ndarray(tuple(shape), np.dtype(dtype), next(buffers))
    (place,) = lent
    if not shape or not all(type(number) is int for number in [*shape, *place]):
        raise ValueError(f"nothing of shape {shape} lies at {place}")
    return Lent(Slot(*place), np.dtype(dtype), tuple(shape))
