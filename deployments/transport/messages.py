"""What deployments say to each other. Nothing here needs PyTorch, which takes seconds to import."""

from typing import NamedTuple

import numpy as np

from cache_models.network.stages import Activation, Answer, Verdict

REPLIES = {kind.__name__: kind for kind in (Activation, Answer, Verdict)}


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
        resized: as for `Partition.run`.
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


class Prior(NamedTuple):
    """What the class mix of the moment changes in caches that were trained and tested on another.

    Attributes:
        log_ratio: `(K,)` of both mixes, to add to a predictor's scores; None changes nothing.
        threshold: of the selectors' probability of agreement; None is the version's own.
    """

    log_ratio: np.ndarray | None = None
    threshold: float | None = None


class Control(NamedTuple):
    """What the trainer tells the routers.

    Attributes:
        mode: `serve`, `shadow` or `off`.
        caches_on: whether caches may answer.
        sample_rate: share of requests to run on to the base DNN's end.
        version: of the caches; None where the trainer does not know it yet.
        prior: for the class mix of the moment.
        judge: whether there is anything to judge, by asking the caches of a sampled request that
            the base DNN has answered.
    """

    mode: str
    caches_on: bool
    sample_rate: float
    version: int | None
    prior: Prior = Prior()
    judge: bool = True
