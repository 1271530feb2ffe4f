"""The protocol's names of datatypes, and tensors in their binary form."""

import struct

import ml_dtypes
import numpy as np

from deployments.ingress.errors import InvalidInput

DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""All but BYTES, which no model here takes."""
BINARY_ONLY = ("FP16", "BF16")
"""JSON and gRPC's typed contents have no numbers like these."""


def from_bytes(content: bytes | memoryview, datatype: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor out of its elements in row-major order, little-endian.

    Raises:
        InvalidInput: there are more or fewer of them.
    """
    dtype = DTYPES[datatype]
    values = np.frombuffer(content[: len(content) // dtype.itemsize * dtype.itemsize], dtype)
    if len(content) != values.nbytes or values.size != int(np.prod(shape, dtype=object)):
        raise InvalidInput(
            f"inputs.0 has {len(content)} bytes; its shape {list(shape)} and {datatype} say "
            f"{int(np.prod(shape, dtype=object)) * dtype.itemsize}"
        )
    return values.reshape(shape)


def to_bytes(values: np.ndarray) -> bytes:
    """A tensor's elements; of texts, each in UTF-8 behind its length in four bytes."""
    if values.dtype == object:
        encoded = (text.encode() for text in values.ravel())
        return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
    return values.astype("<f4", copy=False).tobytes()
