"""Every family reads maps, tokens and vectors where it has a meaning, and learns from them."""

import numpy as np
import pytest
import torch

from cache_models.cache.predictors import Predictor, variants_for
from cache_models.cache.training import train_cache
from cache_models.cache.variant import Variant

SHAPES = [(2, 24, 24), (6, 5, 5), (6, 1, 1), (10, 12), (1, 12), (20,)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_variant_gives_one_row_of_scores_per_sample(shape):
    for variant in variants_for(shape):
        predictor = Predictor(variant, shape, classes=4)
        assert predictor(torch.randn(3, *shape).half()).shape == (3, 4)


def test_of_a_fine_map_that_is_convolved_each_channel_is_scaled_as_a_whole():
    maps = torch.randn(50, 2, 24, 24) * torch.tensor([1.0, 3.0]).view(2, 1, 1)
    maps[..., :4] *= 0.01  # an edge that hardly varies, as of a picture's background
    of_edge = {}
    for size in (24, 8):
        predictor = Predictor(Variant(family="conv", size=8), (2, size, size), classes=3)
        predictor.fit_scaling([maps[:, :, :size, :size]])
        scale = predictor.scale
        of_edge[size] = (scale[:, :, 0].mean() / scale[:, :, -1].mean()).item()
    assert of_edge[24] == pytest.approx(1)
    assert of_edge[8] > 10


def test_what_an_ngram_finds_counts_wherever_in_the_text_it_is():
    torch.manual_seed(0)
    predictor = Predictor(Variant(family="ngram", size=8), (10, 12), classes=3)
    texts = torch.randn(50, 10, 12) * torch.linspace(0.1, 3, 10).view(10, 1)
    predictor.fit_scaling([texts])
    early, late = torch.zeros(2, 1, 10, 12)
    early[:, 2:5] = late[:, 5:8] = torch.randn(3, 12)
    predictor.eval()
    assert torch.allclose(predictor(early), predictor(late), atol=1e-5)
    assert not torch.allclose(predictor(early), predictor(early.flip(1)), atol=1e-3)


def test_each_kind_of_features_has_the_families_that_differ_on_it():
    assert {v.family for v in variants_for((6, 5, 5))} == {"pool", "fc", "conv"}
    assert {v.family for v in variants_for((10, 12))} == {"pool", "fc", "conv", "ngram"}
    assert {v.family for v in variants_for((20,))} == {"pool", "fc"}


@pytest.mark.parametrize("shape", [(6, 5, 5), (10, 12), (20,)], ids=str)
def test_every_variant_learns_what_features_tell(shape):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 900)
    centres = rng.normal(0, 1, (3, *shape))
    features = (centres[labels] + rng.normal(0, 0.7, (900, *shape))).astype(np.float16)
    probabilities = np.eye(3, dtype=np.float32)[labels] * 0.94 + 0.02
    for variant in variants_for(shape):
        if variant.name == "pool-1" and len(shape) == 3:
            continue  # a mean over the map has little to tell apart here
        cache = train_cache(variant, features, probabilities, np.arange(500), np.arange(500, 700))
        with torch.inference_mode():
            answers = cache(torch.from_numpy(features[700:]))[0].argmax(1).numpy()
        assert (answers == labels[700:]).mean() > 0.85, variant.name


def test_a_dear_false_hit_makes_the_selector_more_cautious():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 1200)
    features = (labels[:, None] + rng.normal(0, 0.8, (1200, 4))).astype(np.float16)
    probabilities = np.eye(2, dtype=np.float32)[labels]
    train, select = np.arange(600), np.arange(600, 1200)
    variant = variants_for((4,))[0]
    accepted = []
    for cost in (1.0, 5.0):
        cache = train_cache(variant, features, probabilities, train, select, cost)
        with torch.inference_mode():
            accepted.append((cache(torch.from_numpy(features[select]))[1] >= 0.9).float().mean())
    assert accepted[1] < accepted[0]
