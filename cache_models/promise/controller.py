"""Which threshold to serve, from sampled requests alone: the loosest that is known to be safe.

A sampled request is run to the base DNN's end, so what *every* threshold of the path would have
answered is known. For each there are

- a *proof*: a test by betting that it is safe, valid whenever it is looked at (`safety`);
- a *guard*: a change detector that it is not (`guard`);

both for all answers, and for those of every base class. Service begins with the threshold that the
build has proven. Looser ones follow in the fixed order of the path, each when it is proven
(fixed-sequence testing). When the guard of the one in service raises the alarm, the traffic is
another: nothing is proven any more, and the loosest stricter one that nothing speaks against is
served, or none. The *debt* bounds the long run whatever the traffic does (online risk control:
Feldman et al. 2022). It counts wrong answers beyond what is allowed: where it grows, service goes a
step towards strict, and where answers were better than they had to be, a step back towards what had
been proven before an alarm.

What holds when:

- Blocks drawn independently from one distribution: with probability at least `1 - level`, no
  threshold that errs too often is ever proven between two alarms.
- Any traffic at all, also one that adapts to what is served: at every moment, the estimated number
  of wrong answers beyond `max_disagreement` is at most what the debt allows, which is a fixed
  number; so the share in the long run is at most `max_disagreement`.
- The limit by class: as the first, for the classes of which there are enough samples to tell.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cache_models.promise.guard import Guard
from cache_models.promise.path import OFF, index_of
from cache_models.promise.promise import PATH, Limits
from cache_models.promise.safety import SafetyTest, least_samples

SHARE = 0.2
"""Of the error probability of a build's test, that the proofs between two alarms may use."""
CREDIT, LOOSER, STRICTER, STOP = 10.0, 3.0, 10.0, 30.0
"""Wrong answers, in samples: so many fewer than allowed are remembered at most; so many pay for a
step towards loose; so many more are a reason for one towards strict; and at so many more caches
answer nothing until there are fewer."""
LESS = 0.1
"""Evidence against the next stricter threshold, when the debt has grown."""
FORGOTTEN = 0.9999
"""Of what a sample stands for at most, with every sample."""
FREQUENT = 0.02
"""Share of a class from which on it has to be proven; a rarer one, when it has enough samples."""
OPEN_BLOCKS = 1_000


class Controller:
    """
    Args:
        classes: K, of the base DNN.
        threshold: that was tested; None if none passed.
        samples_between_alarms: false alarms are at least so many samples apart on average.
        path: thresholds from strict to loose, `(J,)`.

    Attributes:
        served: index of the threshold in service, `OFF` for none.
        proven: of the loosest that is proven, `OFF` for none.
        debt: wrong answers beyond what is allowed, an estimate for all requests.
        since: samples since the start, an alarm, or when caches were off.
    """

    def __init__(
        self,
        limits: Limits,
        classes: int,
        threshold: float | None,
        samples_between_alarms: float,
        path: np.ndarray = PATH,
    ):
        self._limits, self._classes, self._path = limits, classes, path
        self._level = SHARE * (1 - limits.confidence)
        self._needed = least_samples(limits.max_class_disagreement, self._level / classes)
        # Half of the false alarms may be of all answers, and half of single classes.
        self._arl = 2 * samples_between_alarms
        self.served = self.proven = index_of(threshold, path)
        self._loosest = self.served  # that was ever proven
        self.debt, self._unit, self._stricter_at = 0.0, 1.0, np.inf
        self.since = 0
        self._guards: dict[int | None, Guard] = {None: self._guard(None)}
        self.begin_anew()

    @property
    def threshold(self) -> float | None:
        """In service; None for none."""
        return None if self.served == OFF else float(self._path[self.served])

    @property
    def strength(self) -> float:
        """Evidence against the threshold in service; 1 raises the alarm."""
        if self.served == OFF:
            return 0.0
        return max(float(guard.strength[self.served]) for guard in self._guards.values())

    @property
    def unexplained(self) -> float:
        """Wrong answers beyond what is allowed that the threshold in service has given lately."""
        return 0.0 if self.served == OFF else float(self._guards[None].unexplained[self.served])

    def observe(
        self,
        wrong: np.ndarray,
        class_id: int,
        weight: float = 1.0,
        stream: str = "",
        block: int | None = None,
    ) -> str | None:
        """Take in a sampled request.

        Args:
            wrong: whether it would have been answered wrongly at each threshold, `(J,)` bool.
            class_id: the base DNN's answer.
            weight: inverse inclusion probability.
            stream, block: samples of one stream's block may depend on each other; None is a block
                of its own.

        Returns:
            What raised an alarm; None if nothing did.
        """
        self.since = 0 if self.served == OFF else self.since + 1
        self._unit = max(weight, FORGOTTEN * self._unit)
        self._owe(wrong, weight)
        alarm = self._alarm(wrong, class_id)
        if alarm is not None:
            self.since = 0
            self._leave()
            return alarm
        self._gather(wrong, class_id, weight, stream, block)
        if self.served != OFF and self.debt > self._stricter_at:
            self._tighten()
        else:
            self._loosen()
        return None

    def state(self) -> dict[str, Any]:
        """What must survive a crash, as JSON values. What has been gathered for a proof need not,
        and what speaks against single classes is soon gathered again."""
        return {
            "served": self.served,
            "proven": self.proven,
            "loosest": self._loosest,
            "debt": self.debt,
            "unit": self._unit,
            "guard": self._guards[None].state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.served, self.proven = state["served"], state["proven"]
        self._loosest, self.debt, self._unit = state["loosest"], state["debt"], state["unit"]
        self._stricter_at = self._next_step()
        self._guards = {None: self._guard(None)}
        self._guards[None].restore(state["guard"])
        self.begin_anew()

    def distrust(self) -> None:
        """Answer nothing until a threshold has been proven anew."""
        self.begin_anew()
        self.served = self.proven = OFF

    # --- what speaks against a threshold ---------------------------------------------------------

    def _owe(self, wrong: np.ndarray, weight: float) -> None:
        error = self.served != OFF and bool(wrong[self.served])
        owed = self.debt + weight * (error - self._limits.max_disagreement)
        self.debt = max(-CREDIT * self._unit, owed)
        self._stricter_at = min(self._stricter_at, self._next_step())

    def _next_step(self) -> float:
        """The debt at which service goes another step towards strict."""
        return max(0.0, self.debt) + STRICTER * self._unit

    def _alarm(self, wrong: np.ndarray, class_id: int) -> str | None:
        """Why the threshold in service is left; another's guard ends that one's proof alone."""
        why = None
        for key in (None, class_id):
            if key not in self._guards:
                self._guards[key] = self._guard(key)
            guard = self._guards[key]
            alarms = guard.update(wrong)
            if alarms.any():
                guard.reset(alarms)
                for proof in self._proofs.values():
                    proof.begin_anew(alarms)
                if self.served != OFF and alarms[self.served]:
                    why = "the guard's alarm" if key is None else f"the guard's, of class {key}"
        return why

    def _leave(self) -> None:
        """For the loosest stricter threshold that nothing speaks against."""
        self.proven = OFF
        self._go_to(np.max([guard.unexplained for guard in self._guards.values()], axis=0) < 1)
        self.begin_anew()

    def _tighten(self) -> None:
        """By a step."""
        left = self.served
        self._go_to(np.max([guard.strength for guard in self._guards.values()], axis=0) < LESS)
        self.proven = min(self.proven, self.served)
        for proof in self._proofs.values():
            proof.begin_anew(slice(left, None))

    def _go_to(self, fit: np.ndarray) -> None:
        """
        Args:
            fit: thresholds that may be served, of those that are stricter than the present one.
        """
        stricter = np.flatnonzero(fit[: self.served])
        may = len(stricter) and self.debt <= STOP * self._unit
        self.served = int(stricter[-1]) if may else OFF
        self._stricter_at = self._next_step()

    def _guard(self, class_id: int | None) -> Guard:
        return Guard(self._limit(class_id), self._arl, len(self._path))

    def _limit(self, class_id: int | None) -> float:
        limits = self._limits
        return limits.max_disagreement if class_id is None else limits.max_class_disagreement

    # --- what is proven --------------------------------------------------------------------------

    def begin_anew(self) -> None:
        """Forget what has been gathered for a proof."""
        self._proofs: dict[int | None, SafetyTest] = {}
        self._blocks: dict[str, _Block] = {}

    def _gather(
        self, wrong: np.ndarray, class_id: int, weight: float, stream: str, block: int | None
    ) -> None:
        if block is None:
            self._bet(_Block.of(wrong, weight, class_id))
            return
        open_ = self._blocks.get(stream)
        if open_ is not None and open_.id == block:
            open_.add(wrong, weight, class_id)
            return
        if open_ is None and len(self._blocks) >= OPEN_BLOCKS:
            open_ = self._blocks.pop(next(iter(self._blocks)))
        if open_ is not None:
            self._bet(open_)
        self._blocks.pop(stream, None)
        self._blocks[stream] = _Block.of(wrong, weight, class_id, block)

    def _bet(self, block: "_Block") -> None:
        for key, (weight, errors) in block.sums.items():
            proof = self._proofs.get(key)
            if proof is None:
                proof = self._proofs[key] = SafetyTest(self._limit(key), len(self._path))
            proof.bet(errors / weight, weight)

    def _loosen(self) -> None:
        """Along the path, as far as it is proven; or by a step, if answers have been so good."""
        while self.proven + 1 < len(self._path) and self._is_proven(self.proven + 1):
            self.proven += 1
        self._loosest = max(self._loosest, self.proven)
        if self.served == OFF and self.debt > (STOP - STRICTER) * self._unit:
            return
        self.served = max(self.served, self.proven)
        price = LOOSER * self._unit
        if OFF < self.served < self._loosest and self.debt <= -price:
            self.served += 1
            self.debt += price

    def _is_proven(self, index: int) -> bool:
        if None not in self._proofs:
            return False
        enough = min(self._needed, FREQUENT * self._proofs[None].count)
        return all(
            proof.proven(self._level if key is None else self._level / self._classes)[index]
            for key, proof in self._proofs.items()
            if key is None or proof.count >= enough
        )


@dataclass
class _Block:
    """Samples that may depend on each other: of all (None), and by class, the sum of their weights,
    and of the weights of wrong answers at each threshold, `(J,)`."""

    id: int = 0
    sums: dict[int | None, tuple[float, np.ndarray]] = field(default_factory=dict)

    @classmethod
    def of(cls, wrong: np.ndarray, weight: float, class_id: int, id: int = 0) -> "_Block":
        block = cls(id)
        block.add(wrong, weight, class_id)
        return block

    def add(self, wrong: np.ndarray, weight: float, class_id: int) -> None:
        for key in (None, class_id):
            total, errors = self.sums.get(key, (0.0, np.zeros(len(wrong))))
            self.sums[key] = total + weight, errors + weight * wrong
