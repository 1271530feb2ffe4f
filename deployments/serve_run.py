"""`serve run`, which answers what it has accepted before it ends.

Serve's own accepts requests until it is gone, and those are lost; on SIGTERM it does not even end
in order. So:

1. HAProxy is told to accept no more, and to end once all is answered.
2. The Ray that this process has started ends with it. One that was there before goes on, and Serve
   is shut down in it, which takes half a minute.
"""

import signal
import sys
from collections.abc import Set
from pathlib import Path

import psutil
from ray import serve
from ray.serve.scripts import cli

from deployments.starting import haproxies

STOPPING = "stopping"
"""A file for `haproxy.sh`: nobody needs to stand in."""
DRAIN_S = 3.0
"""By then Serve misses HAProxy, and starts another."""


def main(config: str) -> None:
    """Serve what the configuration says, until SIGTERM or SIGINT."""
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)  # Ray replaces it by one that does the same
    try:
        cli.main(["run", config], standalone_mode=False)
    finally:
        signal.alarm(0)  # Ray's, which would abort this process three seconds after SIGTERM
        raylets = {child.pid for child in psutil.Process().children() if child.name() == "raylet"}
        drain(raylets)
        if not raylets:
            serve.shutdown()


def drain(raylets: Set[int]) -> None:
    """Returns once every HAProxy of these has answered."""
    ours = [haproxy for haproxy, raylet in haproxies() if raylet in raylets]
    for haproxy in ours:
        command = haproxy.cmdline()
        Path(command[command.index("-f") + 1]).with_name(STOPPING).touch()
        haproxy.send_signal(signal.SIGUSR1)
    psutil.wait_procs(ours, DRAIN_S)


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main(sys.argv[1])
