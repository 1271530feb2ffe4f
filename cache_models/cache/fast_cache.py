"""The form in which a learned cache is asked in service: the same verdicts, in few operations.

A request that comes alone finds the processor's caches cold, where every operation costs as much as
the computing in it. So

- preprocessing at the input pools pixels first, of a grey image one channel, and then scales the
  few that are left, once for all channels;
- the predictor's layers run as slices do (`cache_models.network.engine`);
- standardisation is one operation, and selector and gate are computed with numpy.

Probabilities differ from the learned cache's by float32 rounding alone.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cache_models.cache.learned_cache import LearnedCache, Selector
from cache_models.cache.novelty import NoveltyGate
from cache_models.network.description import ModelDescription
from cache_models.network.engine import fast
from cache_models.network.features import extract, feature_shape, pool_further
from cache_models.network.layout import channels_last


class FastCache:
    """A learned cache to ask for verdicts on features."""

    def __init__(self, cache: LearnedCache, device: torch.device | str = "cpu"):
        self._device = torch.device(device)
        predictor = cache.predictor
        self._grid = predictor.grid
        self._standardise = _Standardise(predictor.mean, predictor.scale, self._device)
        self._layers = fast(predictor.layers, tuple(predictor.mean.shape), self._device)
        self._gate = _FastGate(cache.gate, cache.feature_shape, self._device)
        self._selector = _FastSelector(cache.selector)

    @torch.inference_mode()
    def __call__(
        self, features: Tensor, log_ratio: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """`(B, *feature_shape)` → class probabilities `(B, K)`, probability of agreement `(B,)`,
        as `LearnedCache` has them.

        Args:
            log_ratio: `(K,)`, likewise.
        """
        features = features.to(self._device).float()
        pooled = features if self._grid is None else pool_further(features, self._grid)
        scores = self._layers(channels_last(self._standardise(pooled))).cpu().numpy()
        if log_ratio is not None:
            scores = scores + np.asarray(log_ratio, np.float32)
        probabilities, agreement = self._selector(scores)
        return probabilities, agreement * self._gate(features)


class InputFeatures:
    """Features of what requests bring, to the last bit or two of float16 as in training."""

    def __init__(self, description: ModelDescription, device: torch.device | str = "cpu"):
        self._description, self._device = description, torch.device(device)
        self._size = feature_shape(description.input_shape)[1:]
        if preprocessing := description.preprocessing:
            mean, std = (
                torch.tensor(values, device=self._device).view(-1, 1, 1)
                for values in (preprocessing.mean, preprocessing.std)
            )
            self._scale, self._shift = 1 / (255 * std), -mean / std

    def __call__(self, images: Tensor, resized: bool = False) -> Tensor:
        """Decoded images `(B, 1 or C, h, w)` uint8, or inputs `(B, *input_shape)` float32, →
        `(B, *feature_shape)` float16.

        Args:
            resized: whether images have the size of `input_shape` already.
        """
        images = images.to(self._device)
        if images.dtype != torch.uint8 or self._description.preprocessing is None:
            return extract(images)
        if not resized:
            images = self._description.preprocessing.resize(images)
        return torch.addcmul(self._shift, _pooled(images.float(), self._size), self._scale).half()


def _pooled(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """As adaptive pooling, by a quicker operation where it comes out even."""
    height, width = images.shape[-2:]
    if height % size[0] == 0 and width % size[1] == 0:
        return F.avg_pool2d(images, (height // size[0], width // size[1]))
    return F.adaptive_avg_pool2d(images, size)


class _Standardise:
    """`(values - mean) * scale` in one operation."""

    def __init__(self, mean: Tensor, scale: Tensor, device: torch.device):
        self._scale, self._shift = (v[None].to(device) for v in (scale, -mean * scale))

    def __call__(self, values: Tensor) -> Tensor:
        return torch.addcmul(self._shift, values, self._scale)


class _FastGate:
    def __init__(self, gate: NoveltyGate, shape: tuple[int, ...], device: torch.device):
        self._grid = gate.grid
        pooled = pool_further(torch.zeros(1, *shape), gate.grid).shape[1:]
        self._standardise = _Standardise(gate.mean.view(pooled), gate.scale.view(pooled), device)
        self._axes = gate.axes.float().to(device)
        self._farthest = float(gate.farthest)
        inverse_variance = 1 / gate.variance.cpu().numpy()
        self._along, self._across = inverse_variance[:-1], inverse_variance[-1]
        self._unseen = gate.unseen
        if gate.unseen:
            self._weight, self._bias = gate.weight.float().to(device), gate.bias.to(device)
            self._known, self._least_lead = gate.known.cpu().numpy(), float(gate.least_lead)

    def __call__(self, features: Tensor) -> np.ndarray:
        """Whether features are familiar, `(B,)` bool; see `NoveltyGate`."""
        x = self._standardise(pool_further(features, self._grid)).flatten(1)
        along = np.square((x @ self._axes).cpu().numpy())
        # With PyTorch, since numpy's own threads and PyTorch's would wait for each other.
        scores = torch.addmm(self._bias, x, self._weight).cpu().numpy() if self._unseen else None
        x = x.cpu().numpy()
        across = np.maximum(np.einsum("ij,ij->i", x, x) - along.sum(1), 0)
        distance = (along @ self._along + across * self._across) / x.shape[1]
        familiar = distance <= self._farthest
        if self._unseen:
            known = scores[:, self._known].max(1, initial=-np.inf)
            lead = known - scores[:, ~self._known].max(1, initial=-np.inf)
            familiar &= lead / np.sqrt(np.maximum(distance, 1e-6)) >= self._least_lead
        return familiar


class _FastSelector:
    def __init__(self, selector: Selector):
        weight = selector.linear.weight.detach()[0] * selector.scale
        self._weight = weight.cpu().numpy()
        self._bias = float(selector.linear.bias.detach()[0] - weight @ selector.mean)
        self._rows, self._columns = np.triu_indices(Selector.STATISTICS)

    def __call__(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores `(B, K)` → probabilities `(B, K)`, of agreement `(B,)`; see `Selector`."""
        shifted = scores - scores.max(1, keepdims=True)
        p = np.exp(shifted)
        total = p.sum(1, keepdims=True)
        p /= total
        log_p = shifted - np.log(total)
        x = np.full((len(scores), Selector.STATISTICS), -20, np.float32)
        kept = min(3, scores.shape[1])
        top = np.partition(log_p, range(-kept, 0), axis=1)[:, : -kept - 1 : -1]
        np.maximum(top, -20, out=x[:, :kept])
        x[:, 3] = x[:, 0] - x[:, 1]
        x[:, 4] = -(p * log_p).sum(1)
        terms = np.concatenate([x, x[:, self._rows] * x[:, self._columns]], axis=1)
        return p, 1 / (1 + np.exp(-(terms @ self._weight + self._bias)))
