"""What routers and the trainer say to each other. Nothing here needs PyTorch."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cache_models.cascade import Control, Said
from deployments.config import Mode


class Observation(NamedTuple):
    """One row of a request, of which the base DNN's answer is known.

    Attributes:
        base_class_id: the base DNN's label.
        exit: where the row's walk ended, a cut point or `base`.
        said: by each cache, in execution order; None of one that could not say.
        version: of the caches.
        weight: inverse of the probability with which just this row was sampled, whatever it was; 0
            for one that was not, and is known because it missed everywhere, or caches were off.
        stands_for: rows, with those whose answers do not become known.
        stream: that the request belongs to, as a keyed hash; empty if it named none.
        at: when it was answered, in seconds since the epoch.
        asked: what the lookup at each cut point was or would be asked, or None.
        resized: as for `Run`.
        probabilities: the base DNN's, `(K,)`, or None.
    """

    base_class_id: int
    exit: str
    said: Sequence[Said | None]
    version: int
    weight: float
    stands_for: float
    stream: str
    at: float
    asked: tuple[np.ndarray, ...] | None
    resized: bool
    probabilities: np.ndarray | None

    @property
    def agreement(self) -> float:
        """As of a `Sample`."""
        first = self.said[0] if self.said else None
        if first is None:
            return math.nan
        agrees = first.class_id == self.base_class_id
        return first.confidence if agrees else -first.confidence


class Report(NamedTuple):
    """What a router tells the trainer.

    Attributes:
        observations: since its last report.
        answered: rows.
        spent_s: processor time of running sampled requests on.
    """

    observations: Sequence[Observation]
    answered: int
    spent_s: float


class Instructions(NamedTuple):
    """What the trainer tells the routers.

    Attributes:
        mode: that operators want.
        sample_rate: share of requests to run on to the base DNN's end.
        judge: whether there is anything to judge, by asking the caches of a sampled request that
            the base DNN has answered.
        control: what requests are answered with, once every lookup has its version.
        forgotten: how often operators have had streams forgotten.
    """

    mode: Mode
    sample_rate: float
    judge: bool
    control: Control
    forgotten: int = 0
