"""What a build leaves beside its plan for those who follow the traffic: what its caches said, what
others would have said, and samples of every class. `cache_models.store.files` names the files.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cache_models.build.measurement import Explored
from cache_models.build.split import LearningData
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.training import scores_of
from cache_models.network.recorded import rows_in_batches
from cache_models.network.stages import INPUT
from cache_models.store.files import features_at
from cache_models.store.strata import SELECT, TEST, TRAIN, kept

MOST_SAMPLES_BYTES = 2**30


def say(
    caches: Sequence[LearnedCache],
    features: Sequence[np.ndarray],
    answers: np.ndarray,
    rows: np.ndarray,
) -> dict[str, Tensor]:
    """What `caches` say of the samples `rows`.

    Args:
        features: `(N, *feature_shape)` float16 at the cut point of each cache.
        answers: the base DNN's labels, `(N,)`.
    """
    said = {"answers": torch.from_numpy(answers[rows])}
    for i, (cache, at) in enumerate(zip(caches, features, strict=True)):
        said[f"scores.{i}"] = scores_of(cache.predictor, at, rows).log_softmax(1)
        with torch.inference_mode():
            familiar = [cache.gate(batch) for batch in rows_in_batches(at, rows)]
        said[f"familiar.{i}"] = torch.cat(familiar)
    return said


def most_useful(explored: Sequence[Explored], chosen: Sequence[Explored]) -> list[Explored]:
    """One cache a candidate, in execution order: the chosen one, or that with most hits alone."""
    best = {}
    for e in explored:
        name = e.record.cut_point
        if name not in best or e.record.hit_rate > best[name].record.hit_rate:
            best[name] = e
    best |= {e.record.cut_point: e for e in chosen}
    useful = [e for e in best.values() if e.record.hit_rate or e in chosen]
    return sorted(useful, key=lambda e: e.record.compute_share)


def keep(
    caches: Sequence[LearnedCache],
    features: Sequence[np.ndarray],
    answers: np.ndarray,
    select: np.ndarray,
    calibration: np.ndarray,
) -> dict[str, Tensor]:
    """What the alternatives say, for `ALTERNATIVES`; arguments as of `say`."""
    said = say(caches, features, answers, np.concatenate([select, calibration]))
    return said | {"calibrates": torch.arange(len(said["answers"])) >= len(select)}


def pick(
    data: LearningData,
    images: np.ndarray,
    cut_points: Sequence[str],
    most_bytes: int = MOST_SAMPLES_BYTES,
) -> dict[str, Tensor]:
    """Samples of every class and role, for `SAMPLES`: what trained a build never tests a round.

    Args:
        images: those of the recording.
        cut_points: that are deployed.
        most_bytes: of all of them.
    """
    recording = data.recording
    recorded = {name: recording.features[name] for name in cut_points if name != INPUT}
    each = [images[0].nbytes, 2 * recording.probabilities.shape[1]]
    each += [features[0].nbytes for features in recorded.values()]
    parts = {TRAIN: data.train, SELECT: data.select, TEST: data.calibrate}
    rows = np.concatenate(list(parts.values()))
    roles = np.repeat(list(parts), [len(part) for part in parts.values()]).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(rows))
    rows, roles = rows[order], roles[order]
    chosen = kept(recording.answers[rows], roles, most_bytes // sum(each))
    rows, roles = rows[chosen], roles[chosen]
    return {
        "inputs": torch.from_numpy(np.ascontiguousarray(images[rows])),
        "probabilities": torch.from_numpy(recording.probabilities[rows]).half(),
        "roles": torch.from_numpy(roles),
        **{features_at(name): torch.from_numpy(f[rows]) for name, f in recorded.items()},
    }
