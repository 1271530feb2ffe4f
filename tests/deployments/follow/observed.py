"""What a router tells of a request, for tests of who hears it."""

import time

from cache_models.cascade import Said
from deployments.follow.messages import Observation, Report

SURE = 0.9999


def observation(
    base_class_id=1, said=1, version=7, weight=1.0, caches=1, exit="base", **more
) -> Observation:
    """Of a request that all caches are sure of.

    Args:
        said: their label.
    """
    return Observation(
        base_class_id=base_class_id,
        exit=exit,
        said=(Said(said, SURE),) * caches,
        version=version,
        weight=weight,
        stands_for=max(1.0, weight),
        stream="",
        at=time.time(),
        asked=None,
        resized=False,
        probabilities=None,
    )._replace(**more)


def report(observations=(), answered=0, spent_s=0.0) -> Report:
    return Report(list(observations), answered, spent_s)
