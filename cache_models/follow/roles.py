"""Which samples train, select and test: drawn by stretches of a stream, so that neighbours of what
trains do not test.

Samples of one block may show the same object. Roles are therefore drawn for stretches of several
blocks, and near a stretch of another role a sample selects and tests nothing (purging: Lopez de
Prado 2018). How near that is, is decided when samples are read, by the length that blocks are known
to have by then.
"""

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np

from cache_models.store.strata import SELECT, TEST, TRAIN

SHARES = {TRAIN: 0.3, SELECT: 0.2, TEST: 0.5}
NONE = 3
"""The role of a sample that is too near to others."""
UNKNOWN_S = 10.0
"""Length of a block before it is known."""
BLOCKS = 10
"""In a stretch: of test samples a tenth is lost at either end where another role begins."""


@dataclass(frozen=True)
class Roles:
    """
    Attributes:
        seed: of the draw, kept, so that it is the same after a restart.
        block_s: length of a block; 0 where every sample is one, None where it is not known.
        since: from when on it has been that, by `time.time`.
    """

    seed: int
    block_s: float | None = None
    since: float = 0.0

    @property
    def apart_s(self) -> float:
        """So far from other roles a sample must be to select or test."""
        return UNKNOWN_S if self.block_s is None else self.block_s

    def draw(self, stream: int, at: float, rng: np.random.Generator) -> tuple[int, float]:
        """A sample's role, and how far it is from samples that may have another, in seconds.

        Args:
            rng: for samples that are blocks of their own.
        """
        if self.block_s == 0:
            return _role(rng.random()), 0.0
        stretch_s = UNKNOWN_S if self.block_s is None else BLOCKS * self.block_s
        place = int(at // stretch_s)
        before, role, after = (
            _of_stretch(self.seed, stream, stretch_s, place + i) for i in (-1, 0, 1)
        )
        into_s = at - place * stretch_s
        return role, min(
            into_s + stretch_s * (before == role),
            stretch_s - into_s + stretch_s * (after == role),
            abs(at - self.since),  # before, stretches were others
        )


@cache
def _bounds() -> np.ndarray:
    return np.cumsum(list(SHARES.values()))


def _role(uniform: float) -> int:
    return int(list(SHARES)[np.searchsorted(_bounds()[:-1], uniform, side="right")])


def _of_stretch(seed: int, stream: int, stretch_s: float, place: int) -> int:
    digest = hashlib.blake2b(f"{seed} {stream} {stretch_s} {place}".encode(), digest_size=8)
    return _role(int.from_bytes(digest.digest(), "little") / 2**64)
