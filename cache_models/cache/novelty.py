"""The novelty gate: is an input like those that a cache was trained on?

Two ways to be novel, both seen from features alone:

- *far*: the features lie farther from the training data than all but the farthest of it
  (probabilistic principal components: Tipping and Bishop 1999);
- *of another class*: the base DNN's soft answers tell, of every training sample, how much it looks
  like classes that were never answered. A ridge regression from the features to all its log
  probabilities carries that over to new inputs. An input is novel unless the best known class leads
  every unseen class by a margin, in units of its distance, since a regression is less sure farther
  out. The margin is tuned by leaving known classes out and pretending that they are unseen.

Where every class of the base DNN has been seen, only the first remains.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cache_models.cache.architecture import gate_grid
from cache_models.network.pooling import pool_further
from cache_models.network.recorded import rows_in_batches, standardisation

COMPONENTS = 16
RIDGE = 0.01
KNOWN_FROM = 20
"""Training samples from which a class is known."""
FOLDS = 5
KEPT = 0.99
"""Share of the selection samples that are near enough."""
LEFT_OUT = 0.997
SAFETY = 1.5


class NoveltyGate(nn.Module):
    """Features `(B, *feature_shape)` → whether they are familiar, `(B,)` bool."""

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: int,
        components: int = COMPONENTS,
        unseen: bool = False,
    ):
        super().__init__()
        self.grid = gate_grid(feature_shape)
        values = pool_further(torch.zeros(1, *feature_shape), self.grid).numel()
        components = min(components, values)
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("scale", torch.ones(values))
        self.register_buffer("axes", torch.zeros(values, components, dtype=torch.float16))
        self.register_buffer("variance", torch.ones(components + 1))
        self.register_buffer("farthest", torch.tensor(torch.inf))
        self.unseen = unseen
        if unseen:
            self.register_buffer("weight", torch.zeros(values, classes, dtype=torch.float16))
            self.register_buffer("bias", torch.zeros(classes))
            self.register_buffer("known", torch.ones(classes, dtype=torch.bool))
            self.register_buffer("least_lead", torch.tensor(-torch.inf))

    def forward(self, features: Tensor) -> Tensor:
        x = self.standardised(features)
        distance = self.distance(x)
        familiar = distance <= self.farthest
        if self.unseen:
            familiar &= self.lead(x, distance) >= self.least_lead
        return familiar

    def standardised(self, features: Tensor) -> Tensor:
        """`(B, d)`."""
        return (pool_further(features.float(), self.grid).flatten(1) - self.mean) * self.scale

    def distance(self, x: Tensor) -> Tensor:
        """Mean squared distance from the training mean, each direction in its own deviation."""
        along = (x @ self.axes.float()).square()
        across = (x.square().sum(1) - along.sum(1)).clamp(min=0) / self.variance[-1]
        return ((along / self.variance[:-1]).sum(1) + across) / x.shape[1]

    def lead(self, x: Tensor, distance: Tensor) -> Tensor:
        """Of the best known class before the best unseen one, in log probability a distance."""
        scores = x @ self.weight.float() + self.bias
        known = scores.masked_fill(~self.known, -torch.inf).amax(1)
        unseen = scores.masked_fill(self.known, -torch.inf).amax(1)
        return (known - unseen) / distance.clamp(min=1e-6).sqrt()


def fit_gate(
    features: np.ndarray,
    probabilities: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    safety: float = SAFETY,
) -> NoveltyGate:
    """A gate fitted on the samples `train` and tuned on the samples `select`.

    Args:
        features: `(N, *feature_shape)` float16.
        probabilities: the base DNN's, `(N, K)`.
        train, select: disjoint indices into the N samples.
        safety: the margin is this times the `LEFT_OUT` quantile of left-out classes' leads, since
            an unseen class may look more like a known one than any known class did.
    """
    answers, classes = probabilities.argmax(1), probabilities.shape[1]
    known = np.bincount(answers[train], minlength=classes) >= KNOWN_FROM
    unseen = not known.all() and known.sum() > 1
    gate = NoveltyGate(features.shape[1:], classes, unseen=unseen)
    mean, scale = standardisation(
        pool_further(batch.float(), gate.grid).flatten(1)
        for batch in rows_in_batches(features, train)
    )
    gate.mean.copy_(mean)
    gate.scale.copy_(scale)
    # Known classes in a few folds; everything else is never left out.
    fold_of = np.full(classes, FOLDS if unseen else 0)
    if unseen:
        fold_of[known] = np.arange(known.sum()) % FOLDS
    log_p = np.log(np.clip(probabilities, 1e-12, 1))
    log_p -= log_p.mean(1, keepdims=True)
    sums = [
        _Sums.of(gate, features, log_p, train[fold_of[answers[train]] == fold])
        for fold in np.unique(fold_of)
    ]
    whole = sum(sums[1:], sums[0])

    if unseen:
        leads = []
        for fold in range(min(FOLDS, int(known.sum()))):
            left_out = select[fold_of[answers[select]] == fold]
            if len(left_out):
                _set(gate, whole - sums[fold], known & (fold_of != fold))
                leads.append(_ask(gate, features, left_out)[1])
    _set(gate, whole, known)
    gate.farthest.fill_(float(np.quantile(_ask(gate, features, select)[0], KEPT)))
    if unseen:
        leads = np.concatenate(leads)
        gate.least_lead.fill_(max(0.0, safety * float(np.quantile(leads, LEFT_OUT))))
    return gate.eval()


@dataclass(frozen=True)
class _Sums:
    """Moments of n samples' standardised features x and log probabilities y."""

    n: int
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor

    @classmethod
    def of(cls, gate: NoveltyGate, features: np.ndarray, log_p: np.ndarray, rows: np.ndarray):
        d, classes = len(gate.mean), log_p.shape[1]
        x, y = torch.zeros(d), torch.zeros(classes)
        xx, xy = torch.zeros(d, d), torch.zeros(d, classes)
        targets = torch.from_numpy(log_p[rows]).float()
        done = 0
        for batch in rows_in_batches(features, rows):
            values, target = gate.standardised(batch), targets[done : done + len(batch)]
            x += values.sum(0)
            y += target.sum(0)
            xx.addmm_(values.T, values)
            xy.addmm_(values.T, target)
            done += len(batch)
        return cls(done, x, y, xx, xy)

    def __add__(self, other: "_Sums") -> "_Sums":
        mine, theirs = vars(self), vars(other)
        return _Sums(*(mine[name] + theirs[name] for name in mine))

    def __sub__(self, other: "_Sums") -> "_Sums":
        mine, theirs = vars(self), vars(other)
        return _Sums(*(mine[name] - theirs[name] for name in mine))


def _set(gate: NoveltyGate, sums: _Sums, known: np.ndarray) -> None:
    """Principal components, and the ridge regression if it is needed, of these samples."""
    mean = sums.x / sums.n
    scatter = sums.xx - sums.n * torch.outer(mean, mean)
    d, components = gate.axes.shape
    with torch.random.fork_rng():
        torch.manual_seed(0)
        axes, strengths, _ = torch.svd_lowrank(scatter, components, niter=4)
    variance = strengths / sums.n
    rest = (scatter.trace() / sums.n - variance.sum()).clamp(min=0) / max(1, d - components)
    floor = 1e-6 + 1e-3 * float(variance.mean())
    gate.axes.copy_(axes)
    gate.variance.copy_(torch.cat([variance, rest[None]]).clamp(min=floor))
    if gate.unseen:
        target_mean = sums.y / sums.n
        covariance = (sums.xy - sums.n * torch.outer(mean, target_mean)).double()
        ridge = scatter.double()
        ridge.diagonal().add_(RIDGE * d)
        weight = torch.linalg.solve(ridge, covariance).float()
        gate.weight.copy_(weight)
        gate.bias.copy_(target_mean - mean @ weight)
        gate.known.copy_(torch.from_numpy(known))


def _ask(
    gate: NoveltyGate, features: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distances and, where there are unseen classes, leads of some samples."""
    distances, leads = [], []
    for batch in rows_in_batches(features, rows):
        x = gate.standardised(batch)
        distances.append(gate.distance(x))
        if gate.unseen:
            leads.append(gate.lead(x, distances[-1]))
    return torch.cat(distances).numpy(), torch.cat(leads or [torch.zeros(0)]).numpy()
