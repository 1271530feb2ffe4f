"""Samples of streams, frames of a camera or sentences of a user: which of them know nothing of each
other, as far as caches can tell.

Frames that show the same are right or wrong together, and so may be crops of one frame. How far
apart samples must be is measured on those that select, by the caches that were chosen there; then
of every block of those that calibrate one counts.
"""

from dataclasses import dataclass

import numpy as np

from cache_models.data.streams import Streams
from cache_models.promise.blocks import alike_at_once, block_length, block_numbers
from cache_models.promise.units import units


@dataclass(frozen=True)
class Dependence:
    """
    Attributes:
        of: all samples.
        block: seconds in a block; 0 where every sample is one, None where too little is there to
            tell.
        together: whether samples of the same moment are of one block.
    """

    of: Streams
    block: float | None
    together: bool

    def independent(self, rows: np.ndarray, since: float) -> np.ndarray:
        """Those of samples `rows` that may test: one of every block, drawn at random, none within a
        block of the moment `since`, before which others learned."""
        if self.block is None:
            return rows[:0]
        rows = rows[self.of.at[rows] - since > self.block]
        at, streams = self.of.at[rows], self.of.keys[rows]
        if self.together:
            streams = np.zeros_like(streams)
        blocks = block_numbers(streams, at, self.block) if self.block else rows
        return rows[units(blocks, np.ones(len(rows)), np.random.default_rng(0))]

    def told(self, samples: int, independent: int, needed: int) -> str:
        """For people.

        Args:
            needed: independent samples, at least, to promise anything.
        """
        if self.block is None:
            found = "too few differ to tell how long they stay alike, so none count"
        else:
            each = "streams count together" if self.together else "each stream for itself"
            found = (
                f"disagreements are alike within {self.block / 2:g} s (measured"
                f"{f', {each}' if self.of.keys.max() > 0 else ''}), so {samples} samples to "
                f"calibrate on count as {independent} independent ones"
            )
        lacking = "" if independent >= needed else f"; {needed} are needed, so no cache is deployed"
        return f"samples depend on their neighbours: {found}{lacking}"


def dependence(
    of: Streams,
    rows: np.ndarray,
    predictions: np.ndarray,
    confidences: np.ndarray,
    answers: np.ndarray,
) -> Dependence:
    """
    Args:
        of: all samples.
        rows: of those that select, `(n,)`.
        predictions, confidences, answers: of the first cache about them, and the base DNN's labels,
            `(n,)`.
    """
    agreement = np.where(predictions == answers, confidences, -confidences)
    at, streams = of.at[rows], of.keys[rows]
    block = block_length(agreement, answers, streams, at)
    moments, moment = np.unique(at, return_inverse=True)
    if block is None or len(moments) == len(at):
        return Dependence(of, block, together=False)
    # half a block, as products of two streams are soon less alike than what they are products of
    stretches = np.floor(2 * at / block) if block else moment
    together = alike_at_once(agreement, answers, moment, stretches)
    step = float(np.diff(moments).min())
    return Dependence(of, max(block, step) if together else block, together)
