"""How long samples of the traffic stay alike, as far as caches and base DNN can tell."""

from collections.abc import Sequence

import numpy as np

from cache_models.promise.blocks import block_length

Seen = tuple[int, int, float, float | None, np.ndarray]
"""A sample's class, stream, moment, agreement (None or NaN if not known), and probabilities."""


def block_seconds(seen: Sequence[Seen]) -> float | None:
    """Length of a block, by what samples agree on; where that is known of too few, by how sure the
    base DNN is, which objects that stay have in common, too. As `block_length`."""
    agreeing = [row for row in seen if row[3] is not None and row[3] == row[3]]
    found = _length(agreeing, [row[3] for row in agreeing])
    if found is not None:
        return found
    return _length(seen, [-np.log(1 + 1e-6 - float(np.max(row[4]))) for row in seen])


def _length(seen: Sequence[Seen], signal: list) -> float | None:
    if not seen:
        return None
    classes, streams, at = (np.array([row[i] for row in seen]) for i in range(3))
    return block_length(np.array(signal, float), classes, streams, at)
