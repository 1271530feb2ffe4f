"""Frames of a video: which of them know nothing of each other, as far as caches can tell.

Frames that show the same are right or wrong together, and so may be crops of one frame. How far
apart frames must be is measured on those that select, by the caches that were chosen there; then of
every so many frames of those that calibrate one counts.
"""

from dataclasses import dataclass

import numpy as np

from cache_models.promise.blocks import block_length, block_numbers
from cache_models.promise.units import units


@dataclass(frozen=True)
class Dependence:
    """
    Attributes:
        crops: of every frame, one sample each, frame by frame.
        block: frames in a block; 0 where every one is, None where too little is there to tell.
        together: whether crops of the same frame are of one block.
    """

    crops: int
    block: float | None
    together: bool

    def independent(self, rows: np.ndarray, border: int) -> np.ndarray:
        """Those of samples `rows` that may test: one of every block, drawn at random, none within a
        block of the sample `border`, before which others learned."""
        if self.block is None:
            return rows[:0]
        rows = rows[(rows - border) // self.crops > self.block]
        frames, crops = np.divmod(rows, self.crops)
        streams = np.zeros_like(crops) if self.together else crops
        blocks = block_numbers(streams, frames, self.block) if self.block else rows
        return rows[units(blocks, np.ones(len(rows)), np.random.default_rng(0))]

    def told(self, samples: int, independent: int, needed: int) -> str:
        """For people.

        Args:
            needed: independent samples, at least, to promise anything.
        """
        if self.block is None:
            found = "too few differ to tell how long frames stay alike, so none count"
        else:
            crops = "crops of a frame count together" if self.together else "each crop for itself"
            found = (
                f"disagreements of frames are alike within {self.block / 2:g} frames (measured"
                f"{f', {crops}' if self.crops > 1 else ''}), so {samples} samples to calibrate on "
                f"count as {independent} independent ones"
            )
        lacking = "" if independent >= needed else f"; {needed} are needed, so no cache is deployed"
        return f"samples depend on their neighbours: {found}{lacking}"


def dependence(
    crops: int,
    rows: np.ndarray,
    predictions: np.ndarray,
    confidences: np.ndarray,
    answers: np.ndarray,
) -> Dependence:
    """
    Args:
        rows: samples, `(n,)`.
        predictions, confidences, answers: of the first cache about them, and the base DNN's labels,
            `(n,)`.
    """
    agreement = np.where(predictions == answers, confidences, -confidences)
    frame, crop = np.divmod(rows, crops)
    block = block_length(agreement, answers, crop, frame)
    if crops == 1 or block is None:
        return Dependence(crops, block, together=False)
    # of frames that know nothing of each other; where they are few, crops may well be alike
    apart = frame % max(1, int(block)) == 0
    together = block_length(agreement[apart], answers[apart], frame[apart], crop[apart]) != 0
    return Dependence(crops, max(block, 1.0) if together else block, together)
