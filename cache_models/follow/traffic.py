"""Samples of the traffic, as arrays to learn from."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Traffic:
    """N samples with the base DNN's answers.

    Attributes:
        features: `(N, *feature_shape)` float16, one array per cut point of the plan.
        probabilities: the base DNN's, `(N, K)` float32.
        roles: `(N,)` uint8.
        independent: `(N,)` bool, chosen independently of everything else; others missed everywhere,
            and may train but never test.
        weights: `(N,)` float32, inverse inclusion probability.
    """

    features: list[np.ndarray]
    probabilities: np.ndarray
    roles: np.ndarray
    independent: np.ndarray
    weights: np.ndarray

    @property
    def answers(self) -> np.ndarray:
        """The base DNN's labels, `(N,)` int64."""
        return self.probabilities.argmax(1)
