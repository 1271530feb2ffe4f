"""A server that a command starts for itself, and ends."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from workload.errors import StartError

STARTED_S, STOPPED_S = 300.0, 60.0
DEFAULT_CONFIG = Path("serve_config.yaml")


def is_ready(url: str, timeout_s: float = 5.0) -> bool:
    """Whether a server answers there, and can serve."""
    try:
        answer = httpx.get(f"{url}/v2/health/ready", timeout=timeout_s)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


@contextmanager
def serving(
    url: str,
    config: Path = DEFAULT_CONFIG,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen]:
    """`gati serve`, ready, for the time of the block.

    Raises:
        StartError: it does not start.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments", "serve", str(config)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(environment or {}),
        )
        try:
            _wait(process, url, log)
            yield process
        finally:
            process.terminate()  # serve run then ends what it has started
            try:
                process.wait(STOPPED_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen, url: str, log: IO[bytes]) -> None:
    deadline = time.monotonic() + STARTED_S
    while not is_ready(url):
        if process.poll() is not None:
            log.seek(0)
            last = log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise StartError(f"gati serve has ended: {''.join(last)}")
        if time.monotonic() > deadline:
            raise StartError(f"gati serve is not ready at {url} after {STARTED_S:.0f} s")
        time.sleep(0.5)
