"""Stores for systems that are compared keep the promise."""

import numpy as np
import torch

from cache_models.follow.said import load_said
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE
from workload.compare.systems import stores


def test_entropy_exits_trust_by_entropy_alone_and_keep_the_promise(tmp_path):
    version = Store(STORE).current()
    made = stores.entropy_store(version, tmp_path).current()
    said = load_said(version)
    assert made.plan.cut_points == version.plan.cut_points
    assert made.plan.promise.threshold is not None
    hits, wrong = np.zeros(len(said.answers), bool), np.zeros(len(said.answers), bool)
    for i, scores in enumerate(said.scores):
        cache, before = made.load(i), version.load(i)
        noise = torch.rand(4, *made.plan.caches[i].feature_shape)
        assert torch.equal(cache.predictor(noise), before.predictor(noise))
        with torch.inference_mode():
            confidence = cache.selector(scores).numpy()
        probabilities = scores.softmax(1)
        entropy = -torch.xlogy(probabilities, probabilities).sum(1).numpy()
        by_entropy = np.argsort(entropy)
        assert (np.diff(confidence[by_entropy]) <= 1e-6).all()
        assert confidence.max() > confidence.min()
        hit = (confidence >= made.plan.promise.threshold) & ~hits
        wrong |= hit & (scores.argmax(1).numpy() != said.answers)
        hits |= hit
    assert hits.mean() > 0.3
    assert wrong.sum() == made.plan.promise.disagreements
    assert wrong.mean() < made.plan.promise.limits.max_disagreement


def test_a_whole_copy_has_all_versions_and_nothing_of_a_trainers(tmp_path):
    store = stores.whole_copy(Store(STORE), tmp_path / "first")
    (store.folder / stores.LOG).touch()
    copy = stores.whole_copy(store, tmp_path / "second")
    assert copy.versions() == store.versions()
    assert copy.current().plan == store.current().plan
    assert not (copy.folder / stores.LOG).exists()
