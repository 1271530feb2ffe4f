"""Altered copies of what came lately: the base DNN is asked about them, so that predictors learn
from more than there was time to sample, as a build does."""

from collections.abc import Sequence

import numpy as np

from cache_models.data.augmentation import Augmented
from cache_models.follow.traffic import Sample
from cache_models.follow.traffic_log import TrafficLog
from cache_models.network.description import ModelDescription
from cache_models.network.engine.interface import Engine

BATCH = 4
"""Small, so that whoever copies beside requests can stop soon."""


def copy_some(
    log: TrafficLog, description: ModelDescription, engines: Sequence[Engine | None]
) -> bool:
    """Make copies of a few samples in `log`; False if all have one.

    Args:
        engines: of all slices of the base DNN; None for one that is nothing to run.
    """
    found = log.uncopied(BATCH)
    if found is None:
        return False
    ids, inputs, resized = found
    count = len(inputs)
    copied = Augmented(inputs, np.arange(count), 1, ids[0], description.of_tokens)
    altered = copied[count : 2 * count]
    activation, behind = description.inputs(altered, resized), []
    for engine in filter(None, engines[:-1]):
        features, activation = engine(activation)
        behind.append(features)
    assert engines[-1] is not None, "the last slice answers"
    _, probabilities = engines[-1](activation)
    log.add_copies(
        ids,
        [
            Sample(
                [part[i] for part in behind], probabilities[i], input=altered[i], resized=resized
            )
            for i in range(count)
        ],
    )
    return True
