"""Build a cache version: survey, record, explore, compose, calibrate, publish."""

from pathlib import Path

import numpy as np
import torch

from cache_models import prior_calibration, reservoir
from cache_models.base_dnn import BaseDNN
from cache_models.composition import (
    Outcome,
    Pricing,
    compose,
    compute_ms_by_exit,
    latency_ms_by_exit,
)
from cache_models.exploration import Explored, ask, explore, table
from cache_models.features import feature_shape, is_constant
from cache_models.learning_data import prepare
from cache_models.plan import CacheRecord, Expected, HopCost, Plan
from cache_models.promise import Limits, Promise, calibrate, cascade
from cache_models.samples import Samples
from cache_models.store import EXPLORATION, CacheVersion, Store


def build(
    base: BaseDNN,
    samples: Samples,
    data_name: str,
    store: Store,
    limits: Limits,
    hop: HopCost,
    folder: Path,
    device: str = "cpu",
    activation_bytes_per_value: int = 2,
    false_hit_cost: float = 1.0,
    seed: int = 0,
) -> CacheVersion:
    """Learn caches for `base` from `samples` and publish them as the store's current version.

    Args:
        samples: inputs without labels; those that depend on their neighbours are split in
            blocks of time.
        data_name: what the plan says that the samples were.
        folder: for recording and trained caches; a build goes on with what it finds there.

    Raises:
        DataError: there are too few images for the promise.
    """
    data = prepare(base, samples, limits, folder, device, activation_bytes_per_value, seed)
    model, costs, recording = data.model, data.costs, data.recording
    train, select, calibration = data.train, data.select, data.calibrate
    points = costs.candidates
    answers, classes = recording.answers, recording.probabilities.shape[1]
    constant = [p for p in points if is_constant(recording.features[p.name])]
    explored = []
    if len(np.unique(answers)) > 1:
        explored = explore(
            recording, costs, train, select, limits, folder / "caches", false_hit_cost, seed
        )
    pricing = Pricing(costs.base_ms, samples.images[0].nbytes, 4 * classes, hop)
    outcomes = [e.outcome for e in explored]
    chosen = compose(outcomes, answers[select], classes, pricing, limits, len(calibration))
    chosen = [e for o in chosen for e in explored if e.outcome is o]
    said = [ask(e.cache, recording.features[e.outcome.cut_point.name], calibration) for e in chosen]

    predictions, confidences, tops = zip(*said, strict=True) if said else ((), (), ())
    promise = calibrate(predictions, confidences, answers[calibration], classes, limits)
    oracle = _oracle_ms(outcomes, answers[select], costs.base_ms)
    if promise.threshold is None:
        chosen = []
    names = [e.outcome.cut_point.name for e in chosen]
    plan = Plan(
        model=base.reference,
        fingerprint=base.fingerprint(),
        description=base.description,
        candidates=points,
        class_shares=tuple(np.bincount(answers[train], minlength=classes) / len(train)),
        caches=[
            CacheRecord(
                cut_point=name,
                file=f"{name}.safetensors",
                variant=e.outcome.variant,
                feature_shape=feature_shape(model[name].shape),
                memory_bytes=e.outcome.memory_bytes,
                lookup_ms=e.outcome.lookup_ms,
                agreement=float((labels == answers[calibration]).mean()),
            )
            for name, e, labels in zip(names, chosen, predictions, strict=False)
        ],
        promise=promise,
        expected=_expect(
            chosen, predictions, confidences, tops, answers[calibration], promise, pricing, oracle
        ),
        hop=hop,
        device=device,
        threads=torch.get_num_threads(),
        data=data_name,
        notes=_notes(samples, answers, base.description.classes, [p.name for p in constant]),
    )
    return store.publish(
        plan,
        {f"{name}.safetensors": e.cache for name, e in zip(names, chosen, strict=True)},
        {EXPLORATION: table([e.record for e in explored])},
        {
            prior_calibration.FILE: prior_calibration.say(
                [e.cache for e in chosen],
                [recording.features[name] for name in names],
                answers,
                calibration,
            ),
            reservoir.FILE: reservoir.pick(data, samples.images),
        },
    )


def _notes(
    samples: Samples, answers: np.ndarray, classes: tuple[str, ...], constant: list[str]
) -> list[str]:
    notes = []
    if samples.skipped:
        notes.append(f"{len(samples.skipped)} files skipped: {'; '.join(samples.skipped[:20])}")
    if samples.in_time:
        notes.append(
            "the samples depend on their neighbours and were split in blocks of time: the "
            "promise's figures are empirical"
        )
    if len(np.unique(answers)) == 1:
        notes.append(
            f"the base DNN answers {classes[answers[0]]!r} to all {len(answers)} samples, so there "
            f"is nothing to learn: give samples of what it will be asked, prepared as it expects "
            f"them"
        )
    if constant:
        notes.append(
            f"features at {', '.join(constant)} are the same for all {len(answers)} samples, so no "
            f"cache was tried there: are the samples all alike, or the activations dead?"
        )
    return notes


def _expect(
    chosen: list[Explored],
    predictions: tuple[np.ndarray, ...],
    confidences: tuple[np.ndarray, ...],
    tops: tuple[np.ndarray, ...],
    answers: np.ndarray,
    promise: Promise,
    pricing: Pricing,
    oracle_ms: float,
) -> Expected:
    """What the calibration samples would have met with the `chosen` caches."""
    caches = [e.outcome for e in chosen]
    latency_ms = latency_ms_by_exit(caches, pricing)
    compute_ms = compute_ms_by_exit(
        [o.cut_point.compute_share for o in caches],
        [o.lookup_ms for o in caches],
        pricing.base_ms,
    )
    exits, labels = np.zeros(len(answers), int), np.full(len(answers), -1)
    probabilities = np.zeros(len(answers))
    if chosen:
        exits, labels = cascade(predictions, confidences, promise.threshold)
        probabilities = np.choose(exits, [*tops, probabilities])
    hits = labels >= 0
    shares = np.bincount(exits, minlength=len(chosen) + 1) / len(exits)
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


def _oracle_ms(outcomes: list[Outcome], answers: np.ndarray, base_ms: float) -> float:
    """Mean compute if every sample left at the first cut point where any predictor is right."""
    left = np.full(len(answers), base_ms)
    for outcome in outcomes:
        right = outcome.predictions == answers
        left[right] = np.minimum(left[right], outcome.cut_point.compute_share * base_ms)
    return float(left.mean())


def _calibration_error(probabilities: np.ndarray, agrees: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (Naeini et al. 2015) of hits' probabilities; 0 without hits."""
    if not len(probabilities):
        return 0.0
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = np.bincount(place, probabilities - agrees, minlength=bins)
    return float(np.abs(gaps).sum() / len(probabilities))
