"""The class mix of the moment, and what it makes of a predictor's scores.

Where few classes occur, early layers suffice. A predictor's log probabilities, plus the log ratio
of the classes' recent shares to those that it was trained on, are those of a predictor trained on
the recent mix (prior correction: Saerens, Latinne and Decaestecker 2002).
"""

from collections import deque

import numpy as np

MEMORY = 100.0
"""Requests after which an observation counts half."""
SMOOTHING = 20.0
"""Of the trained mix, in requests, that is added to what was observed."""
CHANGED = 5.0
"""Log likelihood ratio of the trained mix against the recent one; a false alarm at most every
exp(5) observations."""
LEAST = 1e-3
"""Share of a class that the training data has not shown; less where there are many classes, so that
all of them together have at most a tenth."""
EXCESS_SAMPLES, EXCESS_PRIOR = 500, 3.0
"""Recent sampled requests that are compared with what was expected, and mistakes that are added to
both sides, so that few do not weigh much."""
LEAST_EXCESS = 1.3
"""Of what was the best of many priors and thresholds on simulated streams, rather more mistakes are
to be expected than there; 500 requests with few mistakes cannot show that there are fewer."""
ENTERS, LEAVES = 0.05, 0.01
"""Shares from which a class counts as present, and below which it is gone."""


class ClassPrior:
    """Recency-weighted shares of the base DNN's answers among all requests.

    Learned from requests that missed everywhere, each with weight 1, and sampled ones that hit,
    each with the inverse of its inclusion probability (Horvitz and Thompson 1952); never from a
    hit's own answer, which the prior itself may have caused. When observations speak against the
    recent mix (a cumulative sum of log likelihood ratios: Page 1954), it is forgotten at once.

    Args:
        trained: `(K,)` shares of the classes that the predictors learned on.
        least_share: of its trained share that every class keeps, which bounds how much a class that
            is not there can be talked down; 1 is no correction.

    >>> prior = ClassPrior(np.full(4, 0.25), least_share=0.1)
    >>> for _ in range(500):
    ...     prior.advance(1)
    ...     changed = prior.observe(2, 1.0)
    >>> prior.log_ratio().round(1)
    array([-1.5, -1.5,  1.2, -1.5])
    """

    def __init__(
        self,
        trained: np.ndarray,
        least_share: float = 1.0,
    ):
        trained = np.asarray(trained, float)
        self.trained = np.maximum(trained, min(LEAST, 0.1 / len(trained)))
        self.trained /= self.trained.sum()
        self.least_share = least_share
        self.forget()

    def start(self, shares: np.ndarray) -> None:
        """As if the recent requests had had these shares."""
        self._seen = shares / shares.sum() * MEMORY
        self._squares = MEMORY

    def forget(self) -> None:
        self._seen, self._squares = np.zeros(len(self.trained)), 0.0
        self._against = 0.0

    def advance(self, requests: int) -> None:
        """So many requests have been answered since the last call."""
        kept = 0.5 ** (requests / MEMORY)
        self._seen *= kept
        self._squares *= kept**2

    def observe(self, class_id: int, weight: float) -> bool:
        """Take in one base answer; True where the mix has changed, and what was seen is forgotten.

        Args:
            weight: inverse of the probability with which the request was observed.
        """
        log_ratio = self.log_ratio()[class_id]
        self._against = max(0.0, self._against - float(log_ratio))
        changed = self._against > CHANGED
        if changed:
            self.forget()
        self._seen[class_id] += weight
        self._squares += weight**2
        return changed

    @property
    def shares(self) -> np.ndarray:
        """`(K,)`, of the recent requests."""
        smoothed = self._seen + SMOOTHING * self.trained
        return smoothed / smoothed.sum()

    @property
    def observed(self) -> np.ndarray:
        """`(K,)`, the same without smoothing: what was not seen has no share."""
        return self._seen / max(self._seen.sum(), 1e-9)

    def told_apart(self, level: float = 0.05) -> bool:
        """Whether the recent mix is another than the trained one: Pearson's chi-square test, on as
        many observations as the weighted ones are worth (Kish 1965)."""
        from scipy.special import chdtrc  # not needed to serve

        if not self._squares:
            return False
        worth = self._seen.sum() ** 2 / self._squares
        distance = (np.square(self.observed - self.trained) / self.trained).sum()
        return bool(chdtrc(len(self.trained) - 1, worth * distance) <= level)

    def log_ratio(self) -> np.ndarray:
        """`(K,)`, to add to a predictor's scores."""
        prior = self.least_share * self.trained + (1 - self.least_share) * self.shares
        return np.log(prior / self.trained)


class RecentRate:
    """Share of the recent requests that were sampled, recency-weighted.

    Args:
        rate: to begin with.
        memory: requests after which one counts half.

    >>> rate = RecentRate(0.1)
    >>> for _ in range(100):
    ...     rate.update(100, 1)
    >>> round(rate.rate, 3)
    0.01
    """

    def __init__(self, rate: float, memory: float = 1_000):
        self._memory = memory
        self._requests, self._sampled = memory, rate * memory

    def update(self, requests: int, sampled: int) -> None:
        """So many more requests, and so many of them sampled."""
        kept = 0.5 ** (requests / self._memory)
        self._requests = kept * self._requests + requests
        self._sampled = kept * self._sampled + sampled

    @property
    def rate(self) -> float:
        return self._sampled / self._requests


class Excess:
    """How many times more mistakes sampled requests show than were expected of them; at least
    `LEAST_EXCESS`.

    The streams on which a prior is judged are a model, and calibration samples may be unlike the
    traffic. A gamma-Poisson mean of recent requests, drawn to 1 by as many mistakes as
    `EXCESS_PRIOR`.

    Attributes:
        expected: share of mistakes, of the requests to come.

    >>> excess = Excess(0.01)
    >>> for i in range(500):
    ...     excess.observe(i % 25 == 0)
    >>> round(excess.ratio, 3)
    2.875
    """

    def __init__(self, expected: float):
        self.expected = expected
        self._recent: deque[tuple[bool, float]] = deque(maxlen=EXCESS_SAMPLES)

    def observe(self, wrong: bool) -> None:
        """Take in a sampled request."""
        self._recent.append((wrong, self.expected))

    @property
    def ratio(self) -> float:
        seen = sum(wrong for wrong, _ in self._recent)
        expected = sum(expected for _, expected in self._recent)
        return max(LEAST_EXCESS, (seen + EXCESS_PRIOR) / (expected + EXCESS_PRIOR))


class Arrivals:
    """How often classes come that were not there, from a sequence of recent shares.

    Args:
        window: requests to look back on.
        settle: requests before the first mix is taken for settled.
    """

    def __init__(self, window: int = 10_000, settle: int = 300):
        self._window, self._settle = window, settle
        self._requests = 0
        self._at: list[int] = []
        self.present: np.ndarray | None = None

    def update(self, requests: int, shares: np.ndarray) -> None:
        """The shares after so many more requests."""
        self._requests += requests
        if self.present is None:
            if self._requests >= self._settle:
                self.present = shares > ENTERS
            return
        came = ~self.present & (shares > ENTERS)
        self.present = (self.present | came) & (shares > LEAVES)
        self._at += [self._requests] * int(came.sum())
        self._at = [at for at in self._at if at > self._requests - self._window]

    def rate(self, confidence: float = 0.9) -> float:
        """Arrivals a request, an upper confidence bound (Poisson)."""
        from scipy.special import gammaincinv  # not needed to serve

        seen = max(self._settle, min(self._requests, self._window))
        return float(gammaincinv(len(self._at) + 1, confidence)) / seen
