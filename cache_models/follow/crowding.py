"""Of one block only a few samples are kept: they say little that is new, and a window of so many
samples should span as many blocks as it can.

Which ones is drawn by VarOpt sampling (Cohen, Duffield, Kaplan, Lund and Thorup 2011): those that
stay take over the weight of those that go, so that the block's is exact, and that of any of its
samples, say of one class, is right on average.
"""

import sqlite3
from collections.abc import Iterable

import numpy as np

PER_BLOCK = 2


def thin(db: sqlite3.Connection, blocks: Iterable[int], rng: np.random.Generator) -> None:
    """Leave no more than `PER_BLOCK` samples in each of `blocks`."""
    for block in blocks:
        rows = db.execute(
            "SELECT weight, id FROM samples WHERE block = ? ORDER BY id", (block,)
        ).fetchall()
        if len(rows) <= PER_BLOCK:
            continue
        kept = rows[:PER_BLOCK]
        for row in rows[PER_BLOCK:]:
            kept = without_one([*kept, row], rng)
        gone = {i for _, i in rows} - {i for _, i in kept}
        db.executemany("DELETE FROM samples WHERE id = ?", [(i,) for i in gone])
        db.executemany("UPDATE samples SET weight = ? WHERE id = ?", kept)


def without_one(
    weighted: list[tuple[float, int]], rng: np.random.Generator
) -> list[tuple[float, int]]:
    """All but one of some weights and their samples; they add up to what they did.

    >>> rng = np.random.default_rng(0)
    >>> without_one([(1.0, 7), (1.0, 8), (5.0, 9)], rng)
    [(2.0, 7), (5.0, 9)]
    """
    weighted = sorted(weighted)
    total, small = weighted[0][0] + weighted[1][0], 2
    while small < len(weighted) and weighted[small][0] < total / (small - 1):
        total, small = total + weighted[small][0], small + 1
    least = total / (small - 1)  # that a sample weighs afterwards
    goes = rng.choice(small, p=[1 - weight / least for weight, _ in weighted[:small]])
    return [
        (max(weight, least), sample)
        for place, (weight, sample) in enumerate(weighted)
        if place != goes
    ]
