"""Train a learned cache on recorded features by distillation (Hinton et al. 2015)."""

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from cache_models.cache.learned_cache import LearnedCache, Selector
from cache_models.cache.novelty import NoveltyGate
from cache_models.cache.variant import Variant
from cache_models.network.recorded import rows_in_batches

PEAK_RATE = 4e-3
EPOCHS, LEAST_EPOCHS, STEPS, BATCH = 25, 10, 8_600, 128
"""Fewer epochs the more samples there are, so that training takes at most so many steps, but never
fewer than `LEAST_EPOCHS`."""
RECIPE = (PEAK_RATE, EPOCHS, LEAST_EPOCHS, STEPS, BATCH)
"""Caches that were trained by another are trained again."""


def train_cache(
    variant: Variant,
    features: np.ndarray,
    probabilities: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    false_hit_cost: float = 1.0,
    seed: int = 0,
    gate: NoveltyGate | None = None,
    device: str = "cpu",
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
        gate: as `fit_gate` made it; none lets every input pass.
        device: where the predictor learns.
    """
    torch.manual_seed(seed)
    cache = LearnedCache(variant, features.shape[1:], probabilities.shape[1], gate)
    targets = torch.from_numpy(np.ascontiguousarray(probabilities))
    scores = fit_predictor(cache.predictor, features, targets, train, select, device=device)
    train_selector(cache.selector, scores, targets[select].argmax(1), false_hit_cost)
    return cache.eval()


def scores_of(
    predictor: nn.Module, features: np.ndarray, rows: np.ndarray, device: str = "cpu"
) -> Tensor:
    """The scores of some samples, `(len(rows), K)`, of a predictor on `device`."""
    predictor.eval()
    with torch.no_grad():
        batches = rows_in_batches(features, rows)
        return torch.cat([predictor(batch.to(device)).cpu() for batch in batches])


def fit_predictor(
    predictor: nn.Module,
    features: np.ndarray,
    targets: Tensor,
    train: np.ndarray,
    select: np.ndarray,
    epochs: int | None = None,
    patience: int = 3,
    batch: int = BATCH,
    warm: bool = False,
    rest: Callable[[], None] = lambda: None,
    device: str = "cpu",
) -> Tensor:
    """AdamW, the learning rate rising and falling once (Smith and Topin 2018).

    Convolutions are trained channels last, which takes two thirds of the time.

    Args:
        predictor: with `fit_scaling(batches)`; features `(B, ...)` → scores `(B, K)`.
        epochs: by default as many as suit the number of samples.
        warm: it is trained already, and is left as it is if nothing is better on `select`; the
            learning rate is low and even, and training ends when the loss on `select` has not
            fallen for `patience` epochs.
        rest: called after every batch.
        device: where to learn; the predictor comes back.

    Returns:
        Its scores of the samples `select`, at the best epoch, which it is left in.
    """
    epochs = epochs or epochs_for(len(train))
    best, best_scores, best_loss, best_epoch = None, None, float("inf"), 0
    if warm:
        best, best_scores = (
            copy.deepcopy(predictor.state_dict()),
            scores_of(predictor, features, select),
        )
        best_loss, best_epoch = F.cross_entropy(best_scores, targets[select]).item(), -1
    else:
        predictor.fit_scaling(rows_in_batches(features, train))
    predictor.to(device, memory_format=torch.channels_last)
    learned = targets.to(device)
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = None
    if not warm:
        steps = epochs * math.ceil(len(train) / batch)
        schedule = OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    for epoch in range(epochs):
        predictor.train()
        order = train[torch.randperm(len(train)).numpy()]
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            optimizer.zero_grad(set_to_none=True)
            values = torch.from_numpy(features[rows]).to(device)
            if values.dim() == 4:
                values = values.to(memory_format=torch.channels_last)
            scores = predictor(values)
            F.cross_entropy(scores, learned[rows]).backward()
            optimizer.step()
            if schedule:
                schedule.step()
            rest()
        selected = scores_of(predictor, features, select, device)
        loss = F.cross_entropy(selected, targets[select]).item()
        if loss < best_loss:
            best, best_scores = copy.deepcopy(predictor.state_dict()), selected
            best_loss, best_epoch = loss, epoch
        elif warm and epoch - best_epoch >= patience:
            break
    predictor.load_state_dict(best)
    predictor.to("cpu", memory_format=torch.contiguous_format)
    return best_scores


def epochs_for(samples: int, times: float = 1.0) -> int:
    """Epochs for so many samples to train on; `times` as many as a learned cache takes.

    >>> epochs_for(5_000), epochs_for(66_000), epochs_for(500_000)
    (25, 16, 10)
    """
    return round(times * min(EPOCHS, max(LEAST_EPOCHS, STEPS * BATCH // max(1, samples))))


def train_selector(
    selector: Selector, scores: Tensor, answers: Tensor, false_hit_cost: float
) -> None:
    """Logistic regression, by L-BFGS, with a small L2 penalty.

    Args:
        scores: a predictor's, `(N, K)`.
        answers: the base DNN's labels, `(N,)`.
    """
    agrees = scores.argmax(1) == answers
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
        value = F.binary_cross_entropy(selector.logit(scores).sigmoid(), target, weight)
        value = value + 1e-3 * selector.linear.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
