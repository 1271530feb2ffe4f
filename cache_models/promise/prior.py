"""How sharp may the class prior be, and from where on may caches be trusted? Judged on simulated
streams in which outside classes arrive.

A sharp prior saves most and is the danger, too: when a class comes that it has talked down, it
turns that class into a confident mistake until the prior has followed. And a threshold that keeps
the promise on the mix of the build is too loose for a mix of hard classes, and too strict for one
of easy ones. So for every least share that a class may keep, the thresholds are tried from strict
to loose on streams drawn from calibration samples, with the mix of the moment, with classes that
come as often as lately (and a margin), and with a prior that learns as in service: late, and from
misses and samples alone. Of the pairs that pass, the one with the least expected latency is served.
The streams are a model of the traffic: what passes is an estimate, not the promise.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel

from cache_models.promise.promise import Limits
from cache_models.promise.streams import Heard, Said, simulate

LEAST_SHARES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05)
"""Prudent to bold, beginning with none; fixed, so never tuned."""
UNKNOWN = 0.1


class PriorRecord(BaseModel):
    """What was found for one mix.

    Attributes:
        least_share: of the pair that is served; 1 is no prior.
        threshold: likewise, on the selectors' probability of agreement.
        disagreement: expected of all answers on the simulated streams.
        settled, arriving: the parts of it from classes that were there, and that had just come.
        exits: expected shares of requests by exit, the base DNN last.
        arrivals_per_request: assumed.
    """

    least_share: float
    threshold: float
    disagreement: float
    settled: float
    arriving: float
    exits: list[float]
    arrivals_per_request: float


def calibrate_prior(
    said: Said,
    trained: np.ndarray,
    mix: np.ndarray,
    arrivals_per_request: float,
    threshold: float,
    sample_rate: float,
    limits: Limits,
    exit_ms: Sequence[float],
    excess: float = 1.0,
    seed: int = 0,
) -> PriorRecord | None:
    """The pair of least share and threshold with the least expected latency of those whose
    simulated disagreement passes the test of `max_disagreement`.

    The test is binomial, on as many samples as the streams' draws are worth (Kish 1965); thresholds
    are tried from strict to loose, and the first to fail is the end.

    Args:
        trained: `(K,)` shares that the predictors learned on.
        mix: `(K,)` shares of the recent requests.
        threshold: that was tested without a prior.
        sample_rate: of hits that the prior learns from.
        exit_ms: latency by exit, the base DNN last.
        excess: so many times more mistakes than simulated are to be expected.

    Returns:
        Where nothing passes, no prior and a threshold that nothing reaches; None where more than
        `UNKNOWN` of the mix is of classes without calibration samples.
    """
    known = np.bincount(said.answers, minlength=len(mix)) > 0
    if mix[known].sum() < (1 - UNKNOWN) * mix.sum() or not mix.sum():
        return None
    best, least_ms = None, np.inf
    for least_share in LEAST_SHARES:

        def heard(served: float, share: float = least_share) -> Heard:
            """When `served` decides what misses, and the prior learns from."""
            rng = np.random.default_rng(seed)
            return simulate(
                said, trained, share, mix, arrivals_per_request, served, sample_rate, rng
            )

        loosest = heard(threshold).loosest(limits, excess)
        again = heard(loosest)  # which lets the prior see more or less than the first
        served = max(loosest, again.loosest(limits, excess))
        record = _record(again, served, least_share, arrivals_per_request)
        expected_ms = float(np.dot(record.exits, exit_ms))
        if expected_ms < least_ms:
            best, least_ms = record, expected_ms
    return best


def _record(heard: Heard, threshold: float, least_share: float, arrivals: float) -> PriorRecord:
    exits, wrong = heard.at(threshold)
    return PriorRecord(
        least_share=least_share,
        threshold=threshold,
        disagreement=wrong.mean(),
        settled=(wrong & ~heard.arriving).mean(),
        arriving=(wrong & heard.arriving).mean(),
        exits=(np.bincount(exits, minlength=len(heard.predictions) + 1) / len(exits)).tolist(),
        arrivals_per_request=arrivals,
    )
