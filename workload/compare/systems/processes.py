"""Processes that a comparison starts: each is stopped at the end, by its process id."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workload.errors import StartError

HAPROXY_PORTS = (8404, 9101)
"""Of Ray Serve's HAProxy, besides that of HTTP; they are the same for every Serve."""
FREE_PORTS = range(30_000, 32_768)
"""Over those of Serve's replicas, and under those that Linux gives to connections
(net.ipv4.ip_local_port_range)."""
STOP_S = 60.0
ROOT = Path(__file__).parents[3]


@dataclass
class Running:
    """A process that writes to `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def ended(self) -> str | None:
        """Why it can answer no more, with the end of its log; None while it runs."""
        code = self.process.poll()
        if code is None:
            return None
        end = self.log.read_text(errors="replace").strip().splitlines()[-3:]
        return f"{self.name} ended with {code}: {' / '.join(end)}"

    def stop(self) -> None:
        """End it, and what is left of its process group, which it alone began."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
            except ProcessLookupError:
                return
            time.sleep(1)


def start(
    name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Running:
    """In a session of its own, so that a Ctrl-C reaches it only through `stop`."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with open(log, "w") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path} | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(name, process, log)


def free_ports(count: int) -> list[int]:
    """So many that nobody has, on any address of this machine.

    Those that the kernel gives away by itself are not among them: a server that starts takes
    seconds to bind its port, and until then any connection, and any process of Ray, may be given
    it.

    Raises:
        StartError: there are not so many.
    """
    found: list[int] = []
    for port in random.sample(FREE_PORTS, len(FREE_PORTS)):
        if len(found) == count:
            return found
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            found.append(port)
    raise StartError(f"fewer than {count} ports of {FREE_PORTS[0]} to {FREE_PORTS[-1]} are free")


def haproxies() -> set[int]:
    """Process ids of every HAProxy on this machine, as far as /proc says."""
    found = set()
    for name in Path("/proc").glob("[0-9]*/comm"):
        try:
            if name.read_text().strip() == "haproxy":
                found.add(int(name.parent.name))
        except OSError:  # it has just ended
            continue
    return found


def refuse_stale_haproxy(ports: Sequence[int] = HAPROXY_PORTS) -> None:
    """
    Raises:
        StartError: somebody holds a port that HAProxy will want.
    """
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError as error:
                holders = ", ".join(map(str, sorted(haproxies()))) or "none found"
                raise StartError(
                    f"port {port}, which Ray Serve's HAProxy needs, is taken ({error.strerror}): "
                    f"another Serve runs, or one that was killed left its HAProxy behind. "
                    f"Processes called haproxy: {holders}. Stop that Serve, or end the process."
                ) from error


def wait_until_gone(pids: set[int], seconds: float = 5.0) -> set[int]:
    """Those of `pids` that are HAProxies still after so long."""
    deadline = time.monotonic() + seconds
    while (left := pids & haproxies()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left
