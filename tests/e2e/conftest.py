"""What end-to-end tests share: one server, the base DNN's own answers, and how to ask."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
import yaml

from cache_models.bench.evaluation import base_answers
from cache_models.build.cold_start import cold_start
from cache_models.network.base_dnn import load
from cache_models.promise.promise import Limits
from cache_models.store.plan import HopCost
from cache_models.store.versions import Store
from cache_models.zoo.fashion import sample
from tests.e2e.server import ROOT, TOKEN, Server
from tests.remembering import built_on_scenes

STREAMS = "streams"
"""The application whose caches remember them."""


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """For applications of every module, one after another: `with server.application(…) as url`."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be stopped in order
    server = Server(tmp_path_factory.mktemp("server"))
    try:
        yield server
    finally:
        server.stop()
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def shipped(server) -> Iterator[str]:
    """The URL of the shipped application, which all modules share that change nothing in it."""
    with server.application(shipped_application()) as url:
        yield url


@pytest.fixture(scope="session")
def asked() -> tuple[np.ndarray, np.ndarray]:
    """700 of the sample images, and the base DNN's labels, which take a while."""
    images, threads = sample()[0][:700], torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    answers = base_answers(load("default"), images)
    torch.set_num_threads(threads)
    return images, answers


@pytest.fixture(scope="session")
def remembering(tmp_path_factory) -> dict:
    """An application whose caches remember streams, and have been built on `tests.streams`."""
    store = built_on_scenes(tmp_path_factory.mktemp("remembering"))
    return {
        "name": STREAMS,
        "route_prefix": f"/{STREAMS}",
        "import_path": "deployments.app:build",
        "args": {
            "name": "tiniest",
            "model": "tests.tiny:tiniest",
            "store": str(store.folder),
            "lookup_timeout_ms": 5000,
            "sampling": {"rate": 0.01, "rest_rate": 0.01, "min_rate": 0.0001},
        },
        "deployments": [
            {"name": name, "num_replicas": count, "ray_actor_options": {"num_cpus": 0.1}}
            | {"health_check_period_s": 1}  # so that a loss is soon noticed
            for name, count in {"Router": 1, "Partition0": 1, "Lookup0": 2}.items()
        ],
    }


def shipped_application() -> dict:
    """The application of `serve_config.yaml`, but for two things that would blur what is tested: on
    a busy machine a lookup may be late, which is a miss, and caches learn from the requests of
    earlier tests."""
    application = yaml.safe_load((ROOT / "serve_config.yaml").read_text())["applications"][0]
    application["args"] |= {
        "lookup_timeout_ms": 10_000,
        "retraining": {"rounds": False},
    }
    return application


def cold_application(model: str, folder: Path) -> dict:
    """An application of a model by a factory's reference, whose caches have learned nothing."""
    name = model.partition(":")[2]
    store = Store(folder / name)
    cold_start(load(model), store, Limits(), HopCost())
    return {
        "name": name,
        "route_prefix": f"/{name}",
        "import_path": "deployments.app:build",
        "args": {
            "name": name,
            "model": model,
            "store": str(store.folder),
            "retraining": {"rounds": False},
        },
    }


def admin(url: str, method: str, path: str, token: str = TOKEN, **more) -> httpx.Response:
    """As an operator asks."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, f"{url}/admin/{path}", headers=headers, timeout=90, **more)


def stats(url: str) -> dict:
    return httpx.get(f"{url}/stats", timeout=60).json()


def by_way(url: str) -> dict[str, int]:
    """How many calls of the shipped application's router went which way."""
    hops = stats(url)["hops"]
    assert hops.keys() == {"Partition0", "Lookup0"}
    return {way: sum(hop[way] for hop in hops.values()) for way in ("lane", "handle")}
