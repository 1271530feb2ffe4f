"""Chaos: steady traffic, and somebody is killed every so often. What was accepted is answered once
and rightly, or refused with the right status."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import yaml

from cache_models.network.base_dnn import load
from workload.chaos.killer import Killer
from workload.chaos.processes import Processes
from workload.chaos.tally import Row, tally
from workload.chaos.watch import Watch
from workload.client.client import send
from workload.client.truth import base_answers
from workload.samples import Samples
from workload.serving import serving
from workload.traffic.arrivals import poisson

QUIET_S = 10.0
"""Before the first kill, and after the last."""


def chaos(
    url: str,
    processes: Processes,
    samples: Samples,
    truth: np.ndarray,
    rate_per_s: float,
    seconds: float,
    kinds: Sequence[str],
    every_s: float,
    seed: int,
) -> list[Row]:
    """What became of the requests.

    Args:
        samples: drawn from at random.
        truth: the base DNN's label of each, `(n,)`.
        seconds: of kills; as long as `QUIET_S` comes before and after.
    """
    count = int(rate_per_s * (seconds + 2 * QUIET_S))
    which = np.random.default_rng(seed).integers(len(samples), size=count)
    due_s = poisson(count, rate_per_s, seed)
    began_s = time.perf_counter()
    killer = Killer(processes, kinds, every_s, QUIET_S, seconds, seed)
    with Watch(url) as watch, killer:
        answers = send(url, (samples[i] for i in which), due_s, in_flight=512, count=count)
    return tally(answers, truth[which], began_s, killer.kills, watch)


@contextmanager
def served(url: str, config: Path, replicas: int | None, folder: Path) -> Iterator[Processes]:
    """A server of a configuration, all of whose processes end with the block.

    Args:
        replicas: of every deployment; None: as configured.
    """
    if replicas is not None:
        settings = yaml.safe_load(config.read_text())
        for application in settings["applications"]:
            for deployment in application.get("deployments", ()):
                deployment["num_replicas"] = replicas
        config = folder / "serve_config.yaml"
        config.write_text(yaml.safe_dump(settings))
    processes = Processes()
    try:
        with serving(url, config, processes.environment):
            yield processes
    finally:
        for process in processes.all():  # whom nobody is left to end
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue


@contextmanager
def apart(is_wanted: bool) -> Iterator[Callable[[], None]]:
    """What is started within has all cores but the last, which the calling thread, and what it
    starts, have once they call what this gives, until the end of the block."""
    cores = os.sched_getaffinity(0)
    last = {max(cores)}
    if not is_wanted or len(cores) < 2:
        yield lambda: None
        return
    os.sched_setaffinity(0, cores - last)
    try:
        yield lambda: os.sched_setaffinity(0, last)
    finally:
        os.sched_setaffinity(0, cores)


def truth_of(model: str, samples: Samples) -> np.ndarray:
    """The base DNN's labels, `(n,)`."""
    return base_answers(load(model), samples)
