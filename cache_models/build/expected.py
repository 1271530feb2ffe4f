"""What to expect of a plan."""

from collections.abc import Sequence

import numpy as np

from cache_models.build.pricing import Outcome, Pricing, compute_ms_by_exit, latency_ms_by_exit
from cache_models.promise.promise import Promise, cascade
from cache_models.store.plan import Expected


def expect(
    caches: list[Outcome],
    predictions: Sequence[np.ndarray],
    confidences: Sequence[np.ndarray],
    tops: Sequence[np.ndarray],
    answers: np.ndarray,
    promise: Promise,
    pricing: Pricing,
    oracle_ms: float,
) -> Expected:
    """What N calibration samples would have met with `caches`, in execution order.

    Args:
        predictions, confidences: of each cache, as for `promise.cascade`.
        tops: the probability of each prediction, `(N,)`.
        answers: the base DNN's labels, `(N,)`.
    """
    latency_ms = latency_ms_by_exit(caches, pricing)
    compute_ms = compute_ms_by_exit(
        [o.cut_point.compute_share for o in caches],
        [o.lookup_ms for o in caches],
        pricing.base_ms,
    )
    exits, labels = np.zeros(len(answers), int), np.full(len(answers), -1)
    probabilities = np.zeros(len(answers))
    if caches:
        exits, labels = cascade(predictions, confidences, promise.threshold)
        probabilities = np.choose(exits, [*tops, probabilities])
    hits = labels >= 0
    shares = np.bincount(exits, minlength=len(caches) + 1) / len(exits)
    names = [o.cut_point.name for o in caches]
    return Expected(
        latency_ms=float(latency_ms[exits].mean()),
        base_latency_ms=pricing.rest_ms(None),
        compute_ms=float(compute_ms[exits].mean()),
        base_compute_ms=pricing.base_ms,
        oracle_compute_ms=oracle_ms,
        hit_rate=float(hits.mean()),
        disagreement=float((hits & (labels != answers)).mean()),
        hit_calibration_error=_calibration_error(probabilities[hits], (labels == answers)[hits]),
        exits=dict(zip([*names, "base"], shares.tolist(), strict=True)),
    )


def _calibration_error(probabilities: np.ndarray, agrees: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (Naeini et al. 2015) of hits' probabilities; 0 without hits."""
    if not len(probabilities):
        return 0.0
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = np.bincount(place, probabilities - agrees, minlength=bins)
    return float(np.abs(gaps).sum() / len(probabilities))
