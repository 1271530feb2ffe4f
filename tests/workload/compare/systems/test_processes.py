"""Processes end with what they started, and ports that are taken are named."""

import socket
import sys

import pytest

from workload.compare.systems.processes import free_ports, refuse_stale_haproxy, start
from workload.errors import StartError


def test_a_process_is_stopped_with_what_it_started(tmp_path):
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()'])"
    program = f"{child}\nimport time\nprint('up', flush=True)\ntime.sleep(600)"
    running = start("sleeper", [sys.executable, "-c", program], tmp_path / "log")
    assert running.ended is None
    running.stop()
    assert running.process.returncode is not None
    assert "sleeper ended with" in running.ended


def test_a_port_that_haproxy_needs_is_named_when_it_is_taken():
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port}.*haproxy"):
            refuse_stale_haproxy([port])
    refuse_stale_haproxy([port])


def test_free_ports_are_none_that_somebody_has_or_that_the_kernel_gives_away():
    first_of_the_kernel = 32_768
    with socket.socket() as holder:
        (port,) = free_ports(1)
        holder.bind(("127.0.0.1", port))
        others = free_ports(500)
    assert len(set(others)) == 500
    assert port not in others
    assert max(others) < first_of_the_kernel
