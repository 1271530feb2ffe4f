"""Early exits as Apparate tunes them (Dai et al. 2024, arXiv 2312.05385), written anew from the
paper: a threshold of its own for every exit, by hill climbing, as far as recent answers allow."""

from collections import deque
from collections.abc import Sequence

import numpy as np

FIRST_STEP, LEAST_STEP = 0.1, 0.01
WINDOW, RECENT, PERIOD = 512, 16, 128
"""Answers: on so many thresholds are tuned, of so many accuracy is watched, and after so many they
are tuned in any case."""


def tuned(
    labels: Sequence[np.ndarray],
    errors: Sequence[np.ndarray],
    answers: np.ndarray,
    costs: np.ndarray,
    max_disagreement: float,
) -> np.ndarray:
    """An error score for each exit, below which it answers, `(E,)`.

    From no exits at all, the exit is loosened that saves most for what it errs more; where that
    goes well the next step is twice as large, and half as large where answers become too bad. What
    is allowed is allowed on these samples: nothing is kept in reserve for others.

    Args:
        labels, errors: what each exit says of N samples, in order, and how unsure it is, from 0 to
            1, `(N,)` each.
        answers: the base DNN's labels, `(N,)`.
        costs: of a sample that leaves at each exit, or at the base DNN's end, `(E + 1,)`.
    """
    limits, steps = np.zeros(len(labels)), np.full(len(labels), FIRST_STEP)
    empty = limits.copy()  # up to there an exit would answer nobody that it does not answer already

    def tried(at: np.ndarray) -> tuple[float, float]:
        exits, given = leave(labels, errors, at)
        wrong = (given >= 0) & (given != answers)
        return float(costs[exits].mean()), float(wrong.mean())

    cost, wrong = tried(limits)
    while (steps >= LEAST_STEP).any():
        best, best_gain = None, 0.0
        for i in np.flatnonzero(steps >= LEAST_STEP):
            looser = limits.copy()
            looser[i] = min(1.0, empty[i] + steps[i])
            new_cost, new_wrong = tried(looser)
            if new_wrong > max_disagreement:
                steps[i] /= 2
                continue
            if new_cost >= cost:  # earlier exits have taken these, or it costs more than it saves
                empty[i] = looser[i]
                steps[i] = empty[i] - limits[i] if empty[i] < 1 else 0
                continue
            gain = (cost - new_cost) / max(new_wrong - wrong, 1 / len(answers))
            if gain > best_gain:
                best, best_gain = i, gain
        if best is not None:
            reached = min(1.0, empty[best] + steps[best])
            steps[best] = 2 * (reached - limits[best])
            limits[best] = empty[best] = reached
            cost, wrong = tried(limits)
    return limits


def leave(
    labels: Sequence[np.ndarray], errors: Sequence[np.ndarray], limits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where each sample leaves, `E` for the base DNN's end, and what it is answered, -1 there."""
    exits = np.full(len(labels[0]), len(labels))
    given = np.full(len(labels[0]), -1)
    for i in reversed(range(len(labels))):
        hit = errors[i] < limits[i]
        exits[hit], given[hit] = i, labels[i][hit]
    return exits, given


class Tuner:
    """Thresholds that follow the traffic, all of which the base DNN answers in the end: tuned on
    the last `WINDOW` requests, anew where of the last `RECENT` answers too many were wrong, and
    after `PERIOD` in any case, since nothing else would loosen them.

    Args:
        labels, errors, answers, costs, max_disagreement: as of `tuned`; samples to begin with.

    Attributes:
        limits: as `tuned` returns them, and replaced as a whole.
    """

    def __init__(
        self,
        labels: Sequence[np.ndarray],
        errors: Sequence[np.ndarray],
        answers: np.ndarray,
        costs: np.ndarray,
        max_disagreement: float,
    ):
        self._costs, self._most = costs, max_disagreement
        self.limits = tuned(labels, errors, answers, costs, max_disagreement)
        samples = zip(np.transpose(labels), np.transpose(errors), answers, strict=True)
        self._window = deque(samples, maxlen=WINDOW)
        self._wrong = deque[bool](maxlen=RECENT)
        self._heard = 0

    def hear(self, labels: np.ndarray, errors: np.ndarray, given: int, answer: int) -> None:
        """A request has come to the base DNN's end.

        Args:
            labels, errors: what each exit says of it, whether it left there or not, `(E,)`.
            given: what it was answered.
            answer: the base DNN's label.
        """
        self._window.append((labels, errors, answer))
        self._wrong.append(given != answer)
        self._heard += 1
        if self._heard == PERIOD or sum(self._wrong) > self._most * RECENT:
            self._tune()

    def _tune(self) -> None:
        labels, errors, answers = (np.array(part) for part in zip(*self._window, strict=True))
        self.limits = tuned([*labels.T], [*errors.T], answers, self._costs, self._most)
        self._heard = 0
        self._wrong.clear()  # the new thresholds are watched, not the old
