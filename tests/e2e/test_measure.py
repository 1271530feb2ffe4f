"""`python -m deployments measure` writes what `python -m cache_models build --hop` reads."""

import subprocess
import sys

from cache_models.store.plan import HopCost


def test_a_measured_hop_costs_something_and_build_can_read_it(server, tmp_path):
    server.start()
    file = tmp_path / "hop.json"
    ran = subprocess.run(
        [sys.executable, "-m", "deployments", "measure", "--calls", "5", "--out", str(file)],
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    hop = HopCost.model_validate_json(file.read_text())
    assert hop.ms(16_000) > 0
    assert "1600 KB" in ran.stdout
