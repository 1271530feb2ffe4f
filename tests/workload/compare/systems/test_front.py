"""The model cascade: a small CNN before the whole base DNN."""

import numpy as np

from cache_models.bench.evaluation import base_answers
from cache_models.network.base_dnn import load
from cache_models.promise.promise import Limits
from cache_models.store.version import CacheVersion
from tests.plans import plan_for
from tests.tiny import images
from workload.client.protocols import png
from workload.compare.systems import front, graphs, stores
from workload.compare.systems.cascade import EXIT, GRAPH, Cascade, read

TINY = "tests.tiny:tiny"


def test_the_model_cascade_is_made_once_and_keeps_the_promise(tmp_path, monkeypatch):
    monkeypatch.setenv("GATI_HOME", str(tmp_path))
    np.save(tmp_path / "data.npy", images(1000))
    base = load(TINY)
    limits = Limits(max_disagreement=0.05, max_class_disagreement=0.2)
    plan = plan_for(["stem"], base.description.classes)
    plan.model, plan.fingerprint, plan.description = TINY, base.fingerprint(), base.description
    plan.data, plan.promise.limits = str(tmp_path / "data.npy"), limits
    version = CacheVersion(1, plan, tmp_path / "store" / "versions" / "1")
    card = front.make(base, version)
    (tmp_path / "data.npy").unlink()  # from disk now
    assert front.make(base, version) == card

    whole = tmp_path / "whole"
    graphs.give(stores.without_caches(version, whole), whole)
    cascade = Cascade(whole, "cpu", 1, front.folder_of(plan))
    fresh = images(300, seed=5)
    given = [cascade.answer(png(picture)) for picture in fresh]
    wrong = np.array([a["class_id"] for a in given]) != base_answers(base, fresh)
    hits = np.array([a["exit"] == EXIT for a in given])
    assert hits.mean() > 0.1
    assert not wrong[~hits].any()
    assert wrong.mean() < 0.1

    with open(front.folder_of(plan) / GRAPH, "ab") as graph:
        graph.write(b"damage")
    assert read(front.folder_of(plan)) is None
