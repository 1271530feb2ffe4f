"""What a process does not run it does not load: PyTorch takes seconds."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "modules",
    [
        "deployments.transport.place, deployments.transport.endpoint",
        "deployments.graph.lookup, deployments.graph.partition",
    ],
)
def test_without_pytorch(modules):
    code = (
        f"import sys, {modules}; print([m for m in ('torch', 'torchvision') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr
