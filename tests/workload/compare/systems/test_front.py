"""The model cascade: a small CNN before the whole base DNN."""

import numpy as np

from cache_models.bench.evaluation import base_answers
from cache_models.network.base_dnn import load
from cache_models.promise.promise import Limits
from cache_models.store.versions import CacheVersion
from tests.plans import plan_for
from tests.tiny import images
from workload.client.protocols import png
from workload.compare.systems import front

TINY = "tests.tiny:tiny"


def test_the_model_cascade_is_made_once_and_keeps_the_promise(tmp_path, monkeypatch):
    monkeypatch.setenv("GATI_HOME", str(tmp_path))
    np.save(tmp_path / "data.npy", images(1000))
    base = load(TINY)
    limits = Limits(max_disagreement=0.05, max_class_disagreement=0.2)
    plan = plan_for(["stem"], base.description.classes)
    plan.fingerprint, plan.data = base.fingerprint(), str(tmp_path / "data.npy")
    plan.promise.limits = limits
    version = CacheVersion(1, plan, tmp_path)
    card = front.make(base, version)
    (tmp_path / "data.npy").unlink()  # from disk now
    assert front.make(base, version) == card

    cascade = front.Cascade(TINY, "cpu", 1, str(front.Files.of(plan).folder))
    fresh = images(300, seed=5)
    given = [cascade.answer(png(picture)) for picture in fresh]
    wrong = np.array([a["class_id"] for a in given]) != base_answers(base, fresh)
    hits = np.array([a["exit"] == front.EXIT for a in given])
    assert hits.mean() > 0.1
    assert not wrong[~hits].any()
    assert wrong.mean() < 0.1
