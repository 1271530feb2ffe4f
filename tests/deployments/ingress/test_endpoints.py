"""Whatever comes, the answer is JSON with the right status; `/docs` says which."""

import asyncio
import gzip
import json
import re
import zlib

import httpx
import numpy as np
import pytest
from PIL import Image

from cache_models.cascade import Answers
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing
from deployments.config import HttpLimits, LoadLimits
from deployments.ingress.admin import TOKEN
from deployments.ingress.endpoints import build
from deployments.ingress.errors import NOTHING_HERE, Conflict, Unavailable
from deployments.ingress.inputs import Inputs
from deployments.ingress.load import Load
from deployments.ingress.stats import Report, Stats, merge, traffic
from deployments.ingress.workers import Workers
from deployments.transport.errors import Failed, Lost, Refused
from tests.deployments.ingress.test_decoding import encode
from tests.plans import plan_for

PICTURE = encode(Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)))
TENSOR = {"name": "image", "shape": [2, 1, 1, 1], "datatype": "UINT8", "data": [1, 2]}
OPERATOR = {"Authorization": "Bearer secret"}


class FakeService:
    """Says that everything is a dog, or raises `error`."""

    def __init__(self, timeout_s: float = 60, load: LoadLimits | None = None, **limits):
        self.name = "pets"
        self.limits = HttpLimits(timeout_s=timeout_s, **limits)
        self.description = ModelDescription((3, 8, 8), ("cat", "dog"), Preprocessing((8, 8)))
        self.plan, self.leaving = plan_for(["input"], classes=("cat", "dog")), False
        self.workers = Workers()
        self.inputs = Inputs(self.description, self.limits, self.workers)
        self.error: Exception | None = None
        self.load = Load(load or LoadLimits())
        self.streams: list[str] = []
        self.timeouts_s: list[float] = []
        self.stats, self.asked, self.wait = Stats(), [], asyncio.Event()
        self.wait.set()

    async def answer(self, given, use_caches, timeline, stream, timeout_s):
        self.streams.append(stream)
        self.timeouts_s.append(timeout_s)
        with self.load.admitted(stream):
            await self.wait.wait()
        if self.error is not None:
            raise self.error
        rows = len(given.batch)
        exit = "input" if use_caches else "base"
        probabilities = np.tile(np.float32([0.25, 0.75]), (rows, 1))
        return Answers(np.ones(rows, int), probabilities, [exit] * rows, 3)

    async def check_ready(self):
        if self.error is not None:
            raise self.error

    async def report(self):
        known = traffic(merge([self.stats.snapshot({}, {})])).model_dump(exclude_unset=True)
        return Report(
            routers=1,
            stages={},
            **known,
            model="pets",
            guard={"caches": "on"},
            cache_version=3,
            plan={},
            x=1,
        )

    async def ask_trainer(self, method, *args):
        if self.error is not None:
            raise self.error
        self.asked.append((method, *args))
        return [{"a": 1}] if method in ("versions", "rounds") else {"method": method}

    async def forget_streams(self):
        self.asked.append(("forget_streams",))

    def count_error(self, status):
        self.stats.count_error(status)

    @property
    def errors(self) -> dict[str, int]:
        return traffic(self.stats.snapshot({}, {})).errors


class Client:
    """Asks an application in this process."""

    def __init__(self, service: FakeService):
        self.limits = service.limits
        self._transport = httpx.ASGITransport(build(service), raise_app_exceptions=False)

    def request(self, method: str, path: str, **more) -> httpx.Response:
        return asyncio.run(self.ask(method, path, **more))

    async def ask(self, method: str, path: str, **more) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://x") as client:
            return await client.request(method, path, **more)

    def get(self, path: str, **more) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more) -> httpx.Response:
        return self.request("POST", path, **more)


@pytest.fixture
def service():
    return FakeService()


@pytest.fixture
def client(service, monkeypatch):
    monkeypatch.setenv(TOKEN, "secret")
    return Client(service)


def test_a_picture_is_answered(client):
    answer = client.post("/predict", content=PICTURE, headers={"X-Request-ID": "mine"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.pop("latency_ms") > 0
    assert list(body.items()) == [
        ("label", "dog"),
        ("class_id", 1),
        ("probability", 0.75),
        ("exit", "input"),
        ("cache_version", 3),
        ("request_id", "mine"),
    ]


def test_requests_may_name_the_stream_that_they_come_from(client, service):
    client.post("/predict", content=PICTURE)
    client.post("/predict", content=PICTURE, headers={"x-stream": "camera 7"})
    infer = "/v2/models/pets/infer"
    client.post(infer, json={"inputs": [TENSOR]}, headers={"X-Stream": "camera 7"})
    client.post(infer, json={"parameters": {"sequence_id": 7}, "inputs": [TENSOR]})
    assert service.streams == ["", "camera 7", "camera 7", "7"]
    for answer in (
        client.post("/predict", content=PICTURE, headers={"X-Stream": "x" * 257}),
        client.post(infer, json={"parameters": {"sequence_id": [7]}, "inputs": [TENSOR]}),
    ):
        assert answer.status_code == 400
        assert "X-Stream" in answer.json()["error"] or "sequence_id" in answer.json()["error"]
    assert len(service.streams) == 4
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/predict", "/v2/models/{name}/infer"):
        assert "X-Stream" in [given["name"] for given in paths[path]["post"]["parameters"]]


def test_no_cache_has_a_version_where_none_answered_and_a_trace_is_told_if_asked_for(client):
    answer = client.post("/predict?cache=off", content=PICTURE, headers={"X-Trace": "1"}).json()
    assert (answer["exit"], answer["cache_version"]) == ("base", None)
    assert [step["step"] for step in answer["trace"]] == ["read", "decode"]
    assert answer["trace"][0].keys() == {"step", "at_ms", "ms"}


def test_a_batch_is_answered(client):
    for path in ("/v2/models/pets/infer", "/v2/models/pets/versions/1/infer"):
        answer = client.post(path, json={"id": "7", "inputs": [TENSOR]}).json()
        assert answer["id"] == "7"
        assert answer["parameters"] == {"exits": "input,input", "cache_version": 3}
        assert [output["data"] for output in answer["outputs"]] == [
            [0.25, 0.75, 0.25, 0.75],
            ["dog", "dog"],
        ]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (Failed("ValueError('too odd')"), 500, "base DNN failed on this request.*too odd.*log"),
        (Lost("gone"), 503, "cannot answer now: gone"),
        (Refused("all are busy"), 503, "at its limit.*all are busy"),
        (TimeoutError(), 504, r"no answer within 60 s.*http\.timeout_s"),
        (ZeroDivisionError("x"), 500, "its mistake.*ZeroDivisionError"),
    ],
)
def test_every_way_to_fail_has_its_status_and_is_counted(client, service, error, status, message):
    service.error = error
    for path, content in (
        ("/predict", PICTURE),
        ("/v2/models/pets/infer", json.dumps({"inputs": [TENSOR]})),
    ):
        answer = client.post(path, content=content)
        assert answer.status_code == status
        assert answer.json().keys() == {"error"}
        assert re.search(message, answer.json()["error"])
        assert ("retry-after" in answer.headers) == (status == 503)
    assert service.errors == {str(status): 2}


def test_after_the_deadline_nobody_waits():
    service = FakeService(timeout_s=0.05)
    service.wait.clear()
    answer = Client(service).post("/predict", content=PICTURE)
    assert answer.status_code == 504
    assert "0.05 s" in answer.json()["error"]


def test_a_replica_that_was_lost_at_the_deadline_was_too_late():
    service = FakeService(timeout_s=1e-9)
    service.error = Lost("Partition0 has not answered")
    assert Client(service).post("/predict", content=PICTURE).status_code == 504


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nowhere", 404, NOTHING_HERE),
        ("GET", "/predict", 405, "GET is not for this path; it may be POST"),
        ("PUT", "/predict", 405, "PUT is not for this path; it may be POST"),
        ("PATCH", "/v2/models/pets", 405, "it may be GET, HEAD"),
        ("PURGE", "/stats", 405, "it may be GET, HEAD"),
        ("TRACE", "/v2/models/pets/infer", 405, "it may be POST"),
        ("OPTIONS", "/predict", 405, "it may be POST"),
        ("PUT", "/nowhere", 404, NOTHING_HERE),
        ("POST", "/predict/", 404, f"{NOTHING_HERE}, without a slash at the end"),
        ("GET", "/v2/health/live/", 404, "without a slash at the end"),
        ("POST", "/", 405, "POST is not for this path; it may be GET, HEAD"),
        ("GET", "/redoc", 404, NOTHING_HERE),
        ("GET", "/static-offline-docs/nothing", 404, NOTHING_HERE),
        ("DELETE", "/static-offline-docs/swagger-ui.css", 405, "it may be GET, HEAD"),
        ("GET", "/v2/models/cars", 404, "no model 'cars'; there is 'pets'"),
        ("GET", "/v2/models/pets/versions/2/ready", 404, "no version '2'"),
        ("POST", "/predict", 422, "empty"),
        ("GET", "/admin/versions", 401, "Authorization: Bearer"),
        ("POST", "/admin/mode", 401, "Authorization: Bearer"),
    ],
)
def test_all_refusals_look_the_same(client, method, path, status, message):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json().keys() == {"error"}
    assert message in answer.json()["error"]


def test_without_a_token_operators_find_nothing(client, monkeypatch):
    unknown = client.get("/nowhere")
    monkeypatch.delenv(TOKEN)
    for method, path, content in (
        ("GET", "versions", b""),
        ("POST", "mode", b'{"mode": "off"}'),
        ("POST", "mode", b"no JSON"),
        ("DELETE", "samples", b""),
    ):
        answer = client.request(method, f"/admin/{path}", content=content, headers=OPERATOR)
        assert (answer.status_code, answer.content) == (404, unknown.content)


def test_operators_are_understood(client, service):
    def ask(method, path, **more):
        return client.request(method, f"/admin/{path}", headers=OPERATOR, **more)

    assert ask("GET", "versions").json() == [{"a": 1}]
    assert ask("GET", "rounds").json() == [{"a": 1}]
    assert ask("POST", "retrain").status_code == 202
    assert ask("POST", "rollback", json={"version": 2}).json() == {"method": "roll_back"}
    assert ask("POST", "pin", json={"pinned": True}).json() == {"pinned": True}
    assert ask("POST", "mode", json={"mode": "off"}).json() == {"mode": "off"}
    assert ask("DELETE", "samples").json() == {"samples": "deleted"}
    assert service.asked[2:] == [
        ("retrain",),
        ("roll_back", 2),
        ("pin", True),
        ("set_mode", "off"),
        ("delete_samples",),
    ]
    for error, status in ((Conflict("no such version"), 409), (Unavailable("gone"), 503)):
        service.error = error
        answer = ask("POST", "rollback", json={"version": 2})
        assert (answer.status_code, answer.json()) == (status, {"error": str(error)})
    assert ask("POST", "pin", json={"pinned": 1}).status_code == 422
    assert ask("POST", "pin", content=bytes(10_000)).status_code == 413


def test_health_and_metadata(client, service):
    server = client.get("/v2").json()
    assert (server["name"], server["version"]) == ("gati", "0.1.0")
    assert "binary_tensor_data" in server["extensions"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/pets/ready").json() == {"name": "pets", "ready": True}
    assert client.get("/v2/models/pets").json()["versions"] == ["1"]
    service.error = Unavailable("not yet")
    for path in ("health/ready", "models/pets/ready", "models/pets/versions/1/ready"):
        assert client.get(f"/v2/{path}").status_code == 503


def test_stats_hold_what_is_known_and_nothing_that_is_not(client):
    stats = client.get("/stats").json()
    assert stats["latency_ms"] == {"count": 0}
    assert stats["hit_rate"] is None
    assert stats["x"] == 1
    assert "mode" not in stats


def test_the_schema_names_every_body_and_only_our_errors(client):
    schema = client.get("/openapi.json").json()
    models = schema["components"]["schemas"]
    text = json.dumps(schema)
    assert "HTTPValidationError" not in text
    for reference in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert reference in models
    assert "InferRequest" in models
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            if method == "post" and path != "/admin/retrain":
                assert operation["requestBody"]["content"], path
            for status, response in operation["responses"].items():
                if not status.startswith("2"):
                    (content,) = response["content"].values()
                    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, path
    assert client.get("/docs").status_code == 200


def test_a_model_of_tensors_takes_no_pictures():
    service = FakeService()
    service.description = ModelDescription((3,), ("cat", "dog"))
    answer = Client(service).post("/predict", content=PICTURE)
    assert answer.status_code == 422
    assert "/v2/models/pets/infer" in answer.json()["error"]


GETS = ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/pets", "/v2/models/pets/ready"]


@pytest.mark.parametrize("path", [*GETS, "/stats", "/docs", "/openapi.json", "/nowhere"])
def test_head_gets_what_get_does_without_the_body(client, path):
    got, head = client.get(path), client.request("HEAD", path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers == got.headers
    for method in ("PUT", "OPTIONS"):
        refused = client.request(method, path)
        assert refused.headers.get("allow") == ("GET, HEAD" if got.status_code == 200 else None)


def test_head_says_that_nothing_is_ready(client, service):
    service.error = Unavailable("not yet")
    assert client.request("HEAD", "/v2/health/ready").status_code == 503


def test_the_page_of_docs_needs_no_other_host(client):
    page = client.get("/docs").text
    asked = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert len(asked) == 3
    for path in [*asked, "/openapi.json"]:
        assert re.match(r"/\w", path)
        assert client.get(path).status_code == 200
    style = client.get("/static-offline-docs/swagger-ui.css").text
    assert not re.search(r"url\([\"']?(https?:)?//|@import", style)
    assert '"validatorUrl": null' in page


ORIGIN = {"Origin": "https://app.example.com"}
PREFLIGHT = ORIGIN | {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, x-stream",
}


def test_pages_of_other_hosts_may_not_ask_unless_configured(client):
    assert "access-control-allow-origin" not in client.get("/v2", headers=ORIGIN).headers
    refused = client.request("OPTIONS", "/predict", headers=PREFLIGHT)
    assert refused.status_code == 405
    assert "http.cors_origins" in refused.json()["error"]
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("origins", [["https://app.example.com", "http://b.example:8080"], ["*"]])
def test_pages_of_configured_hosts_may_ask(origins):
    client = Client(FakeService(cors_origins=origins))
    allowed = client.request("OPTIONS", "/predict", headers=PREFLIGHT)
    assert allowed.status_code == 200
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert "x-stream" in allowed.headers["access-control-allow-headers"]
    name = "access-control-allow-origin"
    expected = "*" if origins == ["*"] else ORIGIN["Origin"]
    for answer in (
        allowed,
        client.post("/predict", content=PICTURE, headers=ORIGIN),
        client.post("/predict", content=b"hello", headers=ORIGIN),
        client.get("/nowhere", headers=ORIGIN),
    ):
        assert answer.headers[name] == expected
    other = {"Origin": "https://evil.example"}
    refused = client.request("OPTIONS", "/predict", headers=PREFLIGHT | other)
    if origins == ["*"]:
        assert refused.status_code == 200
    else:
        assert refused.status_code == 400
        assert "Disallowed CORS origin; http.cors_origins" in refused.json()["error"]
        assert name not in client.post("/predict", content=PICTURE, headers=other).headers


def test_bodies_may_come_compressed(client):
    tensors = json.dumps({"inputs": [TENSOR]}).encode()
    for path, body in (("/predict", PICTURE), ("/v2/models/pets/infer", tensors)):
        for coding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
            answer = client.post(path, content=packed, headers={"Content-Encoding": coding})
            assert answer.status_code == 200, answer.text
        for coding in ("br", "zstd", "compress"):
            answer = client.post(path, content=body, headers={"Content-Encoding": coding})
            assert answer.status_code == 415
            assert answer.headers["accept-encoding"] == "gzip, deflate"
            assert "gzip or deflate" in answer.json()["error"]
        bomb = gzip.compress(bytes(9 * client.limits.max_body_bytes), 1)
        answer = client.post(path, content=bomb, headers={"Content-Encoding": "gzip"})
        assert answer.status_code == 413
        assert "decompressed" in answer.json()["error"]
