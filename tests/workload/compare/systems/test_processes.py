"""Processes end with what they started, and ports that are taken are named."""

import socket
import sys

import pytest

from workload.compare.systems.processes import refuse_stale_haproxy, start
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
