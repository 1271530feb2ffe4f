"""Measure trained caches: what each says of the selection samples, and what asking it costs.

Training takes hours, in which a machine's speed may change; so what is weighed against each other,
slices and lookups, is measured in a row when it is over.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel
from scipy.special import expit, logit
from tqdm import tqdm

from cache_models.build.exploration import Trained
from cache_models.build.pricing import Outcome
from cache_models.build.survey import Survey
from cache_models.build.tables import as_csv
from cache_models.cache.asking import ask, asking_ms
from cache_models.cache.learned_cache import LearnedCache
from cache_models.data.recording import Recording
from cache_models.network.cost import BATCHES, module_bytes
from cache_models.promise.path import index_of
from cache_models.promise.promise import Limits, calibrate


class ExplorationRecord(BaseModel):
    """One line of the table: a variant at a cut point, measured on the selection samples."""

    cut_point: str
    compute_share: float
    variant: str
    hit_rate: float
    """Of this cache alone, at the loosest threshold that keeps the promise on these samples."""
    agreement: float
    """Of the predictor alone."""
    lookup_ms_batch_1: float
    lookup_ms_batch_8: float
    memory_bytes: int
    training_s: float


@dataclass(frozen=True)
class Explored:
    """A trained cache, its measurements, and what it says of the selection samples.

    Attributes:
        alone_place: of the loosest threshold on `PATH` at which it keeps the promise on them by
            itself, without a memory; None if it does at none.
    """

    cache: LearnedCache
    outcome: Outcome
    record: ExplorationRecord
    alone_place: int | None = None


def measure(
    trained: Sequence[Trained],
    recording: Recording,
    costs: Survey,
    select: np.ndarray,
    limits: Limits,
    streams: bool = False,
) -> list[Explored]:
    """Measure trained caches, of the recording that they were trained on, and tell their selectors
    what is at stake where they stand.

    Args:
        costs: of a moment ago; its candidates are the recording's cut points.
        select: indices into the recording's samples.
        streams: whether `alone_place` is of interest.
    """
    answers, classes = recording.answers[select], recording.probabilities.shape[1]
    points = {point.name: point for point in costs.candidates}
    explored = []
    for made in tqdm(trained, desc="measure", unit="cache"):
        cache, point = made.cache, points[made.cut_point]
        features = recording.features[point.name]
        lookup_ms = {
            rows: asking_ms(cache, rows) + costs.features_ms(point, rows) for rows in BATCHES
        }
        predictions, agrees, _ = ask(cache, features, select)
        alone = calibrate([predictions], [agrees], answers, classes, limits).threshold
        record = ExplorationRecord(
            cut_point=point.name,
            compute_share=point.compute_share,
            variant=cache.variant.name,
            hit_rate=0.0 if alone is None else float((agrees >= alone).mean()),
            agreement=float((predictions == answers).mean()),
            lookup_ms_batch_1=lookup_ms[1],
            lookup_ms_batch_8=lookup_ms[8],
            memory_bytes=module_bytes(cache),
            training_s=made.training_s,
        )
        cache.selector.stake.fill_(point.stake)
        outcome = Outcome(
            point,
            predictions,
            expit(logit(agrees) + np.log(point.stake)),
            record.lookup_ms_batch_1,
            features[0].nbytes,
            record.memory_bytes,
        )
        place = None
        if streams and outcome.confidences.max() > 0:
            at_stake = calibrate([predictions], [outcome.confidences], answers, classes, limits)
            place = index_of(at_stake.threshold) if at_stake.threshold is not None else None
        explored.append(Explored(cache, outcome, record, place))
    return explored


def table(records: Sequence[ExplorationRecord]) -> str:
    """The records as CSV."""
    return as_csv(records, ExplorationRecord, lambda v: f"{v:.5g}" if isinstance(v, float) else v)


def read_table(text: str) -> list[ExplorationRecord]:
    """What `table` wrote."""
    return [ExplorationRecord.model_validate(row) for row in csv.DictReader(io.StringIO(text))]
