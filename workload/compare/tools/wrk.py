"""wrk (github.com/wg/wrk), on one connection: each request is sent when the last is answered.

Only how many it asks in its time is read: the latencies that it tells are not as measured, since it
adds what it reckons that a client would have waited who had not waited for the answers.
"""

import json
import math
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from workload.client.protocols import raw_body
from workload.compare.tools.asked import Run
from workload.errors import StartError
from workload.samples import Sample

WRK = "wrk"
"""Its scenario's name, and its program's."""
SCRIPT = Path(__file__).with_name("wrk.lua")
TIMEOUT_S = 30
ERRORS = "connect", "read", "write", "status", "timeout"


def installed() -> bool:
    return shutil.which(WRK) is not None


def one(url: str, samples: Sequence[Sample], seconds: float, folder: Path) -> Run:
    """One run against one system.

    Args:
        samples: which it is asked about from the first on, and then again.
        seconds: rounded up to whole ones.
        folder: that is made for the requests.

    Raises:
        StartError: wrk fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for k, sample in enumerate(samples):
        body = raw_body(sample)
        (folder / f"{k}.body").write_bytes(body.content)
        lines = [f"{name}: {value}\n" for name, value in body.headers.items()]
        (folder / f"{k}.headers").write_text("".join(lines))
    command = [WRK, "-t1", "-c1", f"-d{math.ceil(seconds)}s", f"--timeout={TIMEOUT_S}s"]
    command += ["-s", str(SCRIPT), f"{url}/predict", "--", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise StartError(f"wrk ended with {ended.returncode}: {ended.stderr.strip()[-500:]}")
    told = json.loads(ended.stdout.splitlines()[-1])
    if not told["requests"]:
        raise StartError(f"wrk has had no answer from {url}: {ended.stdout.strip()[-500:]}")
    return Run(
        order=[i % len(samples) for i in range(told["requests"])],
        figures={"per_s": told["requests"] / (told["duration_us"] / 1e6)},
        failures=Counter({kind: told[kind] for kind in ERRORS if told[kind]}),
    )
