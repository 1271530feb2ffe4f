"""Triton's own clients, unmodified, in processes of their own as users run them: their messages
have the same names as the server's, and one process knows but one of them."""

import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from cache_models.zoo.fashion import sample
from tests.e2e.server import Server

MODEL = "fashion-mnist"


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(file, sample()[0][:3])
    return file


def run(script: str, *arguments: object) -> None:
    file = Path(__file__).with_name(script)
    done = subprocess.run(
        [sys.executable, file, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_over_http(shipped, images):
    run("triton_http.py", shipped.removeprefix("http://"), MODEL, images)


def test_over_grpc(server: Server, shipped, images):
    run("triton_grpc.py", server.grpc, MODEL, images, "gati")


def test_a_request_keeps_its_id(shipped):
    for path, more in (("/predict", {}), (f"/v2/models/{MODEL}/infer", {"json": {}})):
        answer = httpx.post(
            f"{shipped}{path}", headers={"X-Request-ID": "mine"}, timeout=60, **more
        )
        assert answer.headers.get_list("x-request-id") == ["mine"]
        assert httpx.post(f"{shipped}{path}", timeout=60, **more).headers["x-request-id"]
