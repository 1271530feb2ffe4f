"""Caches at hidden layers, float32 activations and two routers, first in shadow mode; operators."""

import time

import httpx
import numpy as np
import pytest
import yaml

from cache_models.follow.advice import Advice, Adviser
from cache_models.network.base_dnn import load
from cache_models.promise.promise import Limits
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE, sample
from tests.e2e.conftest import ROOT, admin, serve_run, stats, wait_until
from workload.client.protocols import png

HIDDEN = ["layer2.1", "layer4.0"]


@pytest.fixture(scope="module")
def url(lane, tmp_path_factory):
    folder = tmp_path_factory.mktemp("configured")
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    config["http_options"]["port"] = 8017
    shipped = Store(STORE).current()
    adviser, limits = Adviser(shipped), Limits()
    caches = [c for c in shipped.plan.alternatives if c.cut_point in HIDDEN]
    advice = Advice(HIDDEN, 0.0, 0.0, caches)
    assert adviser.propose(advice, Store(folder / "store"), limits).plan.cut_points == HIDDEN
    app = config["applications"][0]
    app["args"]["store"] = str(folder / "store")
    app["args"] |= {"activation_dtype": "float32", "mode": "shadow", "sampling": {"rate": 1.0}}
    app["args"]["lane"] = lane
    next(d for d in app["deployments"] if d["name"] == "Router")["num_replicas"] = 2
    app["deployments"] += [
        {"name": name, "ray_actor_options": {"num_cpus": 0.1}}
        for name in ("Partition1", "Partition2", "Lookup1")
    ]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with serve_run(folder / "config.yaml", folder / "serve.log") as url:
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
    stats = httpx.get(f"{url}/stats", timeout=60).json()
    assert stats["routers"] == 2
    assert stats["requests"] == 20


def test_in_shadow_mode_the_base_dnn_answers_and_the_caches_are_judged(url, asked):
    images, answers = (part[600:700] for part in asked)
    before = httpx.get(f"{url}/stats", timeout=60).json()["guard"]["sampled"]
    with httpx.Client(base_url=url, timeout=60) as client:
        given = [client.post("/predict", content=png(image)).json() for image in images]
    assert {answer["exit"] for answer in given} == {"base"}
    assert np.array_equal([answer["class_id"] for answer in given], answers)
    deadline = time.monotonic() + 120
    while True:
        guard = httpx.get(f"{url}/stats", timeout=60).json()["guard"]
        if guard["sampled"] >= before + 100:
            break
        assert time.monotonic() < deadline, guard
        time.sleep(0.5)
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
    time.sleep(2)  # both routers have exchanged with the trainer
    tensor = {"name": "image", "shape": [8, 28, 28, 1], "datatype": "UINT8"}
    classes, given, exits = load("default").description.classes, [], []
    for start in range(0, len(images), 8):
        data = images[start : start + 8].flatten().tolist()
        answer = httpx.post(
            f"{url}/v2/models/fashion-mnist/infer",
            json={"inputs": [tensor | {"data": data}]},
            timeout=60,
        ).json()
        labels = next(o for o in answer["outputs"] if o["name"] == "label")["data"]
        given += [classes.index(label) for label in labels]
        exits += answer["parameters"]["exits"].split(",")
    assert set(exits) == {*HIDDEN, "base"}
    assert np.mean(np.array(given) != answers) <= 0.03
