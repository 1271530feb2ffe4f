"""What the trainer knows that a crash must not take: what operators said, what has spoken against
the caches in service, and which versions were not proven."""

from typing import Any

from cache_models.follow.traffic_log import TrafficLog
from deployments.config import Mode

UNPROVEN = "unproven"
"""Name in the log of the versions that an operator went back to though they did not pass on recent
samples: written by whoever goes back, before the version is in service."""


class TrainerState:
    """Read on the event loop, written down in a thread.

    Args:
        log: where it is kept.
        mode: as configured, until an operator wants another.

    Attributes:
        mode, pinned: as operators said.
        watch: as `Watch.state` had it.
        unproven: versions.
    """

    def __init__(self, log: TrafficLog, mode: Mode):
        self._log = log
        self.mode: Mode = log.state("mode", mode)
        self.pinned: bool = log.state("pinned", False)
        self.watch: dict[str, Any] | None = log.state("watch")
        self.unproven: list[int] = log.state(UNPROVEN, [])
        self._kept = self._told()
        self._to_tell = False

    def keep(self) -> None:
        """Write down what operators and watch have changed; it takes a disk's time. An alarm says
        that the traffic is another, so with it the window begins anew. What a loss of this node
        must not take is told elsewhere, too.

        Raises:
            ArtifactError: it cannot be told now.
        """
        told = self._told()
        changed = {name: value for name, value in told.items() if value != self._kept[name]}
        if changed:
            with self._log.transaction():
                for name, value in changed.items():
                    self._log.set_state(name, value)
                if self._alarms(told) > self._alarms(self._kept):
                    self._log.end_window()
            self._to_tell = self._to_tell or self._matters(told) != self._matters(self._kept)
            self._kept = told
        if self._to_tell:
            self._log.tell()
            self._to_tell = False

    @staticmethod
    def _matters(told: dict[str, Any]) -> dict[str, Any]:
        """All but evidence, which is gathered again."""
        watch = told["watch"] or {}
        served = watch.get("controller", {}).get("served")
        return told | {"watch": [watch.get(n) for n in ("version", "why_off", "alarms")] + [served]}

    @staticmethod
    def _alarms(told: dict[str, Any]) -> int:
        return told["watch"]["alarms"] if told["watch"] else 0

    def _told(self) -> dict[str, Any]:
        return {"mode": self.mode, "pinned": self.pinned, "watch": self.watch}
