"""Each alert fires when it should, and only then: Prometheus's own tool says so."""

import shutil
import subprocess
from pathlib import Path

from tests.dashboards import ALERTS, program

CASES = Path(__file__).with_name("alerts_test.yaml")


def test_the_rules_are_rules():
    told = promtool("check", "rules", str(ALERTS))
    assert "4 rules found" in told


def test_each_alert_fires_when_it_should(tmp_path):
    for file in (ALERTS, CASES):
        shutil.copy(file, tmp_path)
    promtool("test", "rules", str(tmp_path / CASES.name))


def promtool(*args: str) -> str:
    done = subprocess.run([program("promtool"), *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
