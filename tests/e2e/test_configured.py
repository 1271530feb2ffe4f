"""Caches at hidden layers, both engines, float32 activations and two routers, first in shadow mode;
operators."""

import httpx
import numpy as np
import pytest

from cache_models.follow.advice import Advice, Adviser
from cache_models.network.base_dnn import load
from cache_models.promise.promise import Limits
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE, sample
from tests.e2e.conftest import admin, shipped_application, stats
from tests.e2e.server import wait_until
from workload.client.protocols import png

HIDDEN = ["layer2.1", "layer4.0"]


@pytest.fixture(scope="module")
def url(server, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("configured") / "store")
    built = Store(STORE).current()
    caches = [c for c in built.plan.alternatives if c.cut_point in HIDDEN]
    advice = Advice(HIDDEN, 0.0, 0.0, caches)
    assert Adviser(built).propose(advice, store, Limits()).plan.cut_points == HIDDEN
    application = shipped_application() | {"name": "configured", "route_prefix": "/configured"}
    del application["args"]["lookup_timeout_ms"], application["args"]["retraining"]
    application["args"] |= {
        "store": str(store.folder),
        "activation_dtype": "float32",
        "partition": {"threads": 1},  # of three, the threads of one would keep the next waiting
        "overrides": {
            "Partition1": {"threads": 1, "engine": "torch"},
            "Lookup1": {"threads": 1, "engine": "torch"},
        },
        "mode": "shadow",
        "sampling": {"rate": 1.0},
    }
    deployments = application["deployments"]
    next(d for d in deployments if d["name"] == "Router")["num_replicas"] = 2
    deployments += [
        {"name": name, "ray_actor_options": {"num_cpus": 0.1}}
        for name in ("Partition1", "Partition2", "Lookup1")
    ]
    with server.application(application) as url:
        yield url


def test_with_caches_off_every_answer_is_the_base_dnns_own(url, asked):
    images, answers = (part[400:700] for part in asked)
    with httpx.Client(base_url=url, timeout=60) as client:
        given = [
            client.post("/predict?cache=off", content=png(image)).json()["class_id"]
            for image in images
        ]
    assert np.array_equal(given, answers)


def test_stats_speak_for_all_routers(url):
    body = png(sample()[0][0])
    for _ in range(20):  # a connection each, so that both routers get some
        assert httpx.post(f"{url}/predict", content=body, timeout=60).status_code == 200
    told = stats(url)
    assert told["routers"] == 2
    assert told["requests"] == 20


def test_in_shadow_mode_the_base_dnn_answers_and_the_caches_are_judged(url, asked):
    images, answers = (part[600:700] for part in asked)
    before = stats(url)["guard"]["sampled"]

    def ask_all() -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            given = [client.post("/predict", content=png(image)).json() for image in images]
        assert {answer["exit"] for answer in given} == {"base"}
        assert np.array_equal([answer["class_id"] for answer in given], answers)

    def judged() -> bool:
        """Whether 100 more have been; a machine that others use affords fewer at a time."""
        if stats(url)["guard"]["sampled"] >= before + 100:
            return True
        ask_all()
        return False

    wait_until(judged, "too few are sampled", 180)
    guard = stats(url)["guard"]
    assert guard["caches"] == "shadow"
    recent = guard["recent"]
    assert recent["exits"].get("base", 0) < recent["sampled"] / 2
    assert recent["disagreement"] <= 0.05


def test_operators_need_the_token_and_ask_for_what_there_is(url):
    assert admin(url, "GET", "rounds", token="other").status_code == 401
    assert admin(url, "POST", "mode", json={"mode": "fast"}).status_code == 422
    refused = admin(url, "POST", "rollback", json={"version": 99})
    assert refused.status_code == 409 and "version 99" in refused.json()["error"]
    (version,) = admin(url, "GET", "versions").json()
    assert version["serving"] and version["cache_version"] == 1
    assert admin(url, "GET", "rounds").json() == []


def test_every_partition_is_on_the_way_of_a_request_that_the_base_dnn_answers(url):
    body, headers = png(sample()[0][0]), {"X-Trace": "1"}
    answer = httpx.post(f"{url}/predict?cache=off", content=body, headers=headers, timeout=60)
    steps = {step["step"]: step for step in answer.json()["trace"]}
    assert list(steps) == ["read", "decode", "Partition0", "Partition1", "Partition2"]
    assert steps["Partition2"]["at_ms"] >= steps["Partition1"]["at_ms"]


def test_hidden_layers_answer_once_they_may(url, asked):
    images, answers = (part[500:700] for part in asked)
    assert admin(url, "POST", "mode", json={"mode": "serve"}).status_code == 200
    wait_until(lambda: stats(url)["guard"]["caches"] == "serve", "caches stay off")
    batches = [asked[0][start : start + 8] for start in range(0, 160, 8)]
    wait_until(lambda: all(hits_in(url, b) for b in batches), "a router asks no cache")
    classes, given, exits = load("default").description.classes, [], []
    for start in range(0, len(images), 8):
        answer = infer(url, images[start : start + 8])
        labels = next(o for o in answer["outputs"] if o["name"] == "label")["data"]
        given += [classes.index(label) for label in labels]
        exits += answer["parameters"]["exits"].split(",")
    assert set(exits) == {*HIDDEN, "base"}
    assert np.mean(np.array(given) != answers) <= 0.03


def infer(url, batch) -> dict:
    """The answer to one batch, on a connection of its own, so that any router may get it."""
    tensor = {"name": "image", "shape": batch.shape, "datatype": "UINT8"}
    body = {"inputs": [tensor | {"data": batch.ravel().tolist()}]}
    return httpx.post(f"{url}/v2/models/fashion-mnist/infer", json=body, timeout=60).json()


def hits_in(url, batch) -> bool:
    """Whether the router that answers has been told that caches may."""
    return set(infer(url, batch)["parameters"]["exits"].split(",")) != {"base"}
