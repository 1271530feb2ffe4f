"""A real `serve run` with a Ray of its own, into which tests deploy their applications.

1. It starts with the first application that a test asks for, as `gati serve` does, with
   `serve_config.yaml` but for the applications, on ports that nobody else uses.
2. Later ones are deployed into it by Serve's REST API, and removed when their tests are over.
3. In the end, whatever happened, it is interrupted as a user would do it, and then whatever it has
   left behind is ended.
"""

import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deployments.starting import ENVIRONMENT, haproxy
from workload.compare.systems.processes import free_ports

ROOT = Path(__file__).parents[2]
TOKEN = "for-the-tests"
STARTED_S, STOPPED_S = 120.0, 60.0
READY_S = 300.0
"""Slices may have to be exported first."""
UNTRACED = {"enabled": False}
MARK = "GATI_HOME"
"""A variable that all processes of a server inherit, whose value tells them from all others."""


class Server:
    """One `serve run`, which begins with the first application that a test asks for.

    Args:
        folder: for configuration, log, and what applications keep.

    Attributes:
        address: of Ray.
        url: of the proxy.
        grpc: host and port of gRPC's.
        environment: of a program that is to meet this Ray.
        discovery: file in which Ray says where its metrics are to be had.
        traces: folder of files with spans.
        logs: folder of Serve's logs.
    """

    def __init__(self, folder: Path):
        http, fallback, gcs, metrics, pages, grpc, grpc_fallback = free_ports(7)
        first_replica = random.randrange(20_000, 28_000)
        self._folder, self._log = folder, folder / "serve.log"
        self._home = str(folder / "home")
        self._ray_folder = Path(tempfile.mkdtemp(prefix="gati-"))  # a socket's path is short
        self._config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
        self._config["http_options"]["port"] = http
        self._config["grpc_options"]["port"] = grpc
        self._applications: dict[str, dict] = {}
        self._tracing = UNTRACED
        self._process: subprocess.Popen | None = None
        self._joins = False  # rather than that it starts Ray
        session = self._ray_folder / "ray" / "session_latest"
        self.discovery = session / "prom_metrics_service_discovery.json"
        self.traces, self.logs = Path(self._home) / "traces", session / "logs" / "serve"
        self.address = f"127.0.0.1:{gcs}"
        host = self._config["http_options"]["host"]
        self.url, self.grpc = f"http://{host}:{http}", f"{host}:{grpc}"
        self.environment = {
            **os.environ,
            **ENVIRONMENT,
            **haproxy(),
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.01",
            "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first_replica),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first_replica + 999),
            "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(first_replica + 1000),
            "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(first_replica + 1999),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(pages),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
            "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(grpc_fallback),
            "RAY_GCS_SERVER_PORT": str(gcs),
            "RAY_TMPDIR": str(self._ray_folder),
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "PYTHONPATH": str(ROOT),
            "GATI_ADMIN_TOKEN": TOKEN,
            MARK: self._home,
        }

    def start(self) -> None:
        """Run what has been asked for so far; nothing if it runs."""
        if self._process is None:
            self._process = self._serve_run()
        wait_until(self._has_submitted, f"serve run does not start, see {self._log}", STARTED_S)

    def _serve_run(self) -> subprocess.Popen:
        file = self._folder / "config.yaml"
        file.write_text(yaml.safe_dump(self._configured()))
        with open(self._log, "w") as output:
            return subprocess.Popen(
                [str(Path(sys.executable).with_name("serve")), "run", str(file)],
                cwd=ROOT,
                env=self.environment if self._joins else without_address(self.environment),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # who interrupts the tests lets them end it in order
            )

    def _has_submitted(self) -> bool:
        log = self._log.read_text()
        if self._process.poll() is not None:
            pytest.fail(f"serve run ended with {self._process.returncode}:\n{log[-4000:]}")
        return "Submitted deploy config successfully" in log

    @contextmanager
    def application(self, application: dict, tracing: dict | None = None) -> Iterator[str]:
        """The URL of an entry of `applications` in `serve_config.yaml`, from when it is ready until
        it is removed.

        Args:
            tracing: `tracing_config`, which replicas read when they start.
        """
        name, prefix = application["name"], application["route_prefix"]
        is_first = self._process is None
        self._applications[name], self._tracing = application, tracing or UNTRACED
        self.start()
        try:
            if not is_first:
                self._deploy()
            url = self.url + prefix.rstrip("/")
            wait_until(
                lambda: self._is_ready(name, url), f"{name} is not ready, see {self._log}", READY_S
            )
            yield url
        finally:
            del self._applications[name]
            self._deploy()
            wait_until(lambda: name not in self._running(), f"{name} does not go, see {self._log}")

    def update(self, name: str) -> None:
        """Deploy what the application is configured as now, and wait until it runs so."""
        self._deploy()
        wait_until(lambda: self._status(name) == "RUNNING", f"{name} does not run")

    def failed_update(self, name: str) -> str:
        """Why what the application is configured as now cannot be deployed."""
        self._deploy()
        wait_until(lambda: self._status(name) == "DEPLOY_FAILED", f"{name} does not fail")
        return self._running()[name]["message"]

    def _status(self, name: str) -> str:
        return self._running()[name]["status"]

    def _configured(self) -> dict:
        return self._config | {
            "applications": list(self._applications.values()),
            "tracing_config": self._tracing,
        }

    def _deploy(self) -> None:
        answer = self._dashboard.put("/api/serve/applications/", json=self._configured())
        assert answer.status_code == 200, answer.text

    @cached_property
    def _dashboard(self) -> httpx.Client:
        """Ray's, which takes orders for Serve and knows all actors."""
        found = re.search(r"dashboard at \S*?(http://[\d.]+:\d+)", self._log.read_text())
        assert found, self._log.read_text()[-4000:]
        headers = {"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        return httpx.Client(base_url=found[1], headers=headers, timeout=60)

    def _running(self) -> dict[str, dict]:
        """What Serve says of each application."""
        return self._dashboard.get("/api/serve/applications/").json()["applications"]

    def _is_ready(self, name: str, url: str) -> bool:
        found = self._running().get(name, {})
        if found.get("status") == "DEPLOY_FAILED":
            pytest.fail(f"{name}: {found['message']}")
        try:
            return httpx.get(f"{url}/v2/health/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def replicas(self, application: str, deployment: str) -> dict[str, int]:
        """The process of each that lives, by the actor's id."""
        return self._living(f"ServeReplica:{application}:{deployment}")

    def trainer(self, application: str) -> dict[str, int]:
        """Likewise, of the one that lives."""
        return self._living("Trainer", f"::{application}::")

    def _living(self, class_name: str, in_name: str = "", what: str = "pid") -> dict[str, Any]:
        wanted = {
            "filter_keys": "class_name",
            "filter_predicates": "=",
            "filter_values": class_name,
        }
        answer = self._dashboard.get("/api/v0/actors", params=wanted)
        assert answer.status_code == 200, answer.text
        return {
            actor["actor_id"]: actor[what]
            for actor in answer.json()["data"]["result"]["result"]
            if actor["state"] == "ALIVE" and in_name in actor["name"]
        }

    def stop(self) -> None:
        """As a user interrupts it; then end what is left, such as HAProxy."""
        if self._process:
            self._dashboard.close()
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOPPED_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for file in Path("/proc").glob("[0-9]*/environ"):
            try:
                environment = file.read_text(errors="replace").split("\0")
                if any(entry.startswith(f"{MARK}={self._home}") for entry in environment):
                    os.kill(int(file.parent.name), signal.SIGKILL)
            except OSError:  # it has ended, or is another user's
                continue
        shutil.rmtree(self._ray_folder, ignore_errors=True)


def without_address(environment: dict[str, str]) -> dict[str, str]:
    """Of a program that is to start a Ray of its own."""
    return {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}


def wait_until(condition: Callable[[], bool], what: object, seconds: float = 120) -> None:
    """Returns as soon as the condition holds; fails, saying `what` is wrong, if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)
