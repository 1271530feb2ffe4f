"""The graph of a learned cache says what the learned cache says."""

import numpy as np
import pytest
import torch
from torch import nn

from cache_models.cache.asking import served
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.novelty import fit_gate
from cache_models.cache.predictors import variants_for


@pytest.mark.parametrize(
    "shape",
    [(3, 32, 32), (1, 28, 20), (6, 5, 5), (64, 11, 11), (8, 2, 2), (10, 12), (20,)],
    ids=str,
)
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("unseen", [False, True])
def test_a_graph_says_what_the_learned_cache_says(shape, classes, unseen):
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (400, *shape)).astype(np.float16)
    labels = rng.integers(0, classes - (unseen and classes > 2), 400)
    probabilities = (np.eye(classes) * 0.8 + 0.2 / classes)[labels].astype(np.float32)
    gate = fit_gate(features, probabilities, np.arange(300), np.arange(300, 400))
    asked = (features * rng.uniform(0.5, 2, (400,) + (1,) * len(shape))).astype(np.float16)
    for variant in variants_for(shape):
        torch.manual_seed(0)
        cache = LearnedCache(variant, shape, classes, gate).eval()
        cache.predictor.fit_scaling([torch.from_numpy(features)])
        nn.init.normal_(cache.selector.mean)
        cache.selector.stake.fill_(0.3)
        for module in cache.modules():  # statistics as training leaves them
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        engine = served(cache)
        for rows in (1, 7, 400):
            with torch.inference_mode():
                expected = cache(torch.from_numpy(asked[:rows]))
            for got, right in zip(engine(asked[:rows]), expected, strict=True):
                np.testing.assert_allclose(got, right.numpy(), atol=1e-4)
