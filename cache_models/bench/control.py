"""What the controller of the threshold does, on simulated streams: how soon a threshold that errs
is left, how often one that errs is served in the long run, and what is lost by being careful.

Samples are taken as in service: few while all is well, more when something speaks against the
threshold, and all when caches are off.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from cache_models.promise.controller import Controller
from cache_models.promise.path import OFF
from cache_models.promise.promise import PATH, Limits
from cache_models.promise.sampling import need_of

Draw = Callable[[int, np.random.Generator], tuple[np.ndarray, int]]
"""The request at a time: whether its answer would be wrong at each threshold `(J,)`, and the base
DNN's label."""


@dataclass(frozen=True)
class Rates:
    """Shares of requests that are sampled.

    Attributes:
        little, much, suspicion, all: by what they are wanted for.
    """

    little: float = 0.02
    much: float = 0.1
    suspicion: float = 0.3
    all: float = 1.0

    def of(self, controller: Controller) -> float:
        """The share that the controller wants."""
        return getattr(self, need_of(controller))


@dataclass(frozen=True)
class Run:
    """
    Attributes:
        served: index of the threshold for each request, `(n,)`; `OFF` for none.
        sampled: times of the sampled requests.
        alarms: of them, those that raised one.
    """

    served: np.ndarray
    sampled: np.ndarray
    alarms: np.ndarray


def follow(
    controller: Controller,
    draw: Draw,
    requests: int,
    rng: np.random.Generator,
    rates: Rates = Rates(),
    until: Callable[[Controller], bool] = lambda _: False,
    load: Callable[[int], float] = lambda _: 1.0,
    block: int | None = None,
) -> Run:
    """Serve a stream.

    Args:
        until: ends it.
        load: at each time, the part of what should be sampled that can be.
        block: so many requests in turn may depend on each other; None: none do.
    """
    served = np.full(requests, OFF)
    sampled, alarms, t = [], [], 0
    while t < requests:
        rate = rates.of(controller) * load(t)
        end = t + int(rng.geometric(rate))
        served[t:end] = controller.served
        t = end
        if t > requests:
            break
        sampled.append(t - 1)
        of_block = None if block is None else (t - 1) // block
        if controller.observe(*draw(t - 1, rng), 1 / rate, block=of_block) is not None:
            alarms.append(t - 1)
        if until(controller):
            break
    return Run(served[:t], np.array(sampled, int), np.array(alarms, int))


def delays(
    disagreement: float,
    limits: Limits,
    samples_between_alarms: float,
    rates: Rates,
    trials: int,
    before: int = 20_000,
    seed: int = 0,
) -> tuple[np.ndarray, float]:
    """Requests from a change to the moment when the threshold is left for a stricter one, or none.

    Args:
        disagreement: after the change; before it, three quarters of what is allowed.
        before: requests ahead of the change; a stream where it is left before is drawn again.

    Returns:
        `(trials,)`, and the share of requests that were sampled before the change.
    """
    rng, index, classes = np.random.default_rng(seed), len(PATH) // 2, 10
    relative = np.minimum(1.5, np.arange(1, len(PATH) + 1) / (index + 1))

    def of(share: float) -> Draw:
        return lambda _, rng: (rng.random() < share * relative, int(rng.integers(classes)))

    def left(controller: Controller) -> bool:
        return controller.served < index

    found: list[int] = []
    shares: list[float] = []
    while len(found) < trials:
        controller = Controller(limits, classes, float(PATH[index]), samples_between_alarms)
        good = follow(controller, of(0.75 * limits.max_disagreement), before, rng, rates, left)
        if left(controller):
            continue
        controller.served = min(controller.served, index)
        bad = follow(controller, of(disagreement), 10**6, rng, rates, left)
        found.append(len(bad.served))
        shares.append(len(good.sampled) / before)
    return np.array(found), float(np.mean(shares))


def table(limits: Limits, samples_between_alarms: float, rates: Rates, trials: int = 100) -> str:
    """For people."""
    lines = ["disagreement after the change   requests until it is left: median    95 of 100"]
    for disagreement in tqdm((2, 5, 10, 30), desc="simulate", unit="change"):
        found, share = delays(disagreement / 100, limits, samples_between_alarms, rates, trials)
        median, late = np.quantile(found, (0.5, 0.95))
        lines.append(f"{disagreement:28} %   {median:34,.0f}   {late:10,.0f}")
    lines.append(f"sampled before the change: {share:.1%} of the requests")
    return "\n".join(lines)
