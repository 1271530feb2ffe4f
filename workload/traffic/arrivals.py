"""Arrivals: when each request is due, in seconds from the start, `(n,)`.

Closed loop is no arrival process: there the next request is due when the last has been answered.
"""

from collections.abc import Callable

import numpy as np

from workload.errors import ParameterError
from workload.traffic.parameters import parse


def fixed(count: int, rate_per_s: float, seed: int = 0) -> np.ndarray:
    """Evenly apart, as a camera's frames; nothing in it is left to chance."""
    return np.arange(count) / rate_per_s


def poisson(count: int, rate_per_s: float, seed: int) -> np.ndarray:
    """As of many clients who know nothing of each other: exponential gaps of mean 1 / rate."""
    return np.random.default_rng(seed).exponential(1 / rate_per_s, count).cumsum()


def bursty(
    count: int,
    rate_per_s: float,
    seed: int,
    factor: float = 5.0,
    share: float = 0.2,
    mean_burst_s: float = 5.0,
) -> np.ndarray:
    """A Markov-modulated Poisson process of two states, calm and burst.

    Args:
        rate_per_s: of both states together, in the long run.
        factor: the rate in a burst is so many times that of the calm.
        share: of the time that is burst, below 1.
        mean_burst_s: a burst lasts an exponential time of this mean.
    """
    if not 0 < share < 1:
        raise ParameterError(f"arrivals bursty: share is {share}; it may be above 0 and below 1")
    rng = np.random.default_rng(seed)
    calm_per_s = rate_per_s / (1 - share + share * factor)
    states = (
        (calm_per_s, mean_burst_s * (1 - share) / share),
        (calm_per_s * factor, mean_burst_s),
    )
    state, start_s, made = int(rng.random() < share), 0.0, 0
    parts = []
    while made < count:
        state_per_s, mean_s = states[state]
        lasts_s = rng.exponential(mean_s)
        due_s = start_s + np.sort(rng.uniform(0, lasts_s, rng.poisson(state_per_s * lasts_s)))
        parts.append(due_s)
        made, start_s, state = made + len(due_s), start_s + lasts_s, 1 - state
    return np.concatenate(parts)[:count]


ARRIVALS: dict[str, Callable[..., np.ndarray]] = {
    "poisson": poisson,
    "fixed": fixed,
    "bursty": bursty,
}
KNOWN: dict[str, Callable] = {"closed": lambda: None, **ARRIVALS, "replay": lambda: None}


def make(
    text: str, count: int, rate_per_s: float | None, seed: int, times_s: np.ndarray | None = None
) -> np.ndarray | None:
    """When each request is due, None for a closed loop.

    Args:
        text: such as `bursty:factor=8,share=0.1`.
        rate_per_s: which all but `closed` and `replay` need.
        times_s: the stream's own, for `replay`.

    Raises:
        ParameterError: there are none such.
    """
    name, parameters = parse("arrivals", text, KNOWN)
    if name == "closed":
        return None
    if name == "replay":
        if times_s is None:
            raise ParameterError(
                "arrivals replay: the stream has no times of its own; a video and a replay have"
            )
        return times_s
    if rate_per_s is None:
        raise ParameterError(f"arrivals {name} need a rate in requests a second")
    return ARRIVALS[name](count, rate_per_s, seed, **parameters)
