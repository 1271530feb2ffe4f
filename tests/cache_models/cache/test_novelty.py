"""The gate lets familiar inputs pass, and neither far ones nor those of classes never seen."""

import numpy as np
import pytest
import torch

from cache_models.cache.learned_cache import load_cache, save_cache
from cache_models.cache.novelty import fit_gate
from cache_models.cache.training import train_cache
from cache_models.cache.variant import Variant

CLASSES = 6


def samples(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of six overlapping classes `(count, 24)`, and soft answers to them."""
    centres = np.random.default_rng(5).normal(0, 1, (CLASSES, 24))
    rng = np.random.default_rng(seed)
    features = centres[rng.integers(0, CLASSES, count)] + rng.normal(0, 0.6, (count, 24))
    scores = -((features[:, None] - centres) ** 2).sum(2) / (2 * 0.6**2) / 4
    soft = np.exp(scores - scores.max(1, keepdims=True))
    return features.astype(np.float16), (soft / soft.sum(1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def known_classes():
    """For ten triples of classes: a gate that has seen only those, and new samples of both."""
    features, probabilities = samples(6000, 0)
    new, new_probabilities = samples(4000, 1)
    answers, new_answers = probabilities.argmax(1), new_probabilities.argmax(1)
    trials = []
    for seed in range(10):
        triple = np.random.default_rng(seed).choice(CLASSES, 3, replace=False)
        rows = np.flatnonzero(np.isin(answers, triple))
        half = len(rows) // 2
        gate = fit_gate(features, probabilities, rows[:half], rows[half:])
        own = np.isin(new_answers, triple)
        trials.append((gate, torch.from_numpy(new[own]), torch.from_numpy(new[~own])))
    return trials


def test_a_class_that_was_never_seen_is_novel(known_classes):
    passed = [gate(others).float().mean().item() for gate, _, others in known_classes]
    assert np.mean(passed) <= 0.01
    assert max(passed) <= 0.03


def test_known_classes_pass(known_classes):
    passed = [gate(own).float().mean().item() for gate, own, _ in known_classes]
    assert np.mean(passed) >= 0.8


def test_where_all_classes_are_known_only_what_is_far_is_novel():
    features, probabilities = samples(3000, 0)
    gate = fit_gate(features, probabilities, np.arange(2000), np.arange(2000, 3000))
    new = torch.from_numpy(samples(3000, 1)[0])
    assert gate(new).float().mean() >= 0.98
    assert gate(5 * new).float().mean() == 0
    assert gate(torch.randn(1000, 24).half() * 3).float().mean() == 0


def test_a_novel_input_is_never_a_hit_and_a_kept_cache_has_its_gate(known_classes, tmp_path):
    gate, own, others = known_classes[0]
    features, probabilities = samples(600, 0)
    variant = Variant(family="pool", size=1)
    train, select = np.arange(400), np.arange(400, 600)
    cache = train_cache(variant, features, probabilities, train, select, gate=gate)
    save_cache(cache, tmp_path / "cache.safetensors")
    again = load_cache(tmp_path / "cache.safetensors", variant, (24,), CLASSES)
    with torch.inference_mode():
        for inputs in (own, others):
            confidences = cache(inputs)[1]
            assert torch.equal(confidences == 0, ~gate(inputs))
            assert torch.equal(confidences, again(inputs)[1])


def test_a_class_seen_a_few_times_only_is_not_known():
    features, probabilities = samples(3000, 0)
    answers = probabilities.argmax(1)
    rare = np.flatnonzero(answers == 0)[5:]
    rows = np.setdiff1d(np.arange(3000), rare)
    gate = fit_gate(features, probabilities, rows[:2000], rows[2000:])
    assert not gate.known[0] and gate.known[1:].all()
    assert gate(torch.from_numpy(features[rare])).float().mean() <= 0.03
