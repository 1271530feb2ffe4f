"""Which items stand for the groups that are asked for, and how often each of many comes."""

import numpy as np


def of_groups(
    wanted: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Items and rounds, `(n,)`: of each group in random order, and where they run out, once more.

    Args:
        wanted: the group of each request, `(n,)`, of which there are items.
        groups: of each item, `(N,)`.
    """
    items, rounds = np.empty(len(wanted), int), np.empty(len(wanted), int)
    for group in np.unique(wanted):
        places = np.flatnonzero(wanted == group)
        turns = np.arange(len(places))
        there = rng.permutation(np.flatnonzero(groups == group))
        items[places] = there[turns % len(there)]
        rounds[places] = turns // len(there)
    return items, rounds


def zipf_weights(count: int, s: float) -> np.ndarray:
    """Shares as 1 / r^s, most first, `(count,)`."""
    weights = np.arange(1, count + 1, dtype=float) ** -s
    return weights / weights.sum()


def occurrences(items: np.ndarray) -> np.ndarray:
    """How often each has come before, `(n,)`.

    >>> occurrences(np.array([5, 2, 5, 5])).tolist()
    [0, 0, 1, 2]
    """
    order = np.argsort(items, kind="stable")
    _, starts, counts = np.unique(items[order], return_index=True, return_counts=True)
    found = np.empty(len(items), int)
    found[order] = np.arange(len(items)) - np.repeat(starts, counts)
    return found
