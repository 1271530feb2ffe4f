"""Contenders that give an earlier answer once more."""

import time
from functools import partial

import numpy as np

from cache_models.bench.contest import Contest
from cache_models.bench.reuse import Earlier, Kind, fitting
from cache_models.bench.rows import Row
from cache_models.data.samples import Samples
from cache_models.network.stages import BASE

NAMES: dict[Kind, str] = {
    "exact": "the very same input",
    "hash": "perceptual hash",
    "difference": "difference detector",
}
"""Of what gives an earlier answer once more."""


def reused(contest: Contest, kind: Kind, samples: Samples, tests: Samples) -> Row:
    """An earlier answer to what is near enough: how near is fitted to the samples that calibrate,
    in the order in which they came; the test samples find nothing remembered at first."""
    data, answers = contest.data, contest.test.answers
    elsewhere = np.append(data.train, data.select)
    rows, keys = _as_they_came(samples, np.setdiff1d(np.arange(len(samples.images)), elsewhere))
    given = [samples.images[row] for row in rows]
    counted = np.isin(rows, data.calibrate)
    limit = fitting(kind, given, keys, contest.answers[rows], contest.limits, counted)
    if limit is None:
        return contest.off(NAMES[kind])
    earlier = Earlier(kind, limit)
    exits, labels = np.ones(len(answers), int), np.full(len(answers), -1)
    start = time.perf_counter()
    for row, key in zip(*_as_they_came(tests, np.arange(len(answers))), strict=True):
        label, hit = earlier.answer(tests.images[row], key, partial(int, answers[row]))
        if hit:
            exits[row], labels[row] = 0, label
    lookup_ms = (time.perf_counter() - start) / len(answers) * 1e3
    base_ms = contest.pricing.base_ms
    hop_ms = contest.pricing.rest_ms(None) - base_ms
    compute_ms = np.array([lookup_ms, lookup_ms + base_ms])
    flops = np.array([0, contest.base_flops])
    return contest.row(
        NAMES[kind],
        [kind, BASE],
        exits,
        labels,
        compute_ms + hop_ms,
        compute_ms,
        flops,
        earlier.memory_bytes,
        lookup_ms,
    )


def _as_they_came(samples: Samples, rows: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Some of the samples in their order, and of which streams they are."""
    if samples.streams is None:
        return rows, [""] * len(rows)
    rows = rows[np.argsort(samples.streams.at[rows], kind="stable")]
    return rows, [str(key) for key in samples.streams.keys[rows]]
