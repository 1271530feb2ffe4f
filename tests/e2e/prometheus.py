"""A real Prometheus beside the server, which asks it for its metrics as an operator's would."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml

from tests.dashboards import ALERTS, alerts, program
from tests.e2e.server import wait_until
from workload.compare.systems.processes import free_ports


class Prometheus:
    """
    Args:
        client: that knows where it listens.
    """

    def __init__(self, client: httpx.Client):
        self._client = client

    def ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def query(self, expression: str) -> list[dict]:
        """What it gives now: series, each with `metric` and `value`."""
        answer = self._client.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def firing(self) -> set[tuple[str, str]]:
        """Alerts and the applications that they are about."""
        answer = self._client.get("/api/v1/alerts").json()
        return {
            (alert["labels"]["alertname"], alert["labels"]["application"])
            for alert in answer["data"]["alerts"]
            if alert["state"] == "firing"
        }


@contextmanager
def prometheus(discovery: Path, folder: Path) -> Iterator[Prometheus]:
    """One that knows the alerts, which wait for nothing here.

    Args:
        discovery: Ray's file that says whom to ask.
    """
    (port,) = free_ports(1)
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
                "rule_files": [ALERTS.name],
                "scrape_configs": [
                    {
                        "job_name": "ray",
                        "file_sd_configs": [{"files": [str(discovery)], "refresh_interval": "2s"}],
                    }
                ],
            }
        )
    )
    at_once = [alert | {"for": "0s"} for alert in alerts()]
    rules = {"groups": [{"name": "gati", "rules": at_once}]}
    (folder / ALERTS.name).write_text(yaml.safe_dump(rules))
    url = f"http://127.0.0.1:{port}"
    with open(folder / "log", "w") as log:
        running = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={url.removeprefix('http://')}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=url, timeout=30) as client:
            found = Prometheus(client)
            wait_until(found.ready, f"Prometheus does not start, see {folder / 'log'}")
            yield found
    finally:
        running.terminate()
        running.wait(30)
