"""What the trainer says of itself as metrics, and the rounds that it counts for them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ray import serve
from ray.serve.exceptions import RayServeException

from deployments.metrics import definitions as of
from deployments.metrics.recorder import Recorder

OUTCOMES = ("published", "kept", "failed")


class Rounds:
    """How many rounds there were since the start, and the seconds that they took, by outcome.

    >>> rounds = Rounds()
    >>> rounds.add({"began": 1.0, "at": 3.0, "published": 4})
    >>> rounds.add({"began": 4.0, "at": 5.0, "published": None})
    >>> rounds.told()["kept"]
    {'rounds': 1, 'seconds': 1.0}
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._seconds = dict.fromkeys(OUTCOMES, 0.0)

    def add(self, record: Mapping[str, Any]) -> None:
        """
        Args:
            record: of the round, as the log keeps it.
        """
        outcome = "kept" if record["published"] is None else "published"
        outcome = "failed" if record.get("failed") else outcome
        self._counts[outcome] += 1
        self._seconds[outcome] += record["at"] - record["began"]

    def told(self) -> dict[str, dict[str, float]]:
        """By outcome."""
        return {
            name: {"rounds": self._counts[name], "seconds": round(self._seconds[name], 3)}
            for name in OUTCOMES
        }


def recorder() -> Recorder:
    """Of the trainer, whose application nobody says but Serve, where it runs there."""
    try:
        return Recorder(serve.get_deployment_actor_context().app_name)
    except RayServeException:
        return Recorder()


def record(to: Recorder, status: Mapping[str, Any]) -> None:
    """
    Args:
        status: as `Trainer.status` has it.
    """
    guard, recent = status["guard"], status["guard"]["recent"]
    to.count(of.ALARMS, guard["alarms"])
    if recent["sampled"]:
        to.set(of.DISAGREEMENT, recent["disagreement"])
    to.set(of.DISAGREEMENT_UPPER, recent["disagreement_upper"])
    to.set(of.DISAGREEMENT_LOWER, recent["disagreement_lower"])
    to.set(of.MAX_DISAGREEMENT, guard["max_disagreement"])
    to.set(of.JUDGED, recent["sampled"])
    to.set(of.SAMPLING, status["sampling"]["rate"])
    to.set(of.SAMPLING_PROCESSORS, status["sampling"]["share_of_processors"])
    to.set(of.TRAINER_QUEUED, status["retraining"]["queued"])
    for outcome, told in status["retraining"]["outcomes"].items():
        to.count(of.ROUNDS, told["rounds"], outcome=outcome)
        to.count(of.ROUND_SECONDS, told["seconds"], outcome=outcome)
