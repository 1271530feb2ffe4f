"""Train a learned cache on recorded features by distillation (Hinton et al. 2015)."""

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cache_models.learned_cache import LearnedCache, Selector
from cache_models.predictors import Predictor, Variant

READ_BATCH = 500


def train_cache(
    variant: Variant,
    features: np.ndarray,
    probabilities: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    false_hit_cost: float = 1.0,
    seed: int = 0,
) -> LearnedCache:
    """A learned cache whose predictor learns on the samples `train`, and whose selector, and the
    moment at which training stops, on the samples `select`.

    Features are read a batch at a time, so that memory does not grow with the number of samples.

    Args:
        features: `(N, *feature_shape)` float16.
        probabilities: the base DNN's, `(N, K)`.
        train, select: disjoint indices into the N samples, ascending.
        false_hit_cost: what a hit with another label than the base DNN's costs the selector, for a
            missed hit that costs 1.
    """
    torch.manual_seed(seed)
    cache = LearnedCache(variant, features.shape[1:], probabilities.shape[1])
    targets = torch.from_numpy(np.ascontiguousarray(probabilities))
    _train_predictor(cache.predictor, features, targets, train, select)
    cache.eval()
    scores = scores_of(cache.predictor, features, select)
    agrees = scores.argmax(1) == targets[select].argmax(1)
    _train_selector(cache.selector, scores, agrees, false_hit_cost)
    return cache.eval()


def scores_of(predictor: Predictor, features: np.ndarray, rows: np.ndarray) -> Tensor:
    """The predictor's scores of some samples, `(len(rows), K)`."""
    predictor.eval()
    with torch.no_grad():
        return torch.cat([predictor(batch) for batch in batches(features, rows)])


def batches(features: np.ndarray, rows: np.ndarray) -> Iterator[Tensor]:
    """The features of some samples, in order, a part at a time."""
    for start in range(0, len(rows), READ_BATCH):
        yield torch.from_numpy(features[rows[start : start + READ_BATCH]])


def _train_predictor(
    predictor: Predictor,
    features: np.ndarray,
    targets: Tensor,
    train: np.ndarray,
    select: np.ndarray,
    epochs: int = 25,
    patience: int = 3,
    batch: int = 128,
) -> None:
    """AdamW until the loss on `select` has not fallen for `patience` epochs."""
    predictor.fit_scaling(batches(features, train))
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=1e-3, weight_decay=0.05)
    best, best_loss, best_epoch = None, float("inf"), 0
    for epoch in range(epochs):
        predictor.train()
        order = train[torch.randperm(len(train)).numpy()]
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            optimizer.zero_grad(set_to_none=True)
            scores = predictor(torch.from_numpy(features[rows]))
            F.cross_entropy(scores, targets[rows]).backward()
            optimizer.step()
        loss = F.cross_entropy(scores_of(predictor, features, select), targets[select]).item()
        if loss < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(predictor.state_dict()), loss, epoch
        elif epoch - best_epoch >= patience:
            break
    predictor.load_state_dict(best)


def _train_selector(
    selector: Selector, scores: Tensor, agrees: Tensor, false_hit_cost: float
) -> None:
    """Logistic regression, by L-BFGS, with a small L2 penalty."""
    terms = selector.terms(scores)
    selector.mean.copy_(terms.mean(0))
    selector.scale.copy_(1 / (terms.std(0) + 1e-6))
    target = agrees.float()
    weight = torch.where(agrees, 1.0, false_hit_cost)
    optimizer = torch.optim.LBFGS(
        selector.linear.parameters(), max_iter=200, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy(selector(scores), target, weight)
        value = value + 1e-3 * selector.linear.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
