"""When a request is over, logs in JSON have a line of it, and its trace has what became of it."""

import asyncio
import json
import logging
from logging.handlers import MemoryHandler
from types import SimpleNamespace

import pytest
from ray import serve
from ray._common.formatters import JSONFormatter, TextFormatter
from ray.serve._private.logging_utils import log_access_log_filter

from deployments.graph.timeline import Timeline
from deployments.ingress.caller import caller
from deployments.ingress.observed import observed
from deployments.transport.errors import Lost
from tests.deployments.ingress.test_endpoints import PICTURE, TENSOR, Client, FakeService
from tests.traces import CALLERS, TRACE_ID, by_serve

HEADERS = {"X-Request-ID": "mine", "X-Stream": "my camera"}


class Service(FakeService):
    """Keeps what a router does of a request."""

    async def answer(self, given, use_caches, timeline, stream, timeout_s):
        timeline.stream = "0123456789abcdef" if stream else ""
        timeline.answers = await super().answer(given, use_caches, timeline, stream, timeout_s)
        return timeline.answers


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def client(service):
    return Client(service)


class Kept(logging.Handler):
    def __init__(self, formatter):
        super().__init__()
        self.lines = []
        self.setFormatter(formatter)

    def emit(self, record):
        self.lines.append(self.format(record))


@pytest.fixture
def log(request, monkeypatch):
    """Lines of the log, written as Serve does."""
    kept = Kept(getattr(request, "param", JSONFormatter)())
    logger, before = logging.getLogger("ray.serve"), list(logging.getLogger("ray.serve").handlers)
    logger.handlers = [MemoryHandler(1, target=kept)]
    monkeypatch.setattr(logger, "level", logging.INFO)
    here = SimpleNamespace(
        app_name="gati", deployment="Router", replica_id=SimpleNamespace(unique_id="abc")
    )
    monkeypatch.setattr(serve, "get_replica_context", lambda: here)
    yield kept.lines
    logger.handlers = before


def one(log) -> dict:
    (line,) = log
    return json.loads(line)


def test_an_answer_has_a_line_with_the_streams_hash_and_not_its_name(client, log):
    client.post("/predict", content=PICTURE, headers=HEADERS | {"traceparent": CALLERS})
    told = one(log)
    assert told.pop("latency_ms") > 0
    expected = {
        "application": "gati",
        "deployment": "Router",
        "replica": "abc",
        "request_id": "mine",
        "status": 200,
        "stream": "0123456789abcdef",
        "exit": "input",
        "cache_version": 3,
        "rows": 1,
        "trace_id": TRACE_ID,
    }
    assert expected.items() <= told.items()
    assert "my camera" not in log[0]


def test_a_batch_has_one_line_with_its_rows(client, log):
    client.post("/v2/models/pets/infer", json={"inputs": [TENSOR]})
    told = one(log)
    assert (told["rows"], told["exit"]) == (2, "input")
    assert "stream" not in told and "trace_id" not in told


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("ours"), 500), (Lost("gone"), 503), (TimeoutError(), 504)]
)
def test_a_failure_has_a_line_with_its_status(client, service, log, error, status):
    service.error = error
    assert client.post("/predict", content=PICTURE).status_code == status
    told = one(log)
    assert told["status"] == status and "exit" not in told


def test_a_client_that_leaves_has_a_line(log):
    with pytest.raises(asyncio.CancelledError), observed(caller({}), Timeline(0.0)):
        raise asyncio.CancelledError
    assert one(log)["status"] == 499


@pytest.mark.parametrize("log", [TextFormatter], indirect=True)
def test_a_log_in_text_has_none(client, log):
    client.post("/predict", content=PICTURE, headers=HEADERS)
    assert not log


def test_serves_own_switch_of_its_access_log_turns_it_off(client, log):
    logging.getLogger("ray.serve").handlers[0].addFilter(log_access_log_filter)
    client.post("/predict", content=PICTURE, headers=HEADERS)
    assert not log


def test_a_trace_has_the_outcome_and_its_steps(client, finished):
    client.post("/predict", content=PICTURE, headers=HEADERS | {"traceparent": CALLERS})
    made = finished()
    assert made.keys() == {"request", "read", "decode"}
    assert dict(made["request"].attributes) == {
        "http.response.status_code": 200,
        "gati.request_id": "mine",
        "gati.stream": "0123456789abcdef",
        "gati.exit": "input",
        "gati.cache_version": 3,
        "gati.rows": 1,
    }


@pytest.mark.parametrize(("error", "is_ok"), [(RuntimeError("ours"), False), (None, True)])
def test_only_our_mistakes_are_errors_of_the_trace(client, service, finished, error, is_ok):
    service.error = error
    content = PICTURE if error else b"no picture"
    client.post("/predict", content=content, headers={"traceparent": CALLERS})
    request = finished()["request"]
    assert request.status.is_ok == is_ok
    assert (request.attributes["http.response.status_code"] >= 500) == (not is_ok)


def test_who_asks_is_told_the_trace_that_the_server_has_begun(client, finished):
    with by_serve():
        answer = client.post("/predict", content=PICTURE, headers={"X-Trace": "1"})
    first = answer.json()["trace"][0]
    assert first["step"] == "request" and first["traceparent"].startswith(f"00-{7:032x}-")
