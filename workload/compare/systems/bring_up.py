"""Bring the systems up side by side, and down again.

All Ray systems are applications of one `serve run`, so that they share proxy, controller and
environment variables; LitServe and mosec have processes of their own. All listen on 127.0.0.1.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import httpx

from cache_models.errors import CacheModelsError
from workload.client.protocols import raw_body
from workload.compare.systems import mosec_server_names
from workload.compare.systems.applications import Settings, application
from workload.compare.systems.catalogue import OWN, RAY, SYSTEMS
from workload.compare.systems.processes import (
    HAPROXY_PORTS,
    Running,
    free_ports,
    haproxies,
    refuse_stale_haproxy,
    start,
    wait_until_gone,
)
from workload.errors import StartError
from workload.samples import Sample

START_S = 300.0
LAST_S = 150.0
"""A system that is not ready so long after the last that was is given up: servers of their own are
ready in seconds, and all of Ray's come later, together."""

RAY_ENVIRONMENT = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.01",
    "RAY_worker_niceness": "0",  # LitServe's and mosec's processes are not nicer either
    "RAY_USAGE_STATS_ENABLED": "0",
}


@contextmanager
def bring_up(
    names: Sequence[str], settings: Settings, probe: Sample
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """The URLs of those systems that are ready, and why others are not, by name. Everything is
    stopped at the end, whatever happens.

    Args:
        probe: a sample; a system is ready when it answers it.
    """
    missing: dict[str, str] = {}
    running: dict[str, Running] = {}
    urls: dict[str, str] = {}
    applications: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        for name in names:
            try:
                if SYSTEMS[name].server == RAY:
                    applications[name] = application(name, settings)
                elif SYSTEMS[name].server == OWN:
                    urls[name], running[name] = _own(name, settings)
                    stack.callback(running[name].stop)
            except (CacheModelsError, OSError, StartError) as error:
                missing[name] = str(error)
        if applications:
            try:
                url, serve = _serve_run(list(applications.values()), settings, stack)
                running |= dict.fromkeys(applications, serve)
                urls |= {name: f"{url}/{name}" for name in applications}
            except StartError as error:
                missing |= dict.fromkeys(applications, str(error))
        ready, late = wait_until_ready(
            {name: urls[name] for name in names if name in running},
            lambda name: running[name].ended,
            lambda name, url: answers(name, url, probe),
        )
        yield {name: urls[name] for name in ready}, missing | late


def wait_until_ready(
    urls: dict[str, str],
    ended: Callable[[str], str | None],
    answers: Callable[[str, str], str | None],
    start_s: float = START_S,
    last_s: float = LAST_S,
    tick_s: float = 0.5,
) -> tuple[list[str], dict[str, str]]:
    """Names of the systems that are ready, in the order of `urls`, and why the others are not.

    Args:
        ended: why a system's process is gone; None while it runs.
        answers: why a system does not answer; None when it does.
    """
    begun = changed = time.monotonic()
    ready: set[str] = set()
    failed: dict[str, str] = {}
    waiting = dict(urls)
    problem = dict.fromkeys(urls, "")
    while waiting:
        for name, url in list(waiting.items()):
            if (why := ended(name)) is not None:
                failed[name] = why
            elif (why := answers(name, url)) is None:
                ready.add(name)
                changed = time.monotonic()
                click.echo(f"{name} is ready after {changed - begun:.0f} s", err=True)
            else:
                problem[name] = why
                continue
            del waiting[name]
        now = time.monotonic()
        if waiting and (now - begun > start_s or (ready and now - changed > last_s)):
            spent = f"not ready within {now - begun:.0f} s"
            failed |= {name: f"{spent}: {problem[name]}" for name in waiting}
            break
        if waiting:
            time.sleep(tick_s)
    return [name for name in urls if name in ready], failed


def answers(name: str, url: str, probe: Sample) -> str | None:
    """Why a system does not answer yet; None when it does."""
    try:
        if SYSTEMS[name].late_binding:
            httpx.get(f"{url}/v2/health/ready", timeout=5).raise_for_status()
        body = raw_body(probe)
        asked = httpx.post(f"{url}/predict", content=body.content, headers=body.headers, timeout=10)
        asked.raise_for_status()
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return None


def _own(name: str, settings: Settings) -> tuple[str, Running]:
    (port,) = free_ports(1)
    module = f"workload.compare.systems.{name}_server"
    command = [sys.executable, "-m", module, "--port", str(port)]
    environment = {}
    if name == "mosec":
        command += ["--address", "127.0.0.1", "--timeout", "60000"]
        environment = {
            mosec_server_names.STORE: str(settings.whole),
            mosec_server_names.DEVICE: settings.device,
            mosec_server_names.THREADS: str(settings.threads),
        }
    else:
        command += ["--store", str(settings.whole), "--device", settings.device]
        command += ["--threads", str(settings.threads)]
    log = settings.folder / f"{name}.log"
    return f"http://127.0.0.1:{port}", start(name, command, log, environment)


def _serve_run(
    applications: list[dict[str, Any]], settings: Settings, stack: ExitStack
) -> tuple[str, Running]:
    refuse_stale_haproxy(HAPROXY_PORTS)
    before = haproxies()
    (port,) = free_ports(1)
    config = settings.folder / "serve_config.yaml"
    described = {
        "proxy_location": "EveryNode",
        "http_options": {"host": "127.0.0.1", "port": port},
        "applications": applications,
    }
    # YAML is a superset of JSON
    config.write_text(json.dumps(described, indent=1) + "\n")
    command = [str(Path(sys.executable).with_name("serve")), "run", "--address", "local"]
    log = settings.folder / "serve.log"
    serve = start("serve run", [*command, str(config)], log, RAY_ENVIRONMENT)

    def stop() -> None:
        ours = haproxies() - before
        serve.stop()
        for pid in wait_until_gone(ours):
            os.kill(pid, signal.SIGTERM)

    stack.callback(stop)
    return f"http://127.0.0.1:{port}", serve
