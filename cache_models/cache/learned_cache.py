"""A learned cache: a predictor of the base DNN's answer, a selector of when to trust it, and a gate
that trusts it on nothing unlike what it was trained on."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from cache_models.cache.architecture import LEAST_LOG_P, STATISTICS
from cache_models.cache.novelty import NoveltyGate
from cache_models.cache.predictors import Predictor
from cache_models.cache.recall import PREFIX, TERMS, Recall
from cache_models.cache.variant import Variant


class Selector(nn.Module):
    """How much a prediction is to be trusted: the probability that it is the base DNN's own answer,
    and what a hit would save.

    Reads the three largest log probabilities, the margin between the first two, and the entropy of
    what the predictor says; logistic regression on them and their products gives the probability of
    agreement. A hit at a late cut point saves little, so it has to be safer: the odds of agreement
    are multiplied by `stake`, the share of the base DNN's compute that a hit saves. So at one
    threshold caches at all cut points risk equally much for the same saving: where p is near 1, a
    cache hits if 1 - p <= stake * (1 - threshold).
    """

    stake: Tensor

    def __init__(self):
        super().__init__()
        terms = STATISTICS + STATISTICS * (STATISTICS + 1) // 2
        self.register_buffer("mean", torch.zeros(terms))
        self.register_buffer("scale", torch.ones(terms))
        self.register_buffer("stake", torch.ones(()))
        self.linear = nn.Linear(terms, 1)

    def forward(self, scores: Tensor) -> Tensor:
        """Predictor scores `(B, K)` → confidence `(B,)`, from 0 to 1."""
        return (self.logit(scores) + self.stake.log()).sigmoid()

    def logit(self, scores: Tensor) -> Tensor:
        """Predictor scores `(B, K)` → logarithm of the odds of agreement `(B,)`."""
        return self.linear((self.terms(scores) - self.mean) * self.scale).squeeze(1)

    @staticmethod
    def terms(scores: Tensor) -> Tensor:
        log_p = scores.log_softmax(1)
        top = log_p.topk(min(3, log_p.shape[1]), dim=1).values.clamp(min=LEAST_LOG_P)
        top = F.pad(top, (0, 3 - top.shape[1]), value=LEAST_LOG_P)
        margin = top[:, :1] - top[:, 1:2]
        entropy = -(log_p.exp() * log_p).sum(1, keepdim=True)
        x = torch.cat([top, margin, entropy], dim=1)
        rows, columns = torch.triu_indices(STATISTICS, STATISTICS)
        return torch.cat([x, x[:, rows] * x[:, columns]], dim=1)


class RecallWeights(nn.Module):
    """What a `Recall` consists of, and the projection `(D, d)` of the gate's standardised features
    into the space in which entries lie."""

    projection: Tensor
    mean: Tensor
    scale: Tensor
    linear: Tensor
    bias: Tensor
    stake: Tensor
    near: Tensor

    def __init__(self, values: int, directions: int):
        super().__init__()
        self.register_buffer("projection", torch.zeros(values, directions))
        for name in ("trust", "weight", "nearness", "staleness", "bias", "stake"):
            self.register_buffer(name, torch.ones(()))
        self.register_buffer("near", torch.tensor(-1.0))
        for name in ("mean", "scale", "linear"):
            self.register_buffer(name, torch.zeros(TERMS))

    def recall(self) -> Recall:
        """As lookups have it."""
        weights = {PREFIX + name: value.numpy() for name, value in self.state_dict().items()}
        found = Recall.of(weights)
        assert found is not None
        return found


class LearnedCache(nn.Module):
    """Predictor, selector and novelty gate at one cut point; and, where it has a memory of streams,
    what that consists of."""

    recall: RecallWeights | None

    def __init__(
        self,
        variant: Variant,
        feature_shape: tuple[int, ...],
        classes: int,
        gate: NoveltyGate | None = None,
    ):
        super().__init__()
        self.variant = variant
        self.feature_shape = feature_shape
        self.classes = classes
        self.predictor = Predictor(variant, feature_shape, classes)
        self.selector = Selector()
        self.gate = gate or NoveltyGate(feature_shape, classes)
        self.recall = None

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """`(B, *feature_shape)` → class probabilities `(B, K)`, the selector's confidence `(B,)`,
        which is 0 for a novel input; and, of a cache with a memory, the inputs' vectors `(B, d)`.
        """
        scores = self.predictor(features)
        said = scores.softmax(1), self.selector(scores) * self.gate(features)
        return said if self.recall is None else (*said, self.vectors(features))

    def vectors(self, features: Tensor) -> Tensor:
        """Where inputs lie in the space of a memory's entries, `(B, d)`."""
        assert self.recall is not None, "a cache without a memory has no such space"
        return self.gate.standardised(features) @ self.recall.projection


def save_cache(cache: LearnedCache, file: Path) -> None:
    save_file({name: t.contiguous() for name, t in cache.state_dict().items()}, file)


def load_cache(
    file: Path, variant: Variant, feature_shape: tuple[int, ...], classes: int
) -> LearnedCache:
    weights = load_file(file)
    weights.setdefault("selector.stake", torch.ones(()))  # files of format 3 may lack it
    gate = NoveltyGate(feature_shape, classes, unseen="gate.weight" in weights)
    cache = LearnedCache(variant, feature_shape, classes, gate)
    if (projection := weights.get(f"{PREFIX}projection")) is not None:
        cache.recall = RecallWeights(*projection.shape)
        weights.setdefault(f"{PREFIX}near", cache.recall.near)  # likewise
    cache.load_state_dict(weights)
    return cache.eval()
