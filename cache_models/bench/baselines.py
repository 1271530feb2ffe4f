"""Other caches, to compare learned caches with. Each is called as a learned cache is:
features `(B, *feature_shape)` → class probabilities `(B, K)`, confidence `(B,)`.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cache_models.cache.learned_cache import Selector
from cache_models.cache.predictors import Predictor
from cache_models.cache.training import epochs_for, fit_predictor, train_selector
from cache_models.network.engine.interface import Engine
from cache_models.network.engine.making import engine
from cache_models.network.recorded import rows_in_batches

Measure = Literal["entropy", "probability"]
LONGER = 1.4
"""The model cascade's CNN is trained for so many times the epochs of a learned cache."""


class ConfidenceExit(nn.Module):
    """A predictor trusted by its own confidence: one minus the entropy of its probabilities over
    the greatest possible (BranchyNet: Teerapittayanon et al. 2016), or the largest of them
    (Shallow-Deep Networks: Kaya et al. 2019)."""

    def __init__(self, predictor: Predictor, measure: Measure):
        super().__init__()
        self.predictor = predictor
        self.measure = measure

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        probabilities = self.predictor(features).softmax(1)
        if self.measure == "probability":
            return probabilities, probabilities.amax(1)
        entropy = -torch.xlogy(probabilities, probabilities).sum(1)
        return probabilities, 1 - entropy / np.log(probabilities.shape[1])


class NeighbourCache:
    """The votes of the k nearest training samples, in principal components of the features (Freeze
    Inference: Kumar et al. 2019), nearer ones weighing more, trusted by a learned cache's selector.
    """

    def __init__(self, reduction, neighbours, labels: np.ndarray, k: int, classes: int):
        """
        Args:
            reduction: scikit-learn's fitted `PCA`.
            neighbours: scikit-learn's fitted `NearestNeighbors`.
            labels: the base DNN's, of the samples that `neighbours` holds.
        """
        self._reduction, self._neighbours, self._labels = reduction, neighbours, labels
        self.k, self.samples, self._classes = k, len(labels), classes
        self._selector = Selector()

    def fit_selector(
        self, features: np.ndarray, answers: np.ndarray, rows: np.ndarray, false_hit_cost: float
    ) -> None:
        scores = torch.cat([self._scores(batch) for batch in rows_in_batches(features, rows)])
        train_selector(self._selector, scores, torch.from_numpy(answers[rows]), false_hit_cost)

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor]:
        scores = self._scores(features)
        return scores.softmax(1), self._selector(scores)

    @property
    def memory_bytes(self) -> int:
        kept = (self._reduction.components_, self._reduction.mean_, self._neighbours._fit_X)
        return sum(array.nbytes for array in kept) + self._labels.nbytes

    @property
    def flops(self) -> int:
        components, values = self._reduction.components_.shape
        return 2 * components * (values + self.samples)

    def _scores(self, features: Tensor) -> Tensor:
        reduced = self._reduction.transform(features.flatten(1).float().numpy())
        distances, indices = self._neighbours.kneighbors(reduced, self.k)
        nearness = np.exp(-np.square(distances / (distances.mean(1, keepdims=True) + 1e-9)))
        votes = np.zeros((len(reduced), self._classes))
        np.add.at(votes, (np.arange(len(reduced))[:, None], self._labels[indices]), nearness)
        share = (votes + 1e-3) / (votes + 1e-3).sum(1, keepdims=True)
        return torch.from_numpy(np.log(share)).float()


def served(cache: nn.Module, shape: tuple[int, ...], threads: int = 1) -> Engine:
    """An exit or a front in the engine in which learned caches are served.

    Args:
        shape: of what it is asked about, float32, without the batch.
    """
    return engine(cache, [shape], threads)


def neighbour_caches(
    features: np.ndarray,
    answers: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    classes: int,
    false_hit_cost: float,
    components: tuple[int, ...] = (32, 128),
    ks: tuple[int, ...] = (5, 20),
    shares: tuple[float, ...] = (0.25, 1.0),
) -> list[NeighbourCache]:
    """One for every reduction, k and number of samples."""
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    values = np.concatenate([b.flatten(1).float() for b in rows_in_batches(features, train)])
    made = []
    for size in sorted({min(size, *values.shape) for size in components}):
        reduction = PCA(size, svd_solver="randomized", random_state=0).fit(values)
        reduced = reduction.transform(values).astype(np.float32)
        for share in shares:
            count = max(max(ks), round(share * len(train)))
            index = NearestNeighbors().fit(reduced[:count])
            for k in ks:
                cache = NeighbourCache(reduction, index, answers[train[:count]], k, classes)
                cache.fit_selector(features, answers, select, false_hit_cost)
                made.append(cache)
    return made


class SmallCNN(nn.Module):
    """Three convolutions over inputs of at most 32x32: what a model cascade asks first."""

    SIDE = 32

    def __init__(self, channels: int, width: int, classes: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(36 * width, classes),
        )

    def fit_scaling(self, batches) -> None:
        values = torch.cat([self.shrunk(batch).flatten() for batch in batches])
        self.mean.copy_(values.mean())
        self.scale.copy_(1 / (values.std() + 1e-6))

    def forward(self, images: Tensor) -> Tensor:
        """`(B, C, h, w)`, any size → `(B, K)` scores."""
        return self.layers((self.shrunk(images) - self.mean) * self.scale)

    @classmethod
    def shrunk(cls, images: Tensor) -> Tensor:
        """The size at which it looks at them."""
        if max(images.shape[-2:]) <= cls.SIDE:
            return images.float()
        return F.adaptive_avg_pool2d(images.float(), cls.SIDE)


class Front(nn.Module):
    """A small CNN and a selector."""

    def __init__(self, predictor: nn.Module):
        super().__init__()
        self.predictor, self.selector = predictor, Selector()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.predictor(images)
        return scores.softmax(1), self.selector(scores)


def small_cnn(
    images: np.ndarray,
    probabilities: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    width: int,
    false_hit_cost: float,
    seed: int = 0,
) -> Front:
    """A small CNN distilled from the base DNN, and a selector, learned as a learned cache is.

    Args:
        images: `(N, C, h, w)`.
    """
    torch.manual_seed(seed)
    network = SmallCNN(images.shape[1], width, probabilities.shape[1])
    front = Front(network)
    targets = torch.from_numpy(probabilities)
    scores = fit_predictor(network, images, targets, train, select, epochs_for(len(train), LONGER))
    train_selector(front.selector, scores, targets[select].argmax(1), false_hit_cost)
    return front.eval()
