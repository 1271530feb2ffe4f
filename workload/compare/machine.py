"""The machine that a comparison runs on."""

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

BUSY = 0.5
"""Load average a core."""


def busy_with_others() -> str | None:
    """A warning if the machine has other work to do, which meets systems unevenly: the scheduler
    shares cores among sessions, and gives some of them more than others."""
    load = os.getloadavg()[0]
    if load < BUSY * (os.cpu_count() or 1):
        return None
    return (
        f"the machine had other work to do at the start (load {load:.1f}): systems in processes of "
        f"different sessions are not slowed down alike, and the figures are not to be trusted"
    )


def machine() -> dict[str, Any]:
    """Processor, cores, and the versions of what is compared."""
    cpu = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), cpu)
    found = {}
    for package in ("ray", "onnxruntime", "torch", "litserve", "mosec"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), **found}
