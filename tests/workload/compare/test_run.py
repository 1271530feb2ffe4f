"""A comparison from end to end, with small servers in place of real systems."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from cache_models.network.base_dnn import load
from cache_models.store.versions import Store
from tests.plans import plan_for
from tests.tiny import images
from workload.compare import measure, run
from workload.compare.options import Options
from workload.compare.systems import graphs, stores
from workload.compare.systems.whole import Whole

TINY = "tests.tiny:tiny"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            time.sleep(self.server.delay_s)
            answer = json.dumps(self.server.whole.answer(body)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # clients may come all at once


@contextmanager
def serving(delay_s: float, whole: Path):
    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.lock, server.delay_s = threading.Lock(), delay_s
    server.whole = Whole(whole, "cpu", 1)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def options(tmp_path, monkeypatch) -> Options:
    monkeypatch.setenv("GATI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(measure, "CAPACITY_S", 0.2)
    monkeypatch.setattr(measure, "GAP_S", 0.0)
    monkeypatch.setattr(measure, "WARM_UP", 2)
    monkeypatch.setattr(measure, "PILOT", 3)
    monkeypatch.setattr(run, "missing", lambda _: None)
    np.save(tmp_path / "data.npy", images(200))
    base = load(TINY)
    plan = plan_for([], base.description.classes)
    plan.model, plan.fingerprint, plan.promise.threshold = TINY, base.fingerprint(), None
    plan.description = base.description
    Store(tmp_path / "store").publish(plan, {})
    return Options(
        model=TINY,
        store=tmp_path / "store",
        data=str(tmp_path / "data.npy"),
        streams=["iid", "locality:classes=2"],
        systems=["plain", "litserve", "mosec", "in-process"],
        minutes=0.1,
        requests=12,
        requests_per_turn=5,
        classes="labels",
        no_keys=False,
        blocks=2,
        block_seconds=0.25,
        rate=40,
        saturation=True,
        loadgen=True,
        clients=2,
        device="cpu",
        threads=1,
        seed=0,
        out=tmp_path / "compare.json",
        picture=tmp_path / "compare.png",
    )


def test_a_comparison_from_end_to_end(options, tmp_path, monkeypatch):
    whole = tmp_path / "served"
    graphs.give(stores.without_caches(Store(options.store).current(), whole), whole)
    with serving(0.01, whole) as slow, serving(0.002, whole) as quick:

        @contextmanager
        def bring_up(names, *_):
            assert names == ["plain", "litserve", "mosec"]
            yield {"plain": slow, "mosec": quick}, {"litserve": "it ended with 1"}

        monkeypatch.setattr(run, "bring_up", bring_up)
        text = run.run(options, tmp_path, "compare", time.monotonic())
    found = json.loads(options.out.read_text())
    assert found["missing"] == {"litserve": "it ended with 1"}
    assert "Not compared: litserve: it ended with 1" in text
    assert list(found["streams"]) == options.streams
    for stream in found["streams"].values():
        assert set(stream["closed"]) == {
            "plain",
            "mosec",
            "in-process",
            "in-process cascade",
            "oracle",
        }
        for of in (*stream["closed"].values(), *stream["open"].values()):
            assert of["wrong"] == 0 and not of["errors"]
        assert stream["closed"]["mosec"]["answered"] == 12
        assert stream["open"]["mosec"]["answered"] == 20
        assert stream["open"]["mosec"]["times_faster"]["n"] == 2
        assert len(stream["saturation"]["plain"]) == 3
    for name, scenario in found["tools"]["scenarios"].items():
        figure = "mean_ms" if name in ("SingleStream", "Server") else "per_s"
        assert set(scenario) == {"plain", "mosec"}
        for of in scenario.values():
            rounds = of["tool"] + of["client"]
            assert len(rounds) == 2 * found["tools"]["rounds"]
            assert all(r[figure] > 0 and not r["failures"] for r in rounds)
    assert "Measured with LoadGen" in text and "No MLPerf result" in text
    assert options.picture.stat().st_size > 20_000


def test_a_stream_that_ends_is_sent_to_its_end(options, tmp_path, monkeypatch, capsys):
    whole = tmp_path / "served"
    graphs.give(stores.without_caches(Store(options.store).current(), whole), whole)
    shorter = {"streams": ["video"], "systems": ["plain"], "saturation": False, "loadgen": False}
    np.save(options.data, images(20))
    with serving(0.0, whole) as url:

        @contextmanager
        def bring_up(*_):
            yield {"plain": url}, {}

        monkeypatch.setattr(run, "bring_up", bring_up)
        run.run(replace(options, **shorter), tmp_path, "compare", time.monotonic())
    counts = json.loads(options.out.read_text())["streams"]["video"]["counts"]
    assert counts["requests"] + counts["blocks"] * counts["block_requests"] == 20
    assert "video has 20 requests" in capsys.readouterr().err


def test_what_cannot_be_compared_is_said(options, tmp_path, monkeypatch):
    from cache_models.errors import DataError

    @contextmanager
    def bring_up(*_):
        yield {}, {"plain": "it ended with 1"}

    monkeypatch.setattr(run, "bring_up", bring_up)
    with pytest.raises(DataError, match="no system"):
        run.run(options, tmp_path, "compare", time.monotonic())
