"""What travels arrives as it was, and nothing else can be made to arrive."""

import json

import numpy as np
import pytest

from deployments.transport.frames import FrameError, from_frames, to_frames


def sent(frames):
    return [bytes(frame) for frame in frames]


def test_arrays_and_plain_values_arrive_as_they_were():
    values = [
        np.arange(6, dtype=np.float16).reshape(2, 3),
        np.array([True, False]),
        np.array([[1, 2], [3, 4]], np.int64).T,
        np.empty((0, 4), np.uint8),
        None,
        7,
        "text",
        True,
    ]
    for value, arrived in zip(values, from_frames(sent(to_frames(values))), strict=True):
        assert type(arrived) is type(value)
        if isinstance(value, np.ndarray):
            assert arrived.dtype == value.dtype and np.array_equal(arrived, value)
        else:
            assert arrived == value


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"{"],
        [b"7"],
        [json.dumps([["<f4", [3]]]).encode()],
        [json.dumps([["<f4", [3]]]).encode(), b"short"],
        [json.dumps([["|O", [1]]]).encode(), bytes(8)],
        [json.dumps([["<f4", [-1]]]).encode(), bytes(8)],
        [json.dumps([["nonsense", [1]]]).encode(), bytes(8)],
        [json.dumps([["(1,f4", [1]]]).encode(), bytes(8)],  # a syntax error, of Python
        [json.dumps([[["<f4"], [1]]]).encode(), bytes(8)],
        [b"[" * 100_000],
    ],
)
def test_other_frames_are_refused(frames):
    with pytest.raises(FrameError):
        from_frames(frames)
