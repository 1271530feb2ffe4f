"""A selector risks mistakes in proportion to what a hit saves."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.special import expit

from cache_models.cache.learned_cache import LearnedCache, Selector, load_cache, save_cache
from cache_models.cache.training import train_selector
from cache_models.cache.variant import Variant
from cache_models.promise.promise import PATH, Limits, calibrate, exits_and_mistakes

VARIANT = Variant(family="pool", size=1)


@pytest.fixture
def scores():
    return torch.randn(4000, 5, generator=torch.Generator().manual_seed(0)) * 4


@pytest.fixture
def trained(scores):
    """On a predictor that is the more often right the surer it is."""
    noise = torch.randn(scores.shape, generator=torch.Generator().manual_seed(1)) * 2
    selector = Selector()
    train_selector(selector, scores, (scores + noise).argmax(1), 1.0)
    return selector


@torch.inference_mode()
@pytest.mark.parametrize("stake", [0.5, 0.1])
def test_what_saves_less_hits_only_where_it_errs_as_much_less(trained, scores, stake):
    agrees = trained(scores)
    trained.stake.fill_(stake)
    confidence = trained(scores)
    for threshold in PATH[::10].tolist():
        odds_against = (1 - agrees) / agrees
        expected = odds_against <= stake * (1 - threshold) / threshold
        assert ((confidence >= threshold) == expected).float().mean() > 0.999  # rounding


@torch.inference_mode()
def test_the_whole_at_stake_leaves_the_probability_of_agreement(trained, scores):
    assert torch.equal(trained(scores), trained.logit(scores).sigmoid())


def test_a_selector_learns_the_same_whatever_is_at_stake(trained, scores):
    answers = scores.argmax(1).roll(1)
    both = Selector(), Selector()
    both[1].load_state_dict(both[0].state_dict())
    both[1].stake.fill_(0.2)
    for selector in both:
        train_selector(selector, scores, answers, 1.0)
    assert torch.equal(both[0].linear.weight, both[1].linear.weight)
    assert both[1].stake == pytest.approx(0.2)


def test_a_file_keeps_what_is_at_stake_and_an_old_one_has_the_whole(tmp_path):
    cache = LearnedCache(VARIANT, (4,), 3).eval()
    cache.selector.stake.fill_(0.3)
    file = tmp_path / "cache.safetensors"
    save_cache(cache, file)
    assert load_cache(file, VARIANT, (4,), 3).selector.stake == pytest.approx(0.3)
    old = load_file(file)
    del old["selector.stake"]
    save_file(old, file)
    assert load_cache(file, VARIANT, (4,), 3).selector.stake == 1


def test_weighed_by_what_is_at_stake_the_same_risk_costs_less_compute():
    """A late cache that often errs no longer uses up what an early one is allowed."""
    shares, limits, ratios = np.array([0.0, 0.85, 1.0]), Limits(max_disagreement=0.02), []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        logits = rng.normal(4, 3, 8000)[None] + rng.normal(0, 1, (2, 8000))
        wrong = rng.random((2, 8000)) > expit(logits)
        answers = np.zeros(4000, int)
        compute, risks = [], []
        for stakes in (np.ones(2), 1 - shares[:2]):
            said = expit(logits + np.log(stakes)[:, None])
            half = [*wrong[:, :4000]], [*said[:, :4000]]
            other = [*wrong[:, 4000:]], [*said[:, 4000:]]
            threshold = calibrate(*half, answers, 1, limits).threshold
            exits, mistakes = exits_and_mistakes(*other, answers, threshold)
            compute.append(shares[exits].mean())
            risks.append(mistakes.mean())
        assert max(risks) < 0.025  # the limit, and 2 standard errors
        ratios.append(compute[1] / compute[0])
    assert np.mean(np.array(ratios) < 1) >= 0.9
    assert np.mean(ratios) < 0.95
