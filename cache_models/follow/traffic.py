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
        weights: `(N,)` float32, inverse inclusion probability; 0 of a sample that was not chosen
            independently of everything, which missed everywhere, and may train but never test.
        blocks: `(N,)` int64, the same of samples that may be wrong together.
    """

    features: list[np.ndarray]
    probabilities: np.ndarray
    roles: np.ndarray
    weights: np.ndarray
    blocks: np.ndarray

    @property
    def independent(self) -> np.ndarray:
        """Chosen independently, `(N,)` bool."""
        return self.weights > 0

    @property
    def answers(self) -> np.ndarray:
        """The base DNN's labels, `(N,)` int64."""
        return self.probabilities.argmax(1)
