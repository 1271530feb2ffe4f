"""What somebody finds who has no business here: what listens where, what keys are in logs, and what
the port of HTTP makes of bytes that are no HTTP."""

import ipaddress
import json
import os
import random
import re
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from tests.e2e.server import MARK, TOKEN, wait_until
from tests.fuzz.test_surfaces import changed
from workload.chaos.memory import Memory, as_table
from workload.chaos.processes import Processes
from workload.client.protocols import png

COUNT = int(os.environ.get("GATI_FUZZ", "300"))
WARM = 10_000
"""Inputs after which the processes should have all the memory that they need."""
SENDERS, WAIT_S, MOST_S = 16, 0.1, 10.0
OPEN = ("ray::", "raylet", "gcs_server", "python", "serve")
"""Who may listen beyond loopback, as the table in `deployments/README.md` has it: Ray, and what
runs in its workers, among that routers and Serve's own proxy. Not HAProxy."""


def of_server(server) -> list[psutil.Process]:
    mark, found = server.environment[MARK], []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def listening(server) -> dict[tuple[str, int], str]:
    """Address and port, and the name of the process."""
    found = {}
    for process in of_server(server):
        with suppress(psutil.Error):
            for each in process.net_connections("tcp"):
                if each.status == psutil.CONN_LISTEN:
                    found[each.laddr.ip, each.laddr.port] = process.name()
    return found


def test_what_listens_beyond_loopback_is_in_the_table(server, shipped):
    addresses = [url.removeprefix("http://").split(":") for url in (server.url, server.grpc)]
    wanted = {(host, int(port)) for host, port in addresses}
    # a new HAProxy may be taking over from one at this moment
    wait_until(lambda: wanted <= listening(server).keys(), "HTTP and gRPC are not on loopback")
    far = {
        where: who
        for where, who in listening(server).items()
        if not ipaddress.ip_address(where[0]).is_loopback
    }
    print(far)
    assert [who for who in far.values() if not who.startswith(OPEN)] == []


def test_keys_and_tokens_are_in_no_log(server, shipped):
    (key,) = Path(server.environment[MARK]).rglob("lane.key")
    (of_streams,) = Path(server.environment[MARK]).rglob("stream.key")
    secrets = [json.loads(key.read_text())["secret"], of_streams.read_text()]
    secrets += [TOKEN, server.environment["RAY_AUTH_TOKEN"]]
    logs = [file for file in server.logs.parent.rglob("*") if file.is_file()]
    assert any("replica" in file.name for file in logs)
    for file in logs:
        text = file.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), file


def test_rays_ports_admit_nobody_without_the_token(server, shipped):
    dashboard = str(server._dashboard.base_url)
    for path in ("/api/jobs/", "/api/serve/applications/"):
        assert httpx.get(f"{dashboard}{path}".replace("//api", "/api")).status_code in (401, 403)
    program = f"import ray; ray.init('{server.address}', log_to_driver=False)"
    environment = server.environment | {"RAY_AUTH_TOKEN": "0" * 64}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=90
    )
    assert ran.returncode and "uthenticat" in ran.stderr


@pytest.fixture(scope="module")
def requests() -> list[bytes]:
    picture = png(np.zeros((28, 28, 1), np.uint8))
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    chunked = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    infer = b'{"inputs": [{"name": "image", "shape": [1], "datatype": "UINT8", "data": [1]}]}'
    return [
        head % len(picture) + picture,
        chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(picture), picture),
        (head % len(infer)).replace(b"/predict", b"/v2/models/fashion-mnist/infer") + infer,
        b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
        b"GET /stats?x=%00 HTTP/1.0\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(20),
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ]


def answered(address: tuple[str, int], data: bytes) -> bytes:
    """Whatever comes back until the server closes, or, where it waits for more, has nothing more to
    wait for."""
    answer = b""
    with suppress(ConnectionError), socket.create_connection(address, MOST_S) as stranger:
        stranger.sendall(data)
        stranger.settimeout(WAIT_S)
        with suppress(TimeoutError):
            while piece := stranger.recv(65536):
                answer += piece
            return answer
        stranger.shutdown(socket.SHUT_WR)
        stranger.settimeout(MOST_S)
        while piece := stranger.recv(65536):
            answer += piece
    return answer


def test_whatever_bytes_come_to_the_port_of_http_it_answers_others(server, shipped, requests):
    host, port = server.url.removeprefix("http://").split(":")
    draw, before = random.Random(COUNT), server.replicas("gati", "Router")
    inputs = requests + [changed(draw, requests) for _ in range(COUNT)]
    seen: Counter[int] = Counter()
    processes = Processes(MARK, server.environment[MARK])
    with ThreadPoolExecutor(SENDERS) as pool, Memory(processes) as memory:
        answers = pool.map(partial(answered, (host, int(port))), inputs)
        for i, (data, answer) in enumerate(zip(inputs, answers, strict=True)):
            if i == WARM:
                print(as_table(memory.rows()))
            statuses = [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]
            assert all(found < 500 or found == 503 for found in statuses), (data, answer)
            seen.update(statuses)
    print(seen, as_table(memory.rows()), sep="\n")
    assert {200, 400, 404} <= seen.keys()
    assert server.replicas("gati", "Router") == before
    assert httpx.get(f"{server.url}/v2/health/ready").status_code == 200
