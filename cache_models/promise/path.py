"""Places on the path of thresholds, and what a request is answered at each."""

from collections.abc import Sequence

import numpy as np

from cache_models.promise.promise import PATH

OFF = -1
"""In place of a threshold's index: caches answer nothing."""


def path_through(threshold: float | None) -> np.ndarray:
    """`PATH`, and a threshold that was found on another one."""
    if threshold is None or np.isclose(PATH, threshold, rtol=0, atol=1e-9).any():
        return PATH
    return np.sort(np.append(PATH, threshold))[::-1]


def index_of(threshold: float | None, path: np.ndarray = PATH) -> int:
    """Of the loosest threshold of `path` that is no looser; `OFF` for None.

    >>> index_of(0.5), index_of(None), index_of(0.6) < index_of(0.5)
    (80, -1, True)
    """
    return OFF if threshold is None else int((path >= threshold - 1e-9).sum()) - 1


def wrong_at(
    labels: Sequence[int], confidences: Sequence[float], answer: int, path: np.ndarray = PATH
) -> np.ndarray:
    """Whether a request would be answered wrongly at each threshold, `(J,)` bool.

    Args:
        labels, confidences: what each cache says of it, in execution order.
        answer: the base DNN's label.
    """
    hits = np.asarray(confidences, float)[:, None] >= path
    first = hits.argmax(0)
    return hits.any(0) & (np.asarray(labels)[first] != answer)
