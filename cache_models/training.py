"""Train a learned cache on recorded features by distillation (Hinton et al. 2015)."""

import copy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cache_models.learned_cache import LearnedCache, Predictor, Selector, Variant


def train_cache(
    variant: Variant,
    features: np.ndarray,
    probabilities: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    seed: int = 0,
) -> LearnedCache:
    """A learned cache whose predictor learns on the samples `train`, and whose selector, and the
    moment at which training stops, on the samples `select`.

    Args:
        features: `(N, *feature_shape)` float16.
        probabilities: the base DNN's, `(N, K)`.
        train, select: disjoint indices into the N samples.
    """
    torch.manual_seed(seed)
    cache = LearnedCache(variant, features.shape[1:], probabilities.shape[1])
    x_train, x_select = (torch.from_numpy(features[i]).float() for i in (train, select))
    p_train, p_select = (torch.from_numpy(probabilities[i]) for i in (train, select))
    _train_predictor(cache.predictor, x_train, p_train, x_select, p_select)
    cache.eval()
    with torch.inference_mode():
        scores = cache.predictor(x_select)
    _train_selector(cache.selector, scores.clone(), scores.argmax(1) == p_select.argmax(1))
    return cache.eval()


def _train_predictor(
    predictor: Predictor,
    x: Tensor,
    p: Tensor,
    x_select: Tensor,
    p_select: Tensor,
    epochs: int = 40,
    patience: int = 6,
    batch: int = 128,
) -> None:
    predictor.fit_scaling(x)
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=1e-3, weight_decay=0.05)
    best, best_loss, best_epoch = None, float("inf"), 0
    for epoch in range(epochs):
        predictor.train()
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(predictor(x[rows]), p[rows]).backward()
            optimizer.step()
        predictor.eval()
        with torch.inference_mode():
            loss = F.cross_entropy(predictor(x_select), p_select).item()
        if loss < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(predictor.state_dict()), loss, epoch
        elif epoch - best_epoch >= patience:
            break
    predictor.load_state_dict(best)


def _train_selector(selector: Selector, scores: Tensor, agrees: Tensor) -> None:
    """Logistic regression, by L-BFGS, with a small L2 penalty."""
    terms = selector.terms(scores)
    selector.mean.copy_(terms.mean(0))
    selector.scale.copy_(1 / (terms.std(0) + 1e-6))
    target = agrees.float()
    optimizer = torch.optim.LBFGS(
        selector.linear.parameters(), max_iter=200, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy(selector(scores), target)
        value = value + 1e-3 * selector.linear.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
