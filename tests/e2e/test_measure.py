"""`python -m deployments measure` writes what `python -m cache_models build --hop` reads."""

import os
import subprocess
import sys

from cache_models.store.plan import HopCost


def test_a_measured_hop_costs_something_and_build_can_read_it(tmp_path):
    file = tmp_path / "hop.json"
    ran = subprocess.run(
        [sys.executable, "-m", "deployments", "measure", "--calls", "5", "--out", str(file)],
        env=os.environ
        | {
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.01",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    hop = HopCost.model_validate_json(file.read_text())
    assert hop.ms(16_000) > 0
    assert "1600 KB" in ran.stdout
