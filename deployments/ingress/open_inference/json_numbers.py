"""Long arrays of numbers out of JSON, and into it, piece by piece.

A JSON library holds the interpreter's lock for as long as it reads or writes one document: half a
second for 10 MB, in which no event loop of the process runs, whatever thread it happens in. Between
pieces other threads have their turn.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic_core import from_json, to_json

PIECE = 16 * 1024
"""Bytes read or values written in one go: a millisecond or two."""
LARGE_PIECE = 1024 * 1024
"""Bytes that are only translated in one go, in as many milliseconds."""
SPACE = b" \t\r\n"
DIGITS = b"0123456789eE+-."
AS_ZEROS = bytes.maketrans(DIGITS, b"0" * len(DIGITS))
WITHOUT_BRACKETS = bytes.maketrans(b"[]", b"  ")


def read(text: bytes, shape: Sequence[int]) -> np.ndarray | None:
    """A JSON array of numbers as an array of `shape`; None if it is anything else, or holds other
    values, which is for somebody else to name.

    Args:
        text: flat, or nested as `shape` says.
    """
    if math.prod(shape) > len(text):
        return None
    form = _translated(text, AS_ZEROS, SPACE)
    skeleton = _translated(form, None, b"0")
    if skeleton not in (_skeleton((math.prod(shape),)), _skeleton(shape)):
        return None
    if _has_number_beside_bracket(form):
        return None
    flat = _translated(text, WITHOUT_BRACKETS)
    try:
        parts = [np.array(from_json(b"[%b]" % flat[a:b])) for a, b in _pieces(flat)]
        if any(part.dtype not in (np.int64, np.float64) for part in parts):
            return None  # numbers beyond 64 bits
        return np.concatenate(parts).reshape(shape)
    except ValueError:
        return None


def write(values: np.ndarray) -> bytes:
    """A flat JSON array of all values, in order."""
    flat = values.reshape(-1)
    pieces = (flat[i : i + PIECE] for i in range(0, len(flat), PIECE))
    return b"[%b]" % b",".join(to_json(piece.tolist())[1:-1] for piece in pieces)


def _has_number_beside_bracket(form: bytes) -> bool:
    """With no comma between: `0[` or `]0`."""
    codes = np.frombuffer(form, np.uint8)  # numpy lets others have their turn
    opens, closes = (np.flatnonzero(codes == ord(bracket)) for bracket in "[]")
    beside = np.concatenate([codes[opens[1:] - 1], codes[closes[:-1] + 1]])
    return bool((beside == ord("0")).any())


def _translated(text: bytes, table: bytes | None, delete: bytes = b"") -> bytes:
    """As `text.translate`, but others have their turn meanwhile."""
    parts = (text[i : i + LARGE_PIECE] for i in range(0, len(text), LARGE_PIECE))
    return b"".join(part.translate(table, delete) for part in parts)


def _skeleton(shape: Sequence[int]) -> bytes:
    """What is left of an array when its numbers are taken out."""
    *outer, innermost = shape
    text = b"[%b]" % (b"," * (innermost - 1))
    for length in reversed(outer):
        text = b"[%b]" % b",".join([text] * length)
    return text


def _pieces(flat: bytes) -> Iterator[tuple[int, int]]:
    """Where each begins and ends, between two commas."""
    start = 0
    while start < len(flat):
        comma = flat.find(b",", start + PIECE)
        end = len(flat) if comma < 0 else comma
        yield start, end
        start = end + 1
