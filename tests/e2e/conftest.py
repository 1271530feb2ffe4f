"""What end-to-end tests share: one server, the base DNN's own answers, and how to ask."""

import os
import signal
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import torch
import yaml

from cache_models.bench.evaluation import base_answers
from cache_models.network.base_dnn import load
from cache_models.zoo.fashion import sample
from tests.e2e.server import ROOT, TOKEN, Server


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
