"""Bind each request late to just the computation that it needs.

1. Partition 0 runs its slice and hands out features and the activation.
2. The lookup at that cut point reads the features: rows that hit have their answer.
3. The rows that missed go on to the next partition; the last one gives the base DNN's answer.

A lookup that fails or is late is a miss, never an error.
"""

import asyncio
import logging
import time
from dataclasses import dataclass

import numpy as np

from cache_models.plan import Plan
from deployments.transport import Remote, Verdict

logger = logging.getLogger(__name__)

BASE = "base"
MAX_FAILURES = 3
CLOSED_S = 1.0


@dataclass
class Answers:
    """Of one request with B rows: labels `(B,)`, probabilities `(B, K)`, and each row's exit."""

    class_ids: np.ndarray
    probabilities: np.ndarray
    exits: list[str]
    cache_version: int


class LateBinding:
    """Walks requests through partitions and lookups.

    Args:
        partitions: in execution order, one more than `lookups`.
        version: of the caches; a request keeps the one it started with.
        failures: counts lookups that failed or were late, by cut point.
    """

    def __init__(
        self,
        plan: Plan,
        version: int,
        partitions: list[Remote],
        lookups: list[Remote],
        lookup_timeout_ms: float,
        bytes_per_value: int,
    ):
        self._plan = plan
        self._version = version
        self._partitions = partitions
        self._lookups = lookups
        self._timeout_s = lookup_timeout_ms / 1e3
        by_name = {point.name: point for point in plan.candidates}
        self._activation_bytes = [
            bytes_per_value * int(np.prod(by_name[name].activation_shape))
            for name in plan.cut_points
        ]
        self._in_a_row = [0] * len(lookups)
        self._closed_until = [0.0] * len(lookups)
        self.failures: dict[str, int] = {}

    async def answer(self, batch: np.ndarray, resized: bool, use_caches: bool) -> Answers:
        """The answers for `batch`, which is what `Partition.run` takes first."""
        version = self._version
        rows = np.arange(len(batch))
        exits = [BASE] * len(batch)
        classes = len(self._plan.description.classes)
        class_ids = np.empty(len(batch), np.int64)
        probabilities = np.empty((len(batch), classes), np.float32)
        current, carried = batch, batch[0].nbytes
        for i, partition in enumerate(self._partitions[:-1]):
            carried = max(carried, self._activation_bytes[i])
            out = await partition.call(
                "run", current, resized and i == 0, expected_bytes=len(rows) * carried
            )
            current, carried = out.activation, self._activation_bytes[i]
            if not use_caches:
                continue
            verdict = await self._look_up(i, out.features, version)
            if verdict is None or not verdict.hits.any():
                continue
            hit = rows[verdict.hits]
            class_ids[hit] = verdict.class_ids[verdict.hits]
            probabilities[hit] = verdict.probabilities[verdict.hits]
            for row in hit:
                exits[row] = self._plan.cut_points[i]
            rows, current = rows[~verdict.hits], current[~verdict.hits]
            if not len(rows):
                return Answers(class_ids, probabilities, exits, version)
        first = len(self._partitions) == 1
        last = await self._partitions[-1].call(
            "run", current, resized and first, expected_bytes=len(rows) * carried
        )
        class_ids[rows], probabilities[rows] = last
        return Answers(class_ids, probabilities, exits, version)

    async def _look_up(self, index: int, features: np.ndarray, version: int) -> Verdict | None:
        """What the lookup says, or None where it fails or is late. After `MAX_FAILURES` in a row it
        is left alone for a while, so that requests do not wait for what is not there."""
        if time.monotonic() < self._closed_until[index]:
            return None
        lookup = self._lookups[index].call(
            "look_up", features, version, expected_bytes=features.nbytes
        )
        try:
            verdict = await asyncio.wait_for(lookup, self._timeout_s)
        except Exception as error:
            name = self._plan.cut_points[index]
            self.failures[name] = self.failures.get(name, 0) + 1
            self._in_a_row[index] += 1
            if self._in_a_row[index] >= MAX_FAILURES:
                self._closed_until[index] = time.monotonic() + CLOSED_S
                logger.warning("lookup at %s left alone for %s s: %r", name, CLOSED_S, error)
            return None
        self._in_a_row[index] = 0
        return verdict
