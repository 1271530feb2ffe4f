"""What a model takes: names, datatypes and shapes of tensors, and how values become what it
computes with.

Values may come in any datatype, if they are the same afterwards: to a model, 7 as INT64 is 7.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from cache_models.network.description import ModelDescription
from deployments.config import HttpLimits
from deployments.ingress.errors import BodyTooLarge, InvalidInput, RequestError
from deployments.ingress.open_inference.datatypes import DTYPES

FLOATS = ("FP16", "BF16", "FP32", "FP64")
MOST_EXACT = 2**24
"""Up to here FP32 holds every whole number."""


class Signature:
    """Of one model: either `image`, decoded pixels `(B, h, w, C)` of any size as UINT8, or `input`,
    what the base DNN itself takes, `(B, *input_shape)` as FP32. Models of tokens take, in place of
    `image`, each of their inputs by its name, `(B, tokens)` as INT64; others `input` alone.

    Attributes:
        needed: the names of what a request carries, unless it carries `input`.
    """

    def __init__(self, description: ModelDescription, limits: HttpLimits):
        self._limits = limits
        self._input_shape = description.input_shape
        preprocessing = description.preprocessing
        self._channels = len(preprocessing.mean) if preprocessing else 0
        self._token_inputs = description.token_inputs
        self.needed = ("image",) if preprocessing else self._token_inputs or ("input",)
        self._names = tuple(dict.fromkeys((*self.needed, "input")))

    def tensors(self) -> dict[str, tuple[str, list[int]]]:
        """Datatype and shape by name, -1 for any number."""
        all_of_them = {
            "image": ("UINT8", [-1, -1, -1, self._channels]),
            "input": ("FP32", [-1, *self._input_shape]),
            **{name: ("INT64", [-1, self._input_shape[-1]]) for name in self._token_inputs},
        }
        return {name: all_of_them[name] for name in self._names}

    def check(self, name: str, datatype: str, given: Sequence[int]) -> tuple[int, ...]:
        """The shape, if there is such a tensor; to be asked before values are read.

        Raises:
            InvalidInput, BodyTooLarge
        """
        if name not in self._names:
            raise InvalidInput(f"inputs.0.name is {name!r}; it may be {' or '.join(self._names)}")
        self._check_datatype(name, datatype)
        shape = tuple(given)
        self._check_shape(name, shape)
        if shape[0] > self._limits.max_batch_rows:
            raise BodyTooLarge(
                f"the batch has {shape[0]} rows, more than {self._limits.max_batch_rows}; send "
                f"fewer or raise http.max_batch_rows in serve_config.yaml"
            )
        size = math.prod(shape) * DTYPES[datatype].itemsize
        if size > self._limits.max_body_bytes:
            raise BodyTooLarge(
                f"the tensor {name!r} takes {size} bytes as {datatype}, more than "
                f"{self._limits.max_body_bytes}; send fewer rows or raise http.max_body_bytes in "
                f"serve_config.yaml"
            )
        return shape

    def _check_datatype(self, name: str, datatype: str) -> None:
        takes, _ = self.tensors()[name]
        if name == "image":
            fits = datatype in DTYPES and datatype not in FLOATS and datatype != "BOOL"
            others = "another type of integers whose values are within 0 to 255"
        else:
            fits = datatype in DTYPES
            others = "another of numbers that FP32 holds as they are"
        if not fits:
            raise InvalidInput(
                f"inputs.0.datatype is {datatype!r}; for {name!r} it is {takes!r}, or {others}"
            )

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        _, expected = self.tensors()[name]
        if name != "image":
            fits = len(shape) > 1 and list(shape[1:]) == expected[1:] and shape[0] > 0
        else:
            fits = len(shape) == 4 and min(shape) > 0 and shape[3] in (1, self._channels)
        if not fits:
            one = " (or 1 channel)" if name == "image" and expected[-1] != 1 else ""
            raise InvalidInput(
                f"inputs.0.shape is {list(shape)}; for {name!r} it may be {expected}{one}, where "
                f"-1 is any number from 1"
            )

    def taken(self, name: str, datatype: str, values: np.ndarray) -> np.ndarray:
        """The values as the model takes them, in memory of their own.

        Args:
            values: of the datatype.

        Raises:
            InvalidInput: they would not be the same.
        """
        if name == "image":
            _check(values, (values >= 0) & (values <= 255), "whole numbers from 0 to 255")
            return values.astype(np.uint8)
        with np.errstate(over="ignore", invalid="ignore"):
            taken = values.astype(np.float32)
        if datatype in FLOATS and not np.isfinite(taken).all():
            raise InvalidInput(
                "inputs.0.data holds NaN or infinite values, or some that FP32 cannot hold; all "
                "must be finite"
            )
        if datatype == "FP64":
            _check(values, taken == values, "such as FP32 holds exactly; send FP32")
        elif datatype not in FLOATS and datatype != "BOOL":
            small = (values <= MOST_EXACT) & (values >= -MOST_EXACT)
            _check(values, small, f"whole numbers within +-{MOST_EXACT}, which FP32 holds exactly")
        return taken

    def batch(self, inputs: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
        """What the base DNN is asked about: the one input, or those of tokens as the rows of one
        tensor `(B, inputs, tokens)`.

        Args:
            inputs: names and values, as `taken` gives them.

        Raises:
            InvalidInput: there are too few, too many or the wrong ones.
        """
        by_name, names = dict(inputs), [name for name, _ in inputs]
        if len(inputs) == 1 and names[0] not in self._token_inputs:
            return inputs[0][1]
        if not self._token_inputs or sorted(names) != sorted(self._token_inputs):
            raise InvalidInput(
                f"inputs: there are {names!r:.200}; there may be {list(self.needed)}, or 'input' "
                f"alone"
            )
        if len({len(values) for values in by_name.values()}) > 1:
            raise InvalidInput("inputs: all must have as many rows")
        return np.stack([by_name[name] for name in self._token_inputs], axis=1)


@contextmanager
def of_input(i: int) -> Iterator[None]:
    """Lets errors, which speak of the first input, speak of this one."""
    try:
        yield
    except RequestError as error:
        raise type(error)(str(error).replace("inputs.0", f"inputs.{i}")) from error


def as_array(data: list, datatype: str, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers in JSON's `data`, flat or nested as `shape` says.

    Raises:
        InvalidInput: it holds something else.
    """
    try:
        values = np.array(data)
    except (ValueError, OverflowError):  # rows of unequal length, integers beyond 64 bits
        values = np.array(None)
    kinds = "b" if datatype == "BOOL" else "iuf"
    if values.dtype.kind not in kinds or (datatype != "BOOL" and _holds_bool(data)):
        what = "true and false" if datatype == "BOOL" else "numbers"
        raise InvalidInput(
            f"inputs.0.data must hold {what} for datatype {datatype}, flat or nested as "
            f"inputs.0.shape says; it holds other values or rows of unequal length"
        )
    if values.shape != shape and values.shape != (math.prod(shape),):
        raise InvalidInput(
            f"inputs.0.data has the shape {list(values.shape)}; inputs.0.shape says {list(shape)}, "
            f"so it may be that or flat with {math.prod(shape)} values"
        )
    return values.reshape(shape)


def of_datatype(values: np.ndarray, datatype: str) -> np.ndarray:
    """Numbers of JSON as the datatype, if they are such; floats are rounded to it.

    Raises:
        InvalidInput
    """
    dtype = DTYPES[datatype]
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        rule = f"{datatype} values are whole numbers from {limits.min} to {limits.max}"
        if values.dtype.kind not in "iu":
            raise InvalidInput(f"inputs.0.data: {rule}")
        _check(values, (values >= limits.min) & (values <= limits.max), rule)
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(dtype)


def _check(values: np.ndarray, fits: np.ndarray, may_be: str) -> None:
    if not fits.all():
        first = values[~fits].ravel()[0]
        raise InvalidInput(f"inputs.0.data holds {first}; values may be {may_be}")


def _holds_bool(data: list) -> bool:
    """numpy reads true among numbers as 1; a tensor of numbers has none."""
    return any(_holds_bool(v) if isinstance(v, list) else isinstance(v, bool) for v in data)
