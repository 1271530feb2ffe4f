"""What caches are learned from: recorded samples, split once into parts that nothing mixes.

- train: the predictors and gates learn on it, and on samples that are for nothing else;
  predictors on altered copies of all these, too;
- select: early stopping, the selectors, the gates' limits, and the composition;
- calibrate: the promise, read once, after everything else is fixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache_models.build.survey import candidate_names
from cache_models.data.augmentation import Augmented
from cache_models.data.recording import Recording, record
from cache_models.data.samples import Samples
from cache_models.errors import DataError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import CutModel, cut
from cache_models.network.engine.interface import DType
from cache_models.promise.promise import Limits, min_samples

SHARES = {"train": 0.5, "select": 0.2, "calibrate": 0.3}
TRAINED_ELSEWHERE = {"train": 0.2, "select": 0.2, "calibrate": 0.6}
"""Where at least as many samples are for training alone: the more calibrate, the less of what is
allowed is kept in reserve."""


@dataclass(frozen=True)
class LearningData:
    """
    Attributes:
        model: the base DNN, to cut.
        recording: the samples' features at candidate cut points, and after them those of the
            copies.
        train, select, calibrate: disjoint indices into the samples, ascending.
        copies: indices of altered copies of those that train.
    """

    model: CutModel
    recording: Recording
    train: np.ndarray
    select: np.ndarray
    calibrate: np.ndarray
    copies: np.ndarray

    def record(self, base: BaseDNN, images: np.ndarray, folder: Path) -> Recording:
        """Other samples at the same cut points."""
        return record(base, self.model, list(self.recording.features), images, folder)


def prepare(
    base: BaseDNN,
    samples: Samples,
    limits: Limits,
    folder: Path,
    device: str = "cpu",
    seed: int = 0,
    cut_points: Sequence[str] | None = None,
    copies: int = 0,
    dtype: DType = "float32",
) -> LearningData:
    """Split the samples, by time if they are of streams, and record.

    Args:
        cut_points: the candidates to look at; by default all.
        copies: so many altered copies of every sample that trains.
        dtype: in which partitions will compute.

    Raises:
        DataError: there are too few samples for the promise, or a cut point is no candidate.
    """
    train, select, calibrate = split(samples, seed)
    count, shares = len(samples.images) - samples.train_only, _shares(samples)
    needed = min_samples(limits.max_disagreement, 1 - limits.confidence)
    if len(calibrate) < needed:
        raise DataError(
            f"{count} samples are too few: the promise of at most "
            f"{limits.max_disagreement:.2%} disagreement at {limits.confidence:.0%} confidence "
            f"needs {needed} for calibration alone, {round(needed / shares['calibrate']) + 1} in "
            f"all. Give more, or raise --max-disagreement."
        )
    model = cut(base)
    names = candidate_names(model, cut_points)
    images = Augmented(samples.images, train, copies, seed, base.description.of_tokens)
    recording = record(base, model, names, images, folder, device, dtype=dtype)
    return LearningData(model, recording, train, select, calibrate, images.added)


def split(samples: Samples, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices that train, select and calibrate: whole moments of streams one after the other, other
    samples at random."""
    count = len(samples.images)
    order = np.arange(count - samples.train_only)
    shares = list(_shares(samples).values())
    if samples.streams is None:
        np.random.default_rng(seed).shuffle(order)
        ends = np.cumsum([round(share * len(order)) for share in shares])
    else:
        at = samples.streams.at[: len(order)]
        order = np.argsort(at, kind="stable")
        moments = np.unique(at)
        last = np.cumsum([round(share * len(moments)) for share in shares])[:2]
        ends = np.searchsorted(at[order], moments[np.minimum(last, len(moments) - 1)])
    train, select, calibrate = (np.sort(part) for part in np.split(order, ends[:2]))
    return np.append(train, np.arange(len(order), count)), select, calibrate


def _shares(samples: Samples) -> dict[str, float]:
    return TRAINED_ELSEWHERE if 2 * samples.train_only >= len(samples.images) else SHARES
