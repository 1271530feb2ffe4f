"""What recent requests look like: the mix of classes, and how many of them caches answer."""

import numpy as np

MEMORY = 300.0
"""Requests after which one counts half."""
USUAL = 10_000.0
"""The same, of what is usual."""


class Recent:
    """Learned from rows that missed everywhere, all of which are known, and from sampled ones that
    hit, each with the inverse of the probability that its answer became known (Horvitz and Thompson
    1952); never from a cache's own answer.

    Args:
        shares: of the classes, `(K,)`, to begin with.
        hit_rate: likewise.

    Attributes:
        hit_rate: share of the recent requests that caches have answered.
        usual: the same over many more.

    >>> recent = Recent(np.full(4, 0.25), hit_rate=0.5)
    >>> for _ in range(300):
    ...     recent.advance(10, missed=4)
    ...     recent.observe(2, 10.0)
    >>> recent.shares.round(2), round(recent.hit_rate, 2)
    (array([0., 0., 1., 0.]), 0.6)
    """

    def __init__(self, shares: np.ndarray, hit_rate: float):
        self._seen = MEMORY * np.asarray(shares, float)
        self.hit_rate = self.usual = hit_rate

    def advance(self, requests: int, missed: float | None) -> None:
        """So many have been answered since the last call, and so many of them by the base DNN; None
        where caches might not answer."""
        kept, kept_usual = (0.5 ** (requests / memory) for memory in (MEMORY, USUAL))
        self._seen *= kept
        if not requests or missed is None:
            return
        hits = 1 - min(1.0, missed / requests)
        self.hit_rate = kept * self.hit_rate + (1 - kept) * hits
        self.usual = kept_usual * self.usual + (1 - kept_usual) * hits

    def observe(self, class_id: int, stands_for: float) -> None:
        """Take in one of the base DNN's answers."""
        self._seen[class_id] += stands_for

    @property
    def shares(self) -> np.ndarray:
        """Of the classes, `(K,)`."""
        return self._seen / max(self._seen.sum(), 1e-9)
