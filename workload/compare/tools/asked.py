"""What a tool asked, and what it says of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

IN_FLIGHT = 64
"""As the client's."""


@dataclass
class Run:
    """One run of a tool against one system.

    Attributes:
        order: places of the samples, in the order in which they were asked about.
        at_s: when each was, from the first on; empty where each waits for the last one's answer.
        figures: as the tool has them: milliseconds, or answers a second.
        failures: how often each kind came.
    """

    order: list[int] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def found(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return self.figures | {"failures": dict(self.failures)}
