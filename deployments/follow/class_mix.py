"""The class mix of the moment: shares of the base DNN's answers among all recent requests."""

import numpy as np

MEMORY = 300.0
"""Requests after which an observation counts half."""


class ClassMix:
    """Learned from rows that missed everywhere, and from sampled ones that hit, each with the
    inverse of the probability that its answer became known (Horvitz and Thompson 1952); never from
    a cache's own answer.

    Args:
        shares: `(K,)`, to begin with.

    >>> mix = ClassMix(np.full(4, 0.25))
    >>> for _ in range(3000):
    ...     mix.advance(1)
    ...     mix.observe(2, 1.0)
    >>> mix.shares.round(2)
    array([0., 0., 1., 0.])
    """

    def __init__(self, shares: np.ndarray):
        self._seen = MEMORY * np.asarray(shares, float)

    def advance(self, requests: int) -> None:
        """So many have been answered since the last call."""
        self._seen *= 0.5 ** (requests / MEMORY)

    def observe(self, class_id: int, stands_for: float) -> None:
        """Take in one of the base DNN's answers."""
        self._seen[class_id] += stands_for

    @property
    def shares(self) -> np.ndarray:
        """`(K,)`."""
        return self._seen / max(self._seen.sum(), 1e-9)
