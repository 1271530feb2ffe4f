"""The guard: notice from sampled requests that the caches in service are wrong too often.

A change detector with a bounded rate of false alarms, whatever the moment of the change: the
Shiryaev-Roberts e-detector (Shin, Ramdas and Rinaldo 2023). A test that is never reset would notice
ever later.
"""

import numpy as np

ALTERNATIVES = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


class Guard:
    """Watches a stream of sampled answers, each right or wrong.

    For every alternative rate q above `max_disagreement` an e-value, the likelihood ratio of q
    against `max_disagreement`, is multiplied up from every possible moment of change at once:
    `M <- (M + 1) * e`. The mean over alternatives raises an alarm at `samples_between_alarms`.
    While at most `max_disagreement` of the answers are wrong, `M` grows by at most one a sample in
    expectation, so that false alarms are at least so many samples apart on average (ARL).

    Args:
        max_disagreement: the promise's epsilon.
        samples_between_alarms: the average run length to a false alarm, at least.

    >>> guard = Guard(0.01, 10_000)
    >>> any(guard.update(wrong=False) for _ in range(1000))
    False
    >>> [guard.update(wrong=True) for _ in range(3)]
    [False, False, True]
    """

    def __init__(self, max_disagreement: float, samples_between_alarms: float = 100_000):
        rates = np.minimum(max_disagreement * np.array(ALTERNATIVES), (1 + max_disagreement) / 2)
        self._if_wrong = rates / max_disagreement
        self._if_right = (1 - rates) / (1 - max_disagreement)
        self._limit = samples_between_alarms
        self.reset()

    def reset(self) -> None:
        """Begin anew, as after a change of caches."""
        self._evidence = np.zeros(len(self._if_wrong))

    def update(self, wrong: bool) -> bool:
        """Take in one sampled answer; True raises the alarm."""
        self._evidence += 1
        self._evidence *= self._if_wrong if wrong else self._if_right
        return self.strength >= 1

    @property
    def evidence(self) -> list[float]:
        """For every alternative; to go on from after a crash."""
        return self._evidence.tolist()

    @evidence.setter
    def evidence(self, evidence: list[float]) -> None:
        self._evidence[:] = evidence

    @property
    def strength(self) -> float:
        """Evidence of a change; 1 raises the alarm."""
        return float(self._evidence.mean() / self._limit)


def detection_delays(
    max_disagreement: float,
    samples_between_alarms: float,
    disagreement: float,
    before: int = 2_000,
    trials: int = 200,
    seed: int = 0,
) -> np.ndarray:
    """Samples from a change of the wrong answers' share to the alarm, in simulated streams.

    Args:
        disagreement: after the change; before it, `max_disagreement`.
        before: samples ahead of the change; a stream with an alarm among them is drawn again.

    Returns:
        `(trials,)`.
    """
    rng = np.random.default_rng(seed)
    delays = []
    while len(delays) < trials:
        guard = Guard(max_disagreement, samples_between_alarms)
        if any(guard.update(wrong) for wrong in rng.random(before) < max_disagreement):
            continue
        delay = 1
        while not guard.update(rng.random() < disagreement):
            delay += 1
        delays.append(delay)
    return np.array(delays)


def false_alarms(
    max_disagreement: float, samples_between_alarms: float, samples: int, seed: int = 0
) -> int:
    """Alarms in a stream of `samples` answers of which `max_disagreement` are wrong."""
    rng = np.random.default_rng(seed)
    guard = Guard(max_disagreement, samples_between_alarms)
    alarms = 0
    for wrong in rng.random(samples) < max_disagreement:
        if guard.update(wrong):
            alarms += 1
            guard.reset()
    return alarms


def table(max_disagreement: float, samples_between_alarms: float, sample_rate: float) -> str:
    """Requests from a change to the alarm, and false alarms, measured on simulated streams."""
    lines = ["disagreement after the change   requests to the alarm: median    95 of 100"]
    for disagreement in (2, 5, 10, 30):
        delays = detection_delays(max_disagreement, samples_between_alarms, disagreement / 100)
        median, late = np.quantile(delays, (0.5, 0.95)) / sample_rate
        lines.append(f"{disagreement:28} %   {median:29,.0f}   {late:10,.0f}")
    samples = 1_000_000
    alarms = false_alarms(max_disagreement, samples_between_alarms, samples)
    lines.append(
        f"false alarms with {max_disagreement:.2%} disagreement: {alarms} in {samples:,} sampled "
        f"requests, {alarms * sample_rate * 1e6 / samples:.1f} per million requests; at most "
        f"{sample_rate * 1e6 / samples_between_alarms:.1f} expected"
    )
    return "\n".join(lines)
