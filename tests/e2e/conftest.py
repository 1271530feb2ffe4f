"""A real `serve run` in its own process, on loopback."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

from cache_models.bench.evaluation import base_answers
from cache_models.network.base_dnn import load
from cache_models.zoo.fashion import sample

ROOT = Path(__file__).parents[2]
READY_S = 180
TOKEN = "for-the-tests"


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "handles"])
def lane(request) -> dict:
    """`lane` of the configuration: what rests on it is tested with the lane and without."""
    return {"enabled": request.param}


@pytest.fixture(scope="session")
def asked() -> tuple[np.ndarray, np.ndarray]:
    """700 of the sample images, and the base DNN's labels, which take a while."""
    images = sample()[0][:700]
    return images, base_answers(load("default"), images)


@contextmanager
def serve_run(config: Path, log: Path) -> Iterator[str]:
    """The URL of a ready server that runs `config`; it is stopped, with its Ray, at the end."""
    http = yaml.safe_load(config.read_text())["http_options"]
    url = f"http://{http['host']}:{http['port']}"
    environment = os.environ | {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # a busy machine is no failure
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.01",
        "PYTHONPATH": str(ROOT),
        "GATI_HOME": str(log.parent / "home"),
        "GATI_ADMIN_TOKEN": TOKEN,
    }
    command = [str(Path(sys.executable).with_name("serve")), "run", str(config)]
    with open(log, "w") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_ready(url, process, log)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _wait_until_ready(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"serve run ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            if httpx.get(f"{url}/v2/health/ready", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    pytest.fail(f"not ready within {READY_S} s:\n{log.read_text()[-4000:]}")


def admin(url: str, method: str, path: str, token: str = TOKEN, **more) -> httpx.Response:
    """As an operator asks."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, f"{url}/admin/{path}", headers=headers, timeout=90, **more)


def stats(url: str) -> dict:
    return httpx.get(f"{url}/stats", timeout=60).json()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)
