"""Bind each request late to just the computation that it needs.

1. A cache at the input, if the plan has one, is asked about the request as it came.
2. Partition 0 runs its slice and hands out features and the activation.
3. The lookup at that cut point reads the features: rows that hit have their answer.
4. The rows that missed go on to the next partition; the last one gives the base DNN's answer.

A lookup that fails or is late is a miss, never an error.
"""

import asyncio
import logging
import time
from dataclasses import dataclass

import numpy as np

from cache_models.cutting import INPUT
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
        partitions: in execution order, one more than `lookups`, or as many if the first of those is
            at the input.
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
            if name != INPUT
        ]
        self.row_bytes = max(self._activation_bytes, default=1)
        """Of the largest activation that travels."""
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
        partitions = zip(self._partitions, [*self._activation_bytes, 0], strict=True)
        for i, name in enumerate(self._plan.cut_points):
            if name == INPUT:
                asked = current
            else:
                partition, activation_bytes = next(partitions)
                out = await partition.call(
                    "run",
                    current,
                    resized and partition is self._partitions[0],
                    expected_bytes=len(rows) * max(carried, activation_bytes),
                )
                asked, current, carried = out.features, out.activation, activation_bytes
            if not use_caches:
                continue
            verdict = await self._look_up(i, asked, version, resized and name == INPUT)
            if verdict is None or not verdict.hits.any():
                continue
            hit = rows[verdict.hits]
            class_ids[hit] = verdict.class_ids[verdict.hits]
            probabilities[hit] = verdict.probabilities[verdict.hits]
            for row in hit:
                exits[row] = name
            rows, current = rows[~verdict.hits], current[~verdict.hits]
            if not len(rows):
                return Answers(class_ids, probabilities, exits, version)
        partition, _ = next(partitions)
        last = await partition.call(
            "run",
            current,
            resized and partition is self._partitions[0],
            expected_bytes=len(rows) * carried,
        )
        class_ids[rows], probabilities[rows] = last
        return Answers(class_ids, probabilities, exits, version)

    async def _look_up(
        self, index: int, asked: np.ndarray, version: int, resized: bool
    ) -> Verdict | None:
        """What the lookup says, or None where it fails or is late. After `MAX_FAILURES` in a row it
        is left alone for a while, so that requests do not wait for what is not there."""
        if time.monotonic() < self._closed_until[index]:
            return None
        lookup = self._lookups[index].call(
            "look_up", asked, version, resized, expected_bytes=asked.nbytes
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
