"""The client hides no stall and loses no error."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from workload.base_answers import base_answers
from workload.client import Answers, send
from workload.picture import draw
from workload.report import describe, summary

PICTURES = [np.full((4, 4, 1), i, np.uint8) for i in range(200)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        with server.lock:  # one at a time, as one core would
            server.seen += 1
            if server.seen == 50:
                time.sleep(server.stall_s)
            status = 503 if server.seen in server.refuse else 200
        answer = {"class_id": 1, "exit": "base", "cache_version": None, "latency_ms": 2.5}
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
    server.body = b""
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


def test_totals_leave_the_first_out_and_windows_do_not(tmp_path):
    answers = Answers.none(1500)
    answers.class_ids[:], answers.exits[:], answers.latency_ms[:] = 1, "base", 10.0
    answers.exits[:400] = "layer1"
    answers.class_ids[:60], answers.class_ids[1200:1207] = 2, 2
    answers.failures[500:1000], answers.exits[500:1000] = "timeout", "error"
    result = summary(answers, np.ones(1500, int), {"layer1": 1.0, "base": 5.0}, skip=500)
    assert (result["wrong"], result["hit_rate"]) == (7, 0.0)
    assert result["worst_window"] == {"from": 1000, "wrong": 7}
    assert [window["wrong"] for window in result["windows"]] == [60, 0, 7]
    assert result["windows"][0]["compute_ms"] == pytest.approx(0.8 * 1 + 0.2 * 5)
    assert result["windows"][1]["compute_ms"] is None
    assert json.loads(json.dumps(result, allow_nan=False))["errors"] == {"timeout": 500}
    draw(result, tmp_path / "run.png")


def test_an_exit_without_a_price_leaves_compute_out():
    answers = Answers.none(10)
    answers.exits[:], answers.latency_ms[:] = "layer9", 1.0
    assert summary(answers, np.zeros(10, int), {"base": 5.0})["compute_ms"] is None


def test_base_answers_are_computed_once(tmp_path):
    asked = []

    def answer(part):
        asked.append(len(part))
        return part[:, 0, 0, 0] % 5

    for _ in range(2):
        labels = base_answers(PICTURES, answer, "model", tmp_path / "answers.sqlite")
        assert labels.tolist() == [i % 5 for i in range(200)]
    assert sum(asked) == 200
    base_answers(PICTURES, answer, "another", tmp_path / "answers.sqlite")
    assert sum(asked) == 400
