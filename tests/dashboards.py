"""What lies in `deployments/dashboards`, to be tested: queries, alerts, and Prometheus itself."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[1] / "deployments" / "dashboards"
ALERTS = FOLDER / "alerts.yaml"


def panels() -> list[dict]:
    return json.loads((FOLDER / "grafana.json").read_text())["panels"]


def queries(window: str = "1m") -> list[str]:
    """The dashboard's, of all applications.

    Args:
        window: in place of the one that Grafana chooses.
    """
    return [
        target["expr"].replace("$application", ".*").replace("$__rate_interval", window)
        for panel in panels()
        for target in panel.get("targets", [])
    ]


def alerts() -> list[dict]:
    return yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]


def program(name: str) -> str:
    """Path of `prometheus` or `promtool`; skips the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; on Debian: apt-get install prometheus")
    return found
