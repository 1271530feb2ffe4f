"""What all contenders of a comparison have in common: data, the base DNN's answers, prices."""

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from cache_models.build.pricing import compute_ms_by_exit
from cache_models.data.datasets import cache_home
from cache_models.errors import DataError
from cache_models.network.base_dnn import BaseDNN
from cache_models.store.plan import Plan
from workload.client.truth import base_answers
from workload.compare.closed_loop import Ask
from workload.compare.in_process import Local
from workload.compare.systems.catalogue import CASCADE, ORACLE, SYSTEMS, WHOLE
from workload.run.offline import base_labels
from workload.traffic.data import open_data

REFERENCE = "plain"
BEGINS_S = 0.02
"""After an answer, until a router takes itself for idle."""
SAMPLED = 0.3
"""Of a turn's requests, so many may have been sampled: 10 % are on average."""
BUSY = 0.5
"""Load average a core."""


@dataclass(frozen=True)
class Ground:
    """The contenders' common ground.

    Attributes:
        base: whose answers are the truth; nothing else runs it.
        urls: of the systems that are served.
        contenders: those, and what is asked without a server.
        local: what is asked without a server, if it is.
    """

    base: BaseDNN
    images: Sequence[np.ndarray]
    labels: np.ndarray | None
    plan: Plan
    urls: dict[str, str]
    contenders: dict[str, Ask]
    local: Local | None

    @property
    def reference(self) -> str:
        return REFERENCE if REFERENCE in self.urls else next(iter(self.urls))

    def pauses_s(self, in_a_row: int) -> dict[str, float]:
        """For `in_turn`: sampled requests begin when nobody has asked for a while, and take as
        long as the whole base DNN and its hops, one after the other."""
        each_s = 1.5 * self.plan.expected.base_latency_ms / 1e3
        turn_s = BEGINS_S + max(1, round(SAMPLED * in_a_row)) * each_s
        return {name: turn_s for name in self.urls if SYSTEMS[name].late_binding}

    @property
    def compute_ms(self) -> dict[str, dict[str, float]]:
        """By contender and exit, as the plan measured slices and lookups."""
        plan = self.plan
        shares = {point.name: point.compute_share for point in plan.candidates}
        names = plan.cut_points
        lookups_ms = [cache.lookup_ms for cache in plan.caches]
        base_ms = plan.expected.base_compute_ms
        paid_ms = compute_ms_by_exit([shares[name] for name in names], lookups_ms, base_ms)
        by_exit = dict(zip([*names, "base"], paid_ms.tolist(), strict=True))
        free_ms = {name: shares[name] * base_ms for name in names} | {"base": base_ms}
        known = {name: by_exit for name in self.urls if SYSTEMS[name].late_binding}
        whole = {name: {"base": base_ms} for name in ("plain", "eager", "litserve", "mosec", WHOLE)}
        return known | whole | {CASCADE: by_exit, ORACLE: free_ms}

    def truth(self, pictures: list[np.ndarray]) -> np.ndarray:
        """The base DNN's labels, `(n,)`, from disk where they are known."""
        file = cache_home() / "base_answers.sqlite"
        return base_answers(pictures, base_labels(self.base), self.base.fingerprint(), file)


def labelled(data: str, base: BaseDNN) -> tuple[Sequence[np.ndarray], np.ndarray | None]:
    """Images `(h, w, C)` uint8, and their labels where they are known as the base DNN counts them.

    Raises:
        DataError: `data` names none, or tensors.
    """
    preprocessing = base.description.preprocessing
    found = open_data(data, len(preprocessing.mean) if preprocessing else 3)
    if found.images[0].dtype != np.uint8:
        raise DataError(f"--data {data!r} holds tensors; systems are compared on pictures")
    return found.images, found.true_labels(base.description.classes)


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


def machine() -> dict:
    cpu = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), cpu)
    found = {}
    for package in ("ray", "torch", "litserve", "mosec"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), **found}
