"""A request has one trace over all its hops, whichever way its calls go, and a line in the log."""

import json
import re
import secrets
import shutil
from functools import cache
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest

from cache_models.build.pipeline import build
from cache_models.data.samples import Samples
from cache_models.network.base_dnn import load
from cache_models.promise.promise import Limits
from cache_models.store.plan import HopCost
from cache_models.store.versions import Store
from deployments.ingress.open_inference.grpc import open_inference_pb2 as pb
from tests.e2e.conftest import stats
from tests.e2e.server import wait_until
from tests.tiny import images
from workload.client.protocols import png

TRACING = {
    "enabled": True,
    "exporter_import_path": "deployments.tracing.exporters:file",
    "sampling_ratio": 0.0,  # but for requests whose callers trace them
}
STREAM = "my camera"
STAGES = {"Lookup0", "Partition0", "Lookup1", "Partition1"}
PICTURES = np.concatenate([images(24, seed=5), np.full((8, 8, 8, 1), 128, np.uint8)])
"""The last of them are like nothing that caches have seen, so the base DNN answers them."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """With caches at the input and behind the stem, whose slices seem to take 100 ms each."""
    folder = tmp_path_factory.mktemp("traces")
    store = Store(folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "cache_models.build.survey.slice_costs",
            lambda engines, input_shape: [dict.fromkeys((1, 8), 100.0) for _ in engines],
        )
        build(
            load("tests.tiny:tiny"),
            Samples(images(2_000)),
            "images",
            store,
            Limits(max_disagreement=0.2, max_class_disagreement=0.5, confidence=0.8),
            HopCost(fixed_ms=0, per_mb_ms=0),
            folder / "work",
            cut_points=["input", "stem"],
            variants=["fc-32"],
        )
    return store


@pytest.fixture(scope="module")
def urls(server, store, tmp_path_factory):
    """Of two applications, by the way that their calls go."""
    lane, handle = (
        application(name, shutil.copytree(store.folder, tmp_path_factory.mktemp(name) / "store"))
        for name in ("lane", "handle")
    )
    handle["args"]["lane"] = {"enabled": False}
    with (
        server.application(lane, TRACING) as by_lane,
        server.application(handle, TRACING) as by_handle,
    ):
        urls = {"lane": by_lane, "handle": by_handle}
        for url in urls.values():
            wait_until(lambda url=url: stats(url)["guard"]["caches"] == "serve", "caches are off")
        wait_until(lambda: all(h["connected"] for h in stats(by_lane)["hops"].values()), "no lane")
        yield urls


def application(name, folder) -> dict:
    return {
        "name": name,
        "route_prefix": f"/{name}",
        "import_path": "deployments.app:build",
        "logging_config": {"encoding": "JSON"},
        "args": {
            "name": "tiny",
            "model": "tests.tiny:tiny",
            "store": str(folder),
            "lookup_timeout_ms": 10_000,
            "order": "sequential",
            "sampling": {"rate": 1.0, "rest_rate": 1.0, "max_share": 1.0},
            "retraining": {"rounds": False},
        },
        "deployments": [
            {"name": stage, "ray_actor_options": {"num_cpus": 0.1}} for stage in sorted(STAGES)
        ],
    }


@pytest.fixture(params=["lane", "handle"])
def way(request):
    return request.param


class Trace:
    """That a caller has begun.

    Attributes:
        parent: the caller's span.
        header: that says so.
        spans: of the server's, which have been written.
    """

    def __init__(self) -> None:
        self.id, self.parent = secrets.token_hex(16), secrets.token_hex(8)
        self.header = f"00-{self.id}-{self.parent}-01"
        self.spans: list[dict] = []

    def read(self, folder: Path) -> None:
        lines = [line for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
        self.spans = [json.loads(line) for line in lines if self.id in line]

    def named(self, name: str, kind: str = "") -> list[dict]:
        return [s for s in self.spans if s["name"] == name and s["kind"].endswith(kind)]

    def above(self, span: dict) -> list[dict]:
        """Its parent, and so on."""
        by_id, found = {s["context"]["span_id"]: s for s in self.spans}, [span]
        while (higher := by_id.get(found[-1]["parent_id"])) is not None:
            found.append(higher)
        return found[1:]

    def is_whole(self) -> bool:
        """Whether all hops are there, at both ends, and some after the answer."""
        hops = [hop for stage in STAGES for hop in self.named(stage, "CLIENT")]
        served = [at for stage in STAGES for at in self.named(stage, "SERVER")]
        begun = self.named("request") + self.named("run_on")
        steps = [step for hop in hops for step in self.above(hop)]
        return (
            {hop["name"] for hop in hops} == STAGES
            and len(hops) == len(served)
            and len(begun) == 2
            and all(step in steps for step in begun)
        )


def infer(url: str, trace: Trace) -> dict:
    tensor = {"name": "image", "shape": PICTURES.shape, "datatype": "UINT8"}
    body = {"inputs": [tensor | {"data": PICTURES.ravel().tolist()}]}
    headers = {"traceparent": trace.header, "X-Request-ID": trace.id, "X-Stream": STREAM}
    reply = httpx.post(f"{url}/v2/models/tiny/infer", json=body, headers=headers, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.fixture(scope="module")
def whole(server, urls):
    """Called with a way for a whole trace by it."""

    @cache
    def asked(way: str) -> Trace:
        sent, found = [], []

        def is_there() -> bool:
            """A machine that others use affords few samples: ask until one is run on."""
            sent.append(Trace())
            infer(urls[way], sent[-1])
            for trace in sent:
                trace.read(server.traces)
            found[:] = [trace for trace in sent if trace.is_whole()]
            return bool(found)

        wait_until(is_there, f"no trace by {way} is whole", 120)
        return found[0]

    return asked


def test_every_hop_is_in_the_trace_that_the_caller_has_begun(whole, way):
    trace = whole(way)
    (root,) = (s for s in trace.spans if not trace.above(s))
    assert root["parent_id"] == f"0x{trace.parent}"
    (request,), (run_on,) = trace.named("request"), trace.named("run_on")
    for name in ("read", "decode"):
        assert request in trace.above(*trace.named(name))
    for stage in STAGES:
        for served in trace.named(stage, "SERVER"):
            above = trace.above(served)
            (hop,) = (s for s in above if s["name"] == stage and s["kind"] == "SpanKind.CLIENT")
            by_serve = f"replica_handle_request {stage} ask" in [s["name"] for s in above]
            assert by_serve == (hop["attributes"]["gati.way"] == "handle")
            assert request in above  # what is run on, too
    hops = [hop for stage in STAGES for hop in trace.named(stage, "CLIENT")]
    assert {hop["attributes"]["gati.way"] for hop in hops} == {way}
    assert run_on["start_time"] > request["end_time"]


def test_spans_say_what_a_request_met(whole, way):
    trace = whole(way)
    (request,) = trace.named("request")
    told = request["attributes"]
    assert told["gati.rows"] == len(PICTURES) and told["http.response.status_code"] == 200
    assert told["gati.cache_version"] == 1 and {"input", "base"} <= set(
        told["gati.exit"].split(",")
    )
    assert re.fullmatch("[0-9a-f]{16}", told["gati.stream"])
    lookups = [hop for hop in trace.named("Lookup0", "CLIENT") if request in trace.above(hop)]
    assert sum(hop["attributes"]["gati.rows"] for hop in lookups) == len(PICTURES)
    hits = sum(hop["attributes"]["gati.hits"] for hop in lookups)
    assert 0 < hits < len(PICTURES)
    for stage in STAGES:
        for served in trace.named(stage, "SERVER"):
            told = served["attributes"]
            assert told["gati.batch_rows"] >= told["gati.rows"] >= 1
            assert told["gati.compute_ms"] > 0 and told["gati.queued_ms"] >= 0


def test_grpc_takes_the_callers_trace_up_from_metadata(server, urls, way):
    trace, tensor = Trace(), pb.ModelInferRequest.InferInputTensor
    given = tensor(name="image", datatype="UINT8", shape=PICTURES.shape)
    asked = pb.ModelInferRequest(
        model_name="tiny", inputs=[given], raw_input_contents=[PICTURES.tobytes()]
    )
    with grpc.insecure_channel(server.grpc) as channel:
        method = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelInferResponse.FromString,
        )
        method(asked, timeout=60, metadata=[("application", way), ("traceparent", trace.header)])

    def is_written() -> bool:
        trace.read(server.traces)
        return bool(trace.named("request"))

    wait_until(is_written, "no trace by gRPC")
    (request,) = trace.named("request")
    assert trace.above(request)[-1]["parent_id"] == f"0x{trace.parent}"


def test_what_no_caller_traces_is_not_traced(server, urls, whole, way):
    """At this sampling ratio. The one that is traced was asked later, and is written."""
    for _ in range(3):
        httpx.post(f"{urls[way]}/predict", content=png(PICTURES[0]), timeout=60)
    after = Trace()
    infer(urls[way], after)

    def is_written() -> bool:
        after.read(server.traces)
        return bool(after.named("request"))

    wait_until(is_written, "nothing is written")
    lines = [line for f in server.traces.glob("*.jsonl") for line in f.read_text().splitlines()]
    roots = [s for s in map(json.loads, lines) if s["parent_id"] is None]
    assert roots == []


def test_the_log_has_a_line_in_json_with_the_streams_hash(server, whole, way):
    trace = whole(way)
    text = "".join(file.read_text() for file in server.logs.glob(f"replica_{way}_Router_*.log"))
    lines = [json.loads(line) for line in text.splitlines() if trace.id in line]
    (told,) = (line for line in lines if "latency_ms" in line)
    (request,) = trace.named("request")
    expected = {
        "request_id": trace.id,
        "trace_id": trace.id,
        "application": way,
        "deployment": "Router",
        "status": 200,
        "rows": len(PICTURES),
        "cache_version": 1,
        "exit": request["attributes"]["gati.exit"],
        "stream": request["attributes"]["gati.stream"],
    }
    assert expected.items() <= told.items() and told["latency_ms"] > 0
    assert STREAM not in text
