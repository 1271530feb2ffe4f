"""Which samples are kept to learn from: of every base class alike, in roles, and only so many.

A *stratum* is the samples of one class and role. Of each so many are wanted, one after the other;
where there is no room for all, those go first that would be the last of their stratum, so that all
strata shrink evenly and what rare classes leave goes to the others.
"""

import numpy as np

TRAIN, SELECT, TEST = 0, 1, 2
"""A sample's role, fixed when it arrives."""
WANTED = {TRAIN: 150, SELECT: 80, TEST: 300}
"""Samples of each base class."""


def kept(classes: np.ndarray, roles: np.ndarray, most: int) -> np.ndarray:
    """The samples to keep of N that come in random order: ascending indices, at most `most`.

    Args:
        classes, roles: `(N,)`.
    """
    filled = np.empty(len(roles))
    for role, wanted in WANTED.items():
        for class_id in np.unique(classes):
            rows = np.flatnonzero((roles == role) & (classes == class_id))
            filled[rows] = (np.arange(len(rows)) + 0.5) / wanted
    first = np.argsort(filled, kind="stable")[:most]
    return np.sort(first[filled[first] < 1])
