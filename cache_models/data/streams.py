"""Of which streams samples are: a camera, a speaker, a user."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cache_models.data.npz import arrays_in


class Streams(NamedTuple):
    """Of which streams N samples are, and when they came.

    Attributes:
        keys: `(N,)` int64, any numbers from 0; -1 for a sample of none.
        at: `(N,)` float64, in seconds.
    """

    keys: np.ndarray
    at: np.ndarray

    @classmethod
    def of_frames(cls, samples: int, crops: int, rate: float) -> "Streams":
        """Of a video with so many crops a frame, each a stream, frame by frame.

        Args:
            rate: frames a second.
        """
        frame, crop = np.divmod(np.arange(samples), crops)
        return cls(crop.astype(np.int64), frame / rate)

    def and_others(self, count: int) -> "Streams":
        """With so many samples more, of no stream."""
        keys = np.append(self.keys, np.full(count, -1))
        return Streams(keys, np.append(self.at, np.zeros(count)))


def streams_in(path: Path) -> Streams | None:
    """`streams` and `at` in an `.npz`; None where they are not there.

    Raises:
        DataError: they cannot be read.
    """
    if (found := arrays_in(path, streams=None, at=float)) is None:
        return None
    names, at = found
    return Streams(np.unique(names, return_inverse=True)[1].astype(np.int64), at)
