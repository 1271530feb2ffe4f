"""HAProxy as Serve starts it: no router is 503, and nobody notices a start after a kill."""

import os
import re
import socket
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from deployments.starting import HAPROXY, haproxy
from tests.e2e.server import wait_until
from workload.compare.systems.processes import free_ports

CONFIG = """
global
    stats socket {folder}/admin.sock mode 666 level admin expose-fd listeners
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    balance leastconn
    errorfile 503 {folder}/500.http
frontend http_frontend
    bind 127.0.0.1:{port}
    {rules}
"""
ROUTER = """acl is_router path_beg /
    use_backend router if is_router
backend router
    {answer}
"""
NO_ROUTERS = """use_backend lists if FALSE
    default_backend nothing
backend lists
backend nothing
    http-request return status 404
"""
"""As the first configurations of a manager are."""
COUNTED = """option httplog
    log {folder}/log format rfc5424 local1 debug
    log-format-sd "%{{+Q,+E}}o [serve@1 app=%[var(txn.serve_app)] method=%HM status=%ST]"
    """
"""As Serve has each request told, to count it by its method."""


class Started:
    """The processes that a manager would have started."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_ports(1)[0]
        self.raylet = subprocess.Popen(["sleep", "600"])
        self.processes: list[subprocess.Popen] = [self.raylet]

    def start(self, rules: str, *more: str) -> subprocess.Popen:
        config = self.folder / "haproxy.cfg"
        config.write_text(CONFIG.format(folder=self.folder, port=self.port, rules=rules))
        command = [str(HAPROXY), "-db", "-f", str(config), "-dR", *more]
        environment = os.environ | haproxy() | {"RAY_RAYLET_PID": str(self.raylet.pid)}
        self.processes.append(subprocess.Popen(command, env=environment))
        return self.processes[-1]

    def status(self) -> int | None:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/predict").status_code
        except httpx.TransportError:
            return None


@pytest.fixture
def started(tmp_path):
    started = Started(tmp_path)
    yield started
    started.raylet.kill()
    for process in started.processes:
        process.wait(30)  # none outlives its Ray
    wait_until(lambda: started.status() is None, "somebody still listens")


def test_where_no_router_is_there_clients_are_told_to_come_again(started):
    started.start(ROUTER.format(answer="server gone 127.0.0.1:1"))
    wait_until(lambda: started.status() is not None, "HAProxy does not listen")
    answer = httpx.get(f"http://127.0.0.1:{started.port}/predict")
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
    assert "try again" in answer.json()["error"]


def test_one_whose_manager_was_killed_is_taken_over_from_with_the_routers_it_knows(started):
    first = started.start(ROUTER.format(answer="http-request return status 200"))
    wait_until(lambda: started.status() == 200, "HAProxy does not listen")
    (started.folder / "manager").write_text("another")  # all are this process's children here
    second = started.start(NO_ROUTERS)
    wait_until(lambda: first.poll() is not None, "the orphan does not go")
    wait_until(lambda: started.status() == 200, "the routers known before are not asked")
    third = started.start(NO_ROUTERS, "-sf", str(second.pid))
    second.wait(30)
    assert started.status() == 200 and third.poll() is None


def test_for_one_that_was_killed_another_stands_in_until_there_is_a_new_one(started):
    rules = ROUTER.format(answer="http-request return status 200")
    first = started.start(rules)
    wait_until(lambda: started.status() == 200, "HAProxy does not listen")
    first.kill()
    first.wait()
    wait_until(lambda: started.status() == 200, "nobody stands in")
    second = started.start(rules)
    stand_in = str(started.folder / "stand-in.cfg")
    wait_until(lambda: not running(stand_in), "it still stands in")
    assert started.status() == 200 and second.poll() is None


def running(config: str) -> list[psutil.Process]:
    """Every HAProxy of a configuration."""
    found = psutil.process_iter(["name", "cmdline"])
    return [
        one
        for one in found
        if one.info["name"] == "haproxy" and config in (one.info["cmdline"] or ())
    ]


def test_when_the_last_application_has_gone_there_is_nothing(started):
    first = started.start(ROUTER.format(answer="http-request return status 200"))
    wait_until(lambda: started.status() == 200, "HAProxy does not listen")
    started.start(NO_ROUTERS, "-sf", str(first.pid))
    wait_until(lambda: started.status() == 404, "the application has not gone")


def test_methods_that_somebody_made_up_are_counted_under_no_name(started):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(started.folder / "log"))
        log.settimeout(30)
        router = ROUTER.format(answer="http-request return status 200")
        started.start(COUNTED.format(folder=started.folder) + router)
        wait_until(lambda: started.status() == 200, "HAProxy does not listen")
        assert said(log) == ("GET", "200")
        answer = httpx.request("GETX", f"http://127.0.0.1:{started.port}/predict")
        assert (answer.status_code, said(log)) == (405, ("", "405"))
    assert "POST" in answer.headers["Allow"] and "method" in answer.json()["error"]


def said(log: socket.socket) -> tuple[str, str]:
    """Method and status of a request, as they are counted."""
    found = re.search(rb'method="(.*?)" status=(\d+)', log.recv(8192))
    assert found
    return found[1].decode(), found[2].decode()
