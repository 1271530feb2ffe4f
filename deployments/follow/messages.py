"""What routers and the trainer say to each other. Nothing here needs PyTorch."""

from typing import NamedTuple

import numpy as np

from cache_models.cascade import Control
from deployments.config import Mode


class Observation(NamedTuple):
    """A request's row of which the base DNN's answer is known.

    Attributes:
        exit: of the cascade, a cut point or `base`.
        class_id, base_class_id: the cascade's and the base DNN's label.
        version: of the caches.
        inclusion: probability with which it was sampled, whatever it was; 0 for one that was not,
            and is known because it missed everywhere, or caches were off.
        known: probability with which the base DNN's answer to it became known.
        asked: what the lookup at each cut point was or would be asked, a row each; or None.
        resized: as for `Run`.
        probabilities: the base DNN's, `(K,)`.
    """

    exit: str
    class_id: int
    base_class_id: int
    version: int
    inclusion: float
    known: float
    asked: tuple[np.ndarray, ...] | None
    resized: bool
    probabilities: np.ndarray | None


class Instructions(NamedTuple):
    """What the trainer tells the routers.

    Attributes:
        mode: that operators want.
        sample_rate: share of requests to run on to the base DNN's end.
        judge: whether there is anything to judge, by asking the caches of a sampled request that
            the base DNN has answered.
        control: what requests are answered with, once every lookup has its version.
    """

    mode: Mode
    sample_rate: float
    judge: bool
    control: Control
