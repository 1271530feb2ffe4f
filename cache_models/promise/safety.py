"""Proof, from a stream of samples, that a threshold is safe; valid whenever it is looked at.

For every threshold a gambler bets that fewer than `limit` of the answers are wrong (testing by
betting: Waudby-Smith and Ramdas 2024; with unequal sampling: Xu, Karampatziakis and Mineiro 2024).
While that is not so, its wealth is multiplied by at most one in expectation, whatever came before,
so that the chance that it is ever `1 / level` is at most `level` (Ville's inequality).
"""

import numpy as np

RATES = np.array([0.1, 0.3, 0.5, 0.7])
"""Wrong answers as shares of `limit` that are bet on, a quarter of the wealth on each."""
FORGOTTEN = 0.999
"""Of the largest weight, with every bet: so a stretch with heavy weights is not paid for ever."""


class SafetyTest:
    """
    Args:
        limit: of the share of wrong answers.
        thresholds: J, that are tested at once.

    Attributes:
        count: bets since the beginning.

    >>> test = SafetyTest(0.01, thresholds=1)
    >>> for _ in range(500):
    ...     test.bet(np.zeros(1))
    >>> bool(test.proven(0.05)[0])
    True
    """

    def __init__(self, limit: float, thresholds: int):
        self._limit = limit
        self._bets = (1 - RATES)[:, None] / (1 - limit)
        self._log_wealth = np.zeros((len(RATES), thresholds))
        self._highest = np.zeros(thresholds)
        self._heaviest = 0.0
        self.begin_anew()

    def begin_anew(self, thresholds: slice | np.ndarray = slice(None)) -> None:
        """Forget what has been won and lost at some thresholds."""
        self._log_wealth[:, thresholds] = 0
        self._highest[thresholds] = 0
        self.count = 0

    def bet(self, wrong: np.ndarray, weight: float = 1.0) -> None:
        """Take in one sample, or a block of samples that may depend on each other.

        Args:
            wrong: at each threshold, `(J,)`: a mean of the block's, each by its weight.
            weight: inverse inclusion probability, of a block the sum; known before any answer is.
        """
        self.count += 1
        self._heaviest = max(weight, FORGOTTEN * self._heaviest)
        excess = weight / self._heaviest * (wrong - self._limit)
        self._log_wealth += np.log1p(-self._bets * excess)
        wealth = np.logaddexp.reduce(self._log_wealth) - np.log(len(RATES))
        np.maximum(self._highest, wealth, out=self._highest)

    def proven(self, level: float) -> np.ndarray:
        """Whether the wealth has ever been `1 / level`, at each threshold `(J,)`."""
        return self._highest >= -np.log(level)


def least_samples(limit: float, level: float) -> int:
    """So many samples without a wrong answer are proof.

    >>> least_samples(0.01, 0.05)
    485
    """
    growth = np.log1p((1 - RATES[0]) * limit / (1 - limit))
    return int(np.ceil(np.log(len(RATES) / level) / growth))
