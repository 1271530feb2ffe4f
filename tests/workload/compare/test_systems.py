"""What systems are made of, and that one that fails to start is named while the rest goes on."""

import socket
import sys

import numpy as np
import pytest
import torch

from cache_models.bench.evaluation import base_answers
from cache_models.network.base_dnn import load
from cache_models.promise.prior import load_said
from cache_models.promise.promise import Limits
from cache_models.store.versions import CacheVersion, Store
from cache_models.zoo.fashion import STORE
from tests.plans import plan_for
from tests.tiny import images
from workload.client.protocols import png
from workload.compare.systems import bring_up, front, stores
from workload.compare.systems.processes import refuse_stale_haproxy, start
from workload.compare.systems.whole import Whole
from workload.errors import StartError

TINY = "tests.tiny:tiny"


def test_systems_that_fail_are_named_and_the_rest_goes_on():
    asked = []

    def answers(name, url):
        asked.append(url)
        return None if name == "good" else "refused"

    ready, failed = bring_up.wait_until_ready(
        {"dead": "/a", "good": "/b", "late": "/c"},
        lambda name: "dead ended with 1: no module" if name == "dead" else None,
        answers,
        last_s=0.05,
        tick_s=0.01,
    )
    assert ready == ["good"]
    assert failed["dead"] == "dead ended with 1: no module"
    assert failed["late"].endswith("refused")
    assert "/a" not in asked


def test_a_process_is_stopped_with_what_it_started(tmp_path):
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()'])"
    program = f"{child}\nimport time\nprint('up', flush=True)\ntime.sleep(600)"
    running = start("sleeper", [sys.executable, "-c", program], tmp_path / "log")
    assert running.ended is None
    running.stop()
    assert running.process.returncode is not None
    assert "sleeper ended with" in running.ended


def test_a_port_that_haproxy_needs_is_named_when_it_is_taken():
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port}.*haproxy"):
            refuse_stale_haproxy([port])
    refuse_stale_haproxy([port])


def test_the_whole_base_dnn_answers_as_itself():
    pictures = images(20)
    whole = Whole(TINY, "cpu", 1)
    given = [whole.answer(png(picture)) for picture in pictures]
    assert [a["class_id"] for a in given] == base_answers(load(TINY), pictures).tolist()
    assert {a["exit"] for a in given} == {"base"}
    eager = Whole(TINY, "cpu", 1, eager=True)
    assert [eager.answer(png(p))["class_id"] for p in pictures] == [a["class_id"] for a in given]


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


def test_the_model_cascade_is_made_once_and_keeps_the_promise(tmp_path, monkeypatch, one_thread):
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
