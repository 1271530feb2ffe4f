"""Build a cache version: record, explore, survey, compose, calibrate, publish."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cache_models.build.base_flip import base_flips, told
from cache_models.build.calibration import check_dtype, tested
from cache_models.build.composition import compose
from cache_models.build.dependence import dependence
from cache_models.build.evidence import keep, most_useful, pick
from cache_models.build.expected import expect
from cache_models.build.exploration import check_variants, explore
from cache_models.build.measurement import Explored, measure, table
from cache_models.build.pricing import Outcome, Pricing
from cache_models.build.remembering import (
    answers_alone,
    as_one_stream,
    memory_record,
    with_memories,
)
from cache_models.build.split import prepare
from cache_models.build.survey import survey
from cache_models.cache.recall import ENTRIES, SHARED_ENTRIES
from cache_models.data.samples import Samples
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.engine.interface import DType
from cache_models.network.features import feature_shape
from cache_models.network.recorded import is_constant
from cache_models.promise.promise import Limits, min_samples, on_path
from cache_models.store.exporting import make
from cache_models.store.files import ALTERNATIVES, EXPLORATION, SAMPLES
from cache_models.store.plan import CacheRecord, Expected, HopCost, Plan
from cache_models.store.version import CacheVersion
from cache_models.store.versions import Store


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
    train_data: str | None = None,
    cut_points: Sequence[str] | None = None,
    copies: int = 0,
    variants: Sequence[str] | None = None,
    shared_memory: bool = False,
    dtype: DType = "float32",
) -> CacheVersion:
    """Learn caches for `base` from `samples` and publish them as the store's current version.

    Args:
        samples: inputs without labels; frames of a video are split by time, and of those that know
            of each other one calibrates.
        data_name, train_data: what the plan says that the samples, and those of them that only
            train, were.
        cut_points: the candidates to try caches at; by default all.
        copies: so many altered copies of every sample that trains, for predictors.
        variants: names of the kinds of predictor to try; by default all.
        shared_memory: whether all requests are to share one memory; the samples are requests in the
            order in which they came.
        dtype: in which partitions compute. What that flips of the base DNN's answers counts in the
            promise like what caches do.
        folder: for recording and trained caches; a build goes on with what it finds there.

    Raises:
        DataError: there are too few images for the promise, or a cut point is no candidate, or a
            variant none, or `dtype` alone flips more answers than may be.
    """
    check_variants(variants or ())
    entries = SHARED_ENTRIES if shared_memory else ENTRIES
    if shared_memory:
        samples = as_one_stream(samples)
    data = prepare(
        base,
        samples,
        limits,
        folder,
        device,
        seed,
        cut_points,
        copies,
        dtype,
    )
    model, recording = data.model, data.recording
    train, select, calibration = data.train, data.select, data.calibrate
    answers, classes = recording.answers, recording.probabilities.shape[1]
    check_dtype(recording, data.calibrate, limits, dtype)
    constant = [name for name, features in recording.features.items() if is_constant(features)]
    trained = []
    if len(np.unique(answers)) > 1:
        trained = explore(
            recording,
            train,
            select,
            folder / "caches",
            false_hit_cost,
            seed,
            data.copies,
            variants,
            device,
        )
    costs = survey(
        base,
        model,
        samples.images,
        device,
        activation_bytes_per_value,
        list(recording.features),
        dtype,
    )
    streams = samples.streams
    explored = measure(trained, recording, costs, select, limits, streams is not None)
    if streams is not None:
        explored += with_memories(
            explored, recording, streams, train, select, limits, entries, seed
        )
    pricing = Pricing(costs.base_ms, samples.images[0].nbytes, 4 * classes, hop)
    outcomes = [e.outcome for e in explored]
    best = compose(outcomes, answers[select], classes, pricing, limits, len(calibration))
    chosen = [e for o in best.caches for e in explored if e.outcome is o]
    notes = _notes(samples, answers, base.description.classes, constant)
    apart = calibration
    if streams is not None and chosen:
        first = chosen[0].outcome
        said = on_path(first.predictions, best.place), on_path(first.confidences, best.place)
        measured = dependence(streams, select, *said, answers[select])
        apart = measured.independent(calibration, float(streams.at[select].max()))
        needed = min_samples(limits.max_disagreement, 1 - limits.confidence)
        notes.append(measured.told(len(calibration), len(apart), needed))
        data = replace(data, calibrate=apart)
        if len(apart) < needed:
            chosen, apart = [], calibration
    alone = answers_alone(chosen, best.place)
    promise, *said = tested(chosen, recording, streams, calibration, apart, alone, limits, entries)
    oracle = _oracle_ms(outcomes, answers[select], costs.base_ms)
    if promise.threshold is None:
        chosen = []

    def expected_of(caches: list[Explored]) -> Expected:
        return expect(
            [e.outcome for e in caches],
            *said,
            answers[apart],
            promise,
            pricing,
            oracle,
        )

    expected = expected_of(chosen)
    if chosen and expected.latency_ms >= expected.base_latency_ms:
        notes.append(_does_not_pay(expected))
        chosen, expected = [], expected_of([])
    kept = most_useful(explored, chosen) if chosen else []
    flips = base_flips(
        base, model, samples.images, data.calibrate, folder / "flips", device, seed=seed
    )
    if beyond := told(flips, limits.max_disagreement):
        notes.append(beyond)

    def records(caches: list[Explored]) -> list[CacheRecord]:
        return [
            CacheRecord(
                cut_point=e.record.cut_point,
                file=_file(e),
                variant=e.cache.variant,
                feature_shape=feature_shape(model[e.record.cut_point].shape),
                memory_bytes=e.outcome.memory_bytes,
                lookup_ms=e.outcome.lookup_ms,
                agreement=e.record.agreement,
                memory=memory_record(e.cache, alone, entries),
            )
            for e in caches
        ]

    def heard(caches: list[Explored]) -> tuple:
        return (
            [e.cache for e in caches],
            [recording.features[e.record.cut_point] for e in caches],
            answers,
        )

    plan = Plan(
        model=base.reference,
        fingerprint=base.fingerprint(),
        description=base.description,
        candidates=costs.candidates,
        class_shares=tuple(np.bincount(answers[train], minlength=classes) / len(train)),
        caches=records(chosen),
        alternatives=[record.model_copy(update={"memory": None}) for record in records(kept)],
        promise=promise,
        expected=expected,
        hop=hop,
        device=device,
        dtype=dtype,
        threads=torch.get_num_threads(),
        data=data_name,
        train_data=train_data,
        copies=copies,
        notes=notes,
    )
    make(store.where, plan, base, samples.images)
    return store.publish(
        plan,
        {_file(e): e.cache for e in kept},
        {EXPLORATION: table([e.record for e in explored])},
        {
            ALTERNATIVES: keep(*heard(kept), select, apart),
            SAMPLES: pick(data, samples.images, plan.cut_points),
        },
    )


def _file(explored: Explored) -> str:
    return f"{explored.record.cut_point}.safetensors"


def _does_not_pay(expected: Expected) -> str:
    return (
        f"no cache is deployed, since none would pay: with caches that keep the promise a request "
        f"would take {expected.latency_ms:.1f} ms, without them {expected.base_latency_ms:.1f}"
    )


def _notes(
    samples: Samples, answers: np.ndarray, classes: tuple[str, ...], constant: list[str]
) -> list[str]:
    notes = []
    if samples.skipped:
        notes.append(f"{len(samples.skipped)} files skipped: {'; '.join(samples.skipped[:20])}")
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


def _oracle_ms(outcomes: list[Outcome], answers: np.ndarray, base_ms: float) -> float:
    """Mean compute if every sample left at the first cut point where any predictor is right."""
    left = np.full(len(answers), base_ms)
    for outcome in outcomes:
        if outcome.predictions.ndim > 1:  # with a memory, of a predictor that is here, too
            continue
        right = outcome.predictions == answers
        left[right] = np.minimum(left[right], outcome.cut_point.compute_share * base_ms)
    return float(left.mean())
