"""Arrivals: when each request is due, in seconds from the start, `(n,)`."""

import numpy as np


def fixed(count: int, rate_per_s: float) -> np.ndarray:
    """Evenly apart."""
    return np.arange(count) / rate_per_s


def poisson(count: int, rate_per_s: float, seed: int) -> np.ndarray:
    """As of many clients who know nothing of each other: exponential gaps of mean 1 / rate."""
    return np.random.default_rng(seed).exponential(1 / rate_per_s, count).cumsum()
