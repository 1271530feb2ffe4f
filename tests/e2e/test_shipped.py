"""The application of `serve_config.yaml` at its own address, as a stranger meets it."""

import gzip
import json
from pathlib import Path

import httpx
import numpy as np
import pytest

from cache_models.network.base_dnn import load
from cache_models.zoo.fashion import FOLDER, sample
from tests.e2e.conftest import by_way
from tests.e2e.server import wait_until
from workload.client.protocols import png
from workload.run.agreement import ask

MODEL = "/v2/models/fashion-mnist"


@pytest.fixture(scope="module")
def client(shipped):
    with httpx.Client(base_url=shipped, timeout=60) as client:
        yield client


def test_the_readmes_picture_gets_its_label(client):
    answer = client.post("/predict", content=(FOLDER / "ankle_boot.png").read_bytes())
    assert answer.status_code == 200
    body = answer.json()
    assert body["label"] == "ankle boot"
    assert body["class_id"] == 9
    assert 0 < body["probability"] <= 1
    assert body["latency_ms"] > 0
    assert body["request_id"]
    assert (body["cache_version"] is None) == (body["exit"] == "base")


def test_a_multipart_field_and_the_callers_request_id_are_taken(client):
    picture = (FOLDER / "ankle_boot.png").read_bytes()
    answer = client.post(
        "/predict", files={"image": ("boot.png", picture)}, headers={"X-Request-ID": "mine"}
    )
    assert answer.json()["label"] == "ankle boot"
    assert answer.json()["request_id"] == "mine"


def test_answers_agree_with_the_base_dnn_as_promised(shipped, asked):
    """500 of the sample: with caches off (fp16 activations) and on, at most what 1 % disagreement
    exceeds with probability 0.05; and half of them hit."""
    images, answers = (part[:500] for part in asked)
    sides = ask(shipped, images)
    assert (np.array(sides["off"].class_ids) != answers).sum() <= 9
    assert (np.array(sides["on"].class_ids) != answers).sum() <= 9
    assert set(sides["off"].exits) == {"base"}
    assert np.mean([exit != "base" for exit in sides["on"].exits]) > 0.5


def test_some_requests_are_sampled_and_the_guard_keeps_the_caches_on(client):
    wait_until(lambda: client.get("/stats").json()["guard"]["sampled"], "no sampled request", 60)
    guard = client.get("/stats").json()["guard"]
    assert guard["caches"] == "serve"
    assert guard["alarms"] == 0


def test_requests_with_the_cache_off_are_not_counted(client):
    body = png(sample()[0][0])
    before = client.get("/stats").json()["requests"]
    for cache in ("off", "on", "off"):
        assert client.post("/predict", params={"cache": cache}, content=body).status_code == 200
    assert client.get("/stats").json()["requests"] == before + 1


def test_a_batch_is_answered_row_by_row(client):
    images = sample()[0][:70]
    tensor = {"name": "image", "shape": images.shape, "datatype": "UINT8"}
    request = {"id": "b", "inputs": [tensor | {"data": images.ravel().tolist()}]}
    answer = client.post(f"{MODEL}/infer", content=json.dumps(request)).json()
    assert answer["id"] == "b"
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["probabilities"]["shape"] == [70, 10]
    exits = answer["parameters"]["exits"].split(",")
    assert len(exits) == 70
    assert len(set(exits)) > 1
    one_by_one = [client.post("/predict", content=png(image)).json() for image in images[:10]]
    assert [one["label"] for one in one_by_one] == outputs["label"]["data"][:10]
    assert [one["exit"] for one in one_by_one] == exits[:10]

    request["parameters"] = {"cache": "off"}
    answer = client.post(f"{MODEL}/versions/1/infer", content=json.dumps(request)).json()
    assert set(answer["parameters"]["exits"].split(",")) == {"base"}


def test_a_tensor_is_answered_like_the_image_it_was_made_from(client):
    images = sample()[0][:1]
    inputs = load("default").inputs(images)
    request = {
        "inputs": [
            {
                "name": "input",
                "shape": list(inputs.shape),
                "datatype": "FP32",
                "data": inputs.flatten().tolist(),
            }
        ]
    }
    answer = client.post(f"{MODEL}/infer", content=json.dumps(request)).json()
    assert answer["outputs"][1]["data"] == [
        client.post("/predict", content=png(images[0])).json()["label"]
    ]


def test_calls_go_by_lane(client, shipped):
    wait_until(lambda: client.get("/stats").json()["hops"]["Lookup0"]["connected"], "no lane")
    before, body = by_way(shipped), png(sample()[0][0])
    for _ in range(10):
        assert client.post("/predict", content=body).status_code == 200
    assert by_way(shipped)["lane"] - before["lane"] >= 10


def test_a_trace_says_where_the_time_went(client):
    answer = client.post(
        "/predict?cache=off", content=png(sample()[0][0]), headers={"X-Trace": "1"}
    ).json()
    steps = {step["step"]: step for step in answer["trace"]}
    assert list(steps) == ["read", "decode", "Partition0"]
    assert steps["Partition0"]["at_ms"] >= steps["decode"]["ms"]
    assert steps["Partition0"]["compute_ms"] > 0
    assert sum(step["ms"] for step in answer["trace"]) <= answer["latency_ms"]


def test_metadata_and_health(client):
    assert client.get("/v2").json()["name"] == "gati"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get(f"{MODEL}/ready").json()["ready"] is True
    metadata = client.get(MODEL).json()
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["image", "input"]
    assert metadata["versions"] == ["1"]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/predict", b"no image", 415, "PNG, JPEG, WEBP"),
        ("/predict", b"", 422, "empty"),
        ("/predict", bytes(11 * 1024 * 1024), 413, "10485760 bytes"),
        ("/predict?cache=maybe", b"", 422, "'maybe'; it may be 'on' or 'off'"),
        (f"{MODEL}/infer", b"{", 400, "Invalid JSON"),
        (f"{MODEL}/versions/2/infer", b"{}", 404, "no version '2'; it has '1'"),
        ("/v2/models/other/infer", b"{}", 404, "no model 'other'; there is 'fashion-mnist'"),
    ],
)
def test_a_bad_request_gets_a_clear_4xx(client, path, body, status, message):
    answer = client.post(path, content=body)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_serving_processes_have_not_loaded_pytorch(server, shipped):
    replicas = [
        pid
        for deployment in ("Router", "Partition0", "Lookup0")
        for pid in server.replicas("gati", deployment).values()
    ]
    assert len(replicas) == 3
    for pid in replicas:
        assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()


def test_stats_name_the_plan_and_the_version(client):
    stats = client.get("/stats").json()
    assert stats["cache_version"] >= 1
    assert stats["plan"]["promise"]["threshold"] > 0
    assert stats["hit_rate"] > 0
    assert stats["latency_ms"]["count"] == stats["requests"]
    assert stats["lookup_failures"] == {}


def test_http_is_spoken_as_probes_and_browsers_speak_it(shipped):
    picture = png(sample()[0][0])
    with httpx.Client(base_url=shipped, timeout=60) as client:
        packed = {"Content-Encoding": "gzip"}
        answer = client.post("/predict", content=gzip.compress(picture), headers=packed)
        assert answer.status_code == 200, answer.text
        head = client.head("/v2/health/ready")
        assert (head.status_code, head.content) == (200, b"")
        for method, path, status in (
            ("PUT", "/predict", 405),
            ("PURGE", "/stats", 405),
            ("OPTIONS", "/predict", 405),
            ("GET", "/nowhere", 404),
            ("POST", "/predict/", 404),
        ):
            refused = client.request(method, path)
            assert (refused.status_code, refused.json().keys()) == (status, {"error"})
