"""A mistake in serve_config.yaml names the key, what it got and what it may be."""

import pytest
from pydantic import ValidationError

from cache_models.errors import EngineError
from cache_models.store.graphs import GraphRecord, Graphs
from deployments import app
from deployments.app import build
from deployments.config import AppArgs


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"devise": "cpu"}, "devise\n.*not permitted"),
        ({"partition": {"device": "gpu"}}, r"partition.device\n.*auto\|cpu\|cuda"),
        ({"partition": {"threads": 0}}, r"partition.threads\n.*greater than or equal to 1"),
        ({"partition": {"engine": "tvm"}}, "'onnxruntime', 'torch', 'compile' or 'cuda_graphs'"),
        ({"partition": {"compile": True}}, r"partition\n.*write `engine: compile`"),
        ({"activation_dtype": "int8"}, "'float32', 'float16' or 'bfloat16'"),
        ({"store": "my_store"}, "store\n.*absolute path"),
        ({"lookup_timeout_ms": -1}, "lookup_timeout_ms\n.*greater than 0"),
        ({"mode": "on"}, "'serve', 'shadow' or 'off'"),
        ({"http": {"cors_origins": ["app.example.com"]}}, r"http.cors_origins.0\n.*https\?://"),
        ({"http": {"cors_origins": ["https://a.b/c"]}}, r"http.cors_origins.0\n.*https\?://"),
        ({"sampling": {"rate": 0.01, "min_rate": 0.1}}, r"min_rate \(0.1\) may be at most rate"),
    ],
)
def test_a_wrong_key_or_value_is_named(args, message):
    with pytest.raises(ValidationError, match=message):
        AppArgs.model_validate(args)


def test_a_store_for_another_model_is_refused():
    with pytest.raises(ValueError, match="built for 'default'"):
        build(AppArgs(model="torchvision:resnet18"))


@pytest.fixture
def graphs(monkeypatch):
    """As if the shipped store had them."""
    made = Graphs(
        fingerprint="",
        cut_points=["input"],
        partitions={"Partition0": GraphRecord(refused="its loop has no end")},
    )
    monkeypatch.setattr(app, "ensure", lambda *where: made)


def test_a_lookup_is_not_compiled(graphs):
    build(AppArgs(partition={"engine": "compile"}, lookup={"engine": "torch"}))
    with pytest.raises(ValueError, match="Lookup0: only partitions may have `engine: compile`"):
        build(AppArgs(overrides={"Lookup0": {"engine": "compile"}}))


def test_onnx_runtime_is_refused_at_the_door_where_a_slice_has_no_graph(graphs):
    build(AppArgs())
    with pytest.raises(EngineError, match=r"its loop has no end.*Leave `engine: auto`"):
        build(AppArgs(partition={"engine": "onnxruntime"}))


def test_overrides_name_deployments_of_the_plan():
    with pytest.raises(ValueError, match=r"\['Partition99'\]; the plan has Lookup0, Partition0"):
        build(AppArgs(overrides={"Partition99": {"threads": 1}}))
