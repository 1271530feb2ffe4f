"""Exploration: train every variant at every candidate cut point, then measure all of them.

Training takes hours, in which a machine's speed may change; so what is weighed against each other,
slices and lookups, is measured in a row when it is over. Each cache is kept in the work folder as
soon as it is trained, so that an interrupted exploration goes on with the next. Memory holds one
batch of features and the trained caches, whatever the number of samples.
"""

import csv
import functools
import hashlib
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel
from safetensors import SafetensorError
from tqdm import tqdm

from cache_models.build.composition import Outcome
from cache_models.build.survey import Survey
from cache_models.build.tables import as_csv
from cache_models.cache.fast_cache import FastCache
from cache_models.cache.learned_cache import LearnedCache, load_cache, save_cache
from cache_models.cache.novelty import fit_gate
from cache_models.cache.predictors import VARIANTS, variants_for
from cache_models.cache.training import RECIPE, train_cache
from cache_models.cache.variant import Variant
from cache_models.data.recording import Recording
from cache_models.errors import DataError
from cache_models.network.cost import BATCHES, median_ms, module_bytes
from cache_models.network.features import is_constant, rows_in_batches
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
class Trained:
    """A cache for the cut point of that name, and the seconds that it took."""

    cut_point: str
    cache: LearnedCache
    training_s: float


@dataclass(frozen=True)
class Explored:
    """A trained cache, its measurements, and what it says of the selection samples."""

    cache: LearnedCache
    outcome: Outcome
    record: ExplorationRecord


def explore(
    recording: Recording,
    train: np.ndarray,
    select: np.ndarray,
    folder: Path,
    false_hit_cost: float = 1.0,
    seed: int = 0,
    copies: Sequence[int] = (),
    only: Sequence[str] | None = None,
) -> list[Trained]:
    """Train all variants at all of the recording's cut points whose features vary.

    Args:
        train, select: disjoint indices into the recording's samples, ascending.
        folder: keeps the trained caches; those of the same recording are not trained again.
        copies: more of its samples, for predictors alone: gates learn on real ones.
        only: names of the variants to try; by default all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        (i, name, variant)
        for i, (name, features) in enumerate(recording.features.items())
        if not is_constant(features)
        for variant in variants_for(features.shape[1:])
        if only is None or variant.name in only
    ]
    taught = np.append(train, copies).astype(int)
    rows = f"{taught.tolist()} {select.tolist()}"
    digest = hashlib.sha256(
        f"{recording.digest} {RECIPE} {false_hit_cost} {seed} {rows}".encode()
    ).hexdigest()
    classes = recording.probabilities.shape[1]
    gate_at = functools.cache(
        lambda name: fit_gate(recording.features[name], recording.probabilities, train, select)
    )
    trained = []
    with tqdm(jobs, desc="explore", unit="cache") as bar:
        for i, name, variant in bar:
            bar.set_postfix_str(f"{name} {variant.name}")
            features = recording.features[name]
            file = folder / f"{i}-{variant.name}.safetensors"
            cache, training_s = _kept(file, digest, variant, features.shape[1:], classes)
            if cache is None:
                start = time.perf_counter()
                cache = train_cache(
                    variant,
                    features,
                    recording.probabilities,
                    taught,
                    select,
                    false_hit_cost,
                    seed,
                    gate_at(name),
                )
                training_s = time.perf_counter() - start
                _keep(file, digest, cache, training_s)
            trained.append(Trained(name, cache, training_s))
    return trained


def measure(
    trained: Sequence[Trained],
    recording: Recording,
    costs: Survey,
    select: np.ndarray,
    limits: Limits,
) -> list[Explored]:
    """Measure trained caches, of the recording that they were trained on.

    Args:
        costs: of a moment ago; its candidates are the recording's cut points.
        select: indices into the recording's samples.
    """
    answers, classes = recording.answers[select], recording.probabilities.shape[1]
    points = {point.name: point for point in costs.candidates}
    explored = []
    for made in tqdm(trained, desc="measure", unit="cache"):
        cache, point = made.cache, points[made.cut_point]
        features = recording.features[point.name]
        lookup_ms = {
            rows: asking_ms(cache, features.shape[1:], rows) + costs.features_ms(point, rows)
            for rows in BATCHES
        }
        predictions, confidences, _ = ask(cache, features, select)
        alone = calibrate([predictions], [confidences], answers, classes, limits).threshold
        record = ExplorationRecord(
            cut_point=point.name,
            compute_share=point.compute_share,
            variant=cache.variant.name,
            hit_rate=0.0 if alone is None else float((confidences >= alone).mean()),
            agreement=float((predictions == answers).mean()),
            lookup_ms_batch_1=lookup_ms[1],
            lookup_ms_batch_8=lookup_ms[8],
            memory_bytes=module_bytes(cache),
            training_s=made.training_s,
        )
        outcome = Outcome(
            point,
            cache.variant,
            predictions,
            confidences,
            record.lookup_ms_batch_1,
            features[0].nbytes,
            record.memory_bytes,
        )
        explored.append(Explored(cache, outcome, record))
    return explored


def check_variants(names: Sequence[str]) -> None:
    """
    Raises:
        DataError: one of them is no variant.
    """
    known = [Variant(family=f, size=size).name for f, sizes in VARIANTS.items() for size in sizes]
    if unknown := set(names).difference(known):
        raise DataError(f"{', '.join(sorted(unknown))} is no variant; those are {', '.join(known)}")


def ask(
    cache: LearnedCache, features: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of some samples: labels, probabilities of agreement, and the labels' own probabilities."""
    said = []
    with torch.inference_mode():
        for batch in rows_in_batches(features, rows):
            probabilities, confidences = cache(batch)
            top, labels = probabilities.max(1)
            said.append((labels.numpy(), confidences.numpy(), top.numpy()))
    return tuple(np.concatenate(part) for part in zip(*said, strict=True))


def table(records: Sequence[ExplorationRecord]) -> str:
    """The records as CSV."""
    return as_csv(records, ExplorationRecord, lambda v: f"{v:.5g}" if isinstance(v, float) else v)


def read_table(text: str) -> list[ExplorationRecord]:
    """What `table` wrote."""
    return [ExplorationRecord.model_validate(row) for row in csv.DictReader(io.StringIO(text))]


def asking_ms(cache: LearnedCache, shape: tuple[int, ...], rows: int) -> float:
    """Median milliseconds of asking `cache` about so many rows of features, with one thread, as
    lookups are served."""
    features = torch.zeros(rows, *shape, dtype=torch.float16)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        served = FastCache(cache)
        return median_ms(lambda: served(features))
    finally:
        torch.set_num_threads(threads)


def _keep(file: Path, digest: str, cache: LearnedCache, training_s: float) -> None:
    save_cache(cache, file)
    about = {"exploration": digest, "training_s": training_s}
    file.with_suffix(".json").write_text(json.dumps(about))


def _kept(
    file: Path, digest: str, variant: Variant, shape: tuple[int, ...], classes: int
) -> tuple[LearnedCache | None, float]:
    try:
        about = json.loads(file.with_suffix(".json").read_text())
        if about["exploration"] != digest:
            return None, 0.0
        return load_cache(file, variant, shape, classes), float(about["training_s"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError):
        return None, 0.0
