"""The guard: notice from sampled requests that a threshold errs too often.

A change detector with a bounded rate of false alarms, whatever the moment of the change: the
Shiryaev-Roberts e-detector (Shin, Ramdas and Rinaldo 2023). A test that is never reset would notice
ever later.
"""

from base64 import b64decode, b64encode

import numpy as np

ALTERNATIVES = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


class Guard:
    """Watches a stream of sampled answers, each right or wrong, at several thresholds at once.

    For every alternative rate q above `limit` an e-value, the likelihood ratio of q against
    `limit`, is multiplied up from every possible moment of change at once: `M <- (M + 1) * e`. The
    mean over alternatives raises an alarm at `samples_between_alarms`. While at most `limit` of the
    answers are wrong, `M` grows by at most one a sample in expectation, so that the false alarms of
    a threshold are at least so many samples apart on average (ARL).

    Args:
        limit: of the share of wrong answers.
        samples_between_alarms: the average run length to a false alarm, at least.
        thresholds: J, that are watched, each by itself.

    Attributes:
        unexplained: wrong answers beyond what is allowed, lately, at each threshold, `(J,)`: a
            cumulative sum that is never below 0 (Page 1954).

    >>> guard = Guard(0.01, 10_000)
    >>> any(guard.update(np.array([False]))[0] for _ in range(1000))
    False
    >>> [bool(guard.update(np.array([True]))[0]) for _ in range(3)]
    [False, False, True]
    """

    def __init__(self, limit: float, samples_between_alarms: float, thresholds: int = 1):
        rates = np.minimum(limit * np.array(ALTERNATIVES), (1 + limit) / 2)
        self._limit, self._least = limit, samples_between_alarms
        self._if_wrong = (rates / limit)[:, None]
        self._if_right = ((1 - rates) / (1 - limit))[:, None]
        self._evidence = np.zeros((len(rates), thresholds))
        self.unexplained = np.zeros(thresholds)

    def update(self, wrong: np.ndarray) -> np.ndarray:
        """Take in one sampled answer, at each threshold, `(J,)` bool; where it raises the alarm,
        `(J,)`."""
        self._evidence += 1
        self._evidence *= np.where(wrong, self._if_wrong, self._if_right)
        self.unexplained = np.maximum(0, self.unexplained + wrong - self._limit)
        return self.strength >= 1

    def reset(self, thresholds: slice | np.ndarray = slice(None)) -> None:
        """Begin anew; what is unexplained stays so until enough right answers make up for it."""
        self._evidence[:, thresholds] = 0

    def state(self) -> str:
        """What has been gathered, as text, to go on from after a crash."""
        return b64encode(np.vstack([self._evidence, self.unexplained]).astype("<f4")).decode()

    def restore(self, state: str) -> None:
        """Go on from what `state` returned."""
        rows = np.frombuffer(b64decode(state), "<f4").reshape(len(self._evidence) + 1, -1)
        self._evidence, self.unexplained = rows[:-1].astype(float), rows[-1].astype(float)

    @property
    def strength(self) -> np.ndarray:
        """Evidence of a change at each threshold, `(J,)`; 1 raises the alarm."""
        return self._evidence.mean(0) / self._least
