"""Samples of the traffic: one as it comes, and many as arrays to learn from."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Sample:
    """A request's row of which the base DNN's answer is known.

    Attributes:
        features: at each cut point, `feature_shape` float16; where its input is kept, at those
            behind the input alone.
        probabilities: the base DNN's, `(K,)`.
        weight: the inverse of the probability with which it was chosen, independently of
            everything; 0 if it was not chosen but missed everywhere.
        stream: that it belongs to, of which neighbours in time may be alike; empty if not known.
        at: when it was asked, by `time.time`.
        agreement: the first cache's confidence when it came, negative if its label is not the base
            DNN's; NaN if nobody has asked that cache.
        role: drawn if not given.
        input: what the base DNN was asked about, a decoded image `(h, w, C)` uint8 or
            `input_shape` float32, where it is kept: features at the input can be had of it.
        resized: as for `Run`.
    """

    features: Sequence[np.ndarray]
    probabilities: np.ndarray
    weight: float = 1.0
    stream: str = ""
    at: float = field(default_factory=time.time)
    agreement: float = math.nan
    role: int | None = None
    input: np.ndarray | None = None
    resized: bool = False


@dataclass(frozen=True)
class Traffic:
    """N samples with the base DNN's answers.

    Attributes:
        features: `(N, *feature_shape)` float16, one array per cut point of the plan.
        probabilities: the base DNN's, `(N, K)` float32.
        roles: `(N,)` uint8.
        weights: `(N,)` float32, inverse inclusion probability; 0 of a sample that was not chosen
            independently of everything, which missed everywhere, and may train but never test.
        blocks: `(N,)` int64, the same of samples that may be wrong together.
        streams: `(N,)` int64, of which stream each is; 0 of none.
        at: `(N,)` float64, when each came, in seconds.
    """

    features: list[np.ndarray]
    probabilities: np.ndarray
    roles: np.ndarray
    weights: np.ndarray
    blocks: np.ndarray
    streams: np.ndarray
    at: np.ndarray

    @property
    def independent(self) -> np.ndarray:
        """Chosen independently, `(N,)` bool."""
        return self.weights > 0

    @property
    def keys(self) -> np.ndarray:
        """Of their streams, `(N,)` int64 from 0; -1 of none."""
        _, numbers = np.unique(self.streams, return_inverse=True)
        return np.where(self.streams == 0, -1, numbers)

    @property
    def answers(self) -> np.ndarray:
        """The base DNN's labels, `(N,)` int64."""
        return self.probabilities.argmax(1)


def joined(*parts: Traffic) -> Traffic:
    """All of them, each as heavy as it may be: how likely a request was to be sampled says nothing
    of another part's."""
    features = zip(*(part.features for part in parts), strict=True)
    return Traffic(
        [np.concatenate(at) for at in features],
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.roles for part in parts]),
        np.concatenate([part.weights / part.weights.max(initial=1e-9) for part in parts]),
        np.concatenate([part.blocks for part in parts]),
        np.concatenate([part.streams for part in parts]),
        np.concatenate([part.at for part in parts]),
    )
