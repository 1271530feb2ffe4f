"""What the endpoints call."""

from typing import Any, Protocol

from cache_models.cascade import Answers
from cache_models.network.description import ModelDescription
from cache_models.store.plan import Plan
from deployments.config import HttpLimits
from deployments.graph.timeline import Timeline
from deployments.ingress.inputs import Inputs
from deployments.ingress.load import Load
from deployments.ingress.resizing import Input
from deployments.ingress.stats import Report
from deployments.ingress.workers import Workers


class Service(Protocol):
    """A router, as its endpoints see it."""

    @property
    def name(self) -> str:
        """Of the model."""
        ...

    @property
    def description(self) -> ModelDescription: ...

    @property
    def plan(self) -> Plan:
        """That is deployed."""
        ...

    @property
    def leaving(self) -> bool:
        """Whether Serve counted this router no more when it was last asked for a report: it is to
        stop."""
        ...

    @property
    def limits(self) -> HttpLimits: ...

    @property
    def inputs(self) -> Inputs: ...

    @property
    def workers(self) -> Workers: ...

    @property
    def load(self) -> Load: ...

    async def answer(
        self, given: Input, use_caches: bool, timeline: Timeline, stream: str, timeout_s: float
    ) -> Answers:
        """Answers.

        Args:
            stream: its name, as the client gave it; empty for none.
            timeout_s: after the timeline's start nobody wants them any more.

        Raises:
            Unavailable: too many are being answered.
            PlaceError, TimeoutError: the base DNN has not answered.
        """
        ...

    async def check_ready(self) -> None:
        """
        Raises:
            Unavailable: not ready.
        """
        ...

    async def report(self) -> Report: ...

    async def ask_trainer(self, method: str, *args) -> Any:
        """
        Raises:
            Conflict: the trainer refuses.
            Unavailable: it does not answer.
        """
        ...

    async def forget_streams(self) -> None:
        """
        Raises:
            PlaceError: not every lookup has.
        """
        ...

    def count_error(self, status: int) -> None: ...
