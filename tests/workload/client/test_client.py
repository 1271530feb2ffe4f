"""The client hides no stall and loses no error."""

import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from workload.client.client import send
from workload.client.protocols import open_inference
from workload.run.describe import describe
from workload.run.plot import draw
from workload.run.report import summary
from workload.samples import Sound

PICTURES = [np.full((4, 4, 1), i, np.uint8) for i in range(200)]


IMAGE_ANSWER = {"class_id": 1, "exit": "base", "cache_version": None, "latency_ms": 2.5}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        server.requests.append((self.path, sent))
        server.headers.append(dict(self.headers))
        with server.lock:  # one at a time, as one core would
            server.seen += 1
            if server.seen == 50:
                time.sleep(server.stall_s)
            status = 503 if server.seen in server.refuse else 200
        answer = server.answer(sent) if server.answer else IMAGE_ANSWER
        body = server.body or json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.lock, server.seen, server.stall_s, server.refuse = threading.Lock(), 0, 0.0, set()
    server.body, server.requests, server.headers, server.answer = b"", [], [], None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def url_of(server):
    return f"http://127.0.0.1:{server.server_port}"


def test_an_open_loop_shows_a_stall_in_the_tail(server):
    server.stall_s = 1.0
    answers = send(url_of(server), PICTURES, np.arange(200) / 100, in_flight=8)
    late = answers.latency_ms > 100
    assert late.sum() > 50  # all that were due meanwhile, not the one that met the stall
    assert np.percentile(answers.latency_ms, 99) > 900
    assert np.percentile(answers.client_late_ms, 75) < 100  # the stall is not the client's
    assert (answers.class_ids == 1).all()


def test_errors_are_counted_by_kind_and_the_rest_goes_on(server):
    server.refuse = {3, 7}
    answers = send(url_of(server), PICTURES, None)
    assert answers.errors == {"HTTP 503": 2}
    assert (answers.class_ids == -1).sum() == 2
    result = summary(answers, np.ones(200, int), {"base": 5.0}, skip=100)
    assert (result["answered"], result["wrong"], result["compute_ms"]) == (100, 0, 5.0)
    assert result["errors"] == {}  # both came before
    assert result["server_latency_ms"]["p99"] == 2.5


def test_errors_of_all_kinds_are_told_apart(server):
    server.refuse, server.stall_s = {1, 2, 5}, 0.6  # the 50th stalls
    answers = send(url_of(server), PICTURES[:60], None, timeout_s=0.3)
    assert answers.errors["HTTP 503"] == 3
    assert answers.errors["timeout"] >= 1
    assert set(answers.errors) == {"HTTP 503", "timeout"}


def infer(sent):
    """What a server of the Open Inference Protocol answers: the class that the pixels say."""
    (tensor,) = json.loads(sent)["inputs"]
    assert (tensor["name"], tensor["datatype"]) == ("image", "UINT8")
    pixels = np.array(tensor["data"], np.uint8).reshape(tensor["shape"])
    scores = np.eye(4)[pixels[0, 0, 0, 0] % 4]
    return {
        "outputs": [{"name": "probabilities", "datatype": "FP32", "data": scores.tolist()}],
        "parameters": {"exits": "layer1", "cache_version": 7},
    }


def test_the_open_inference_protocol_is_spoken(server):
    server.answer = infer
    spoken = open_inference("my_model", use_caches=False)
    answers = send(url_of(server) + "/plain/", PICTURES[:20], None, protocol=spoken)
    assert answers.class_ids.tolist() == [i % 4 for i in range(20)]
    assert set(answers.exits) == {"layer1"} and set(answers.versions) == {7}
    path, body = server.requests[0]
    assert path == "/plain/v2/models/my_model/infer"
    assert json.loads(body)["parameters"] == {"cache": "off"}


def test_a_closed_loop_of_several_clients_sends_all_in_order(server):
    answers = send(url_of(server) + "/a/b", PICTURES[:40], None, clients=4)
    assert (answers.class_ids == 1).all()
    assert {path for path, _ in server.requests} == {"/a/b/predict"}
    assert (np.diff(answers.due_s) >= 0).all()


def test_a_client_that_is_slow_itself_says_so(server):
    def slow():
        for picture in PICTURES[:40]:
            time.sleep(0.02)
            yield picture

    answers = send(url_of(server), slow(), np.arange(40) / 1000, count=40)
    assert np.percentile(answers.client_late_ms, 99) > 300
    told = describe(summary(answers, np.ones(40, int), None))
    assert "the client's own" in told


def test_pictures_are_made_a_bounded_number_ahead(server):
    made = []

    def source():
        for picture in PICTURES:
            made.append(len(made) - len(server.requests))
            yield picture

    answers = send(url_of(server), source(), None, count=200)
    assert len(answers.class_ids) == len(made) == 200
    assert max(made) < 100


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"class_id": 1}', b'{"class_id": null}'])
def test_an_answer_that_is_none_is_counted(server, body):
    server.body = body
    answers = send(url_of(server), PICTURES[:5], np.zeros(5))
    assert answers.errors == {"unreadable answer": 5}
    assert (answers.class_ids == -1).all() and (answers.exits == "error").all()


def test_a_late_answer_is_a_timeout(server):
    server.stall_s = 0.6
    answers = send(url_of(server), PICTURES[:60], None, timeout_s=0.3)
    assert set(answers.errors) == {"timeout"}


def test_nobody_there_is_an_error_not_a_crash(tmp_path):
    answers = send("http://127.0.0.1:9", PICTURES[:3], None)
    assert answers.errors == {"no connection": 3}
    result = summary(answers, np.ones(3, int), {"base": 5.0})
    assert result["latency_ms"] is None  # a refusal is no fast answer
    assert "no connection" in describe(result)
    draw(result, tmp_path / "run.png")


def test_keys_travel_with_their_requests(server):
    keys = [f"camera-{i % 3}" if i % 2 else "" for i in range(20)]
    server.answer = infer
    send(url_of(server), PICTURES[:20], None, protocol=open_inference("m"), keys=keys)
    named = [
        json.loads(body).get("parameters", {}).get("sequence_id", "") for _, body in server.requests
    ]
    assert named == keys
    server.headers.clear()
    server.answer = None
    send(url_of(server), PICTURES[:20], None, keys=keys)
    assert [headers.get("X-Stream", "") for headers in server.headers] == keys


def test_sounds_and_texts_are_sent_as_what_they_are(server):
    soundfile = pytest.importorskip("soundfile")
    wave = np.linspace(-1, 1, 800, dtype=np.float32)
    send(url_of(server), ["a «text»", Sound(wave, 8_000)], None)
    (_, text), (_, sound) = server.requests
    assert json.loads(text) == {"text": "a «text»"}
    assert [h["Content-Type"] for h in server.headers] == ["application/json", "audio/wav"]
    heard, rate = soundfile.read(io.BytesIO(sound), dtype="float32")
    assert rate == 8_000 and np.array_equal(heard, wave)
