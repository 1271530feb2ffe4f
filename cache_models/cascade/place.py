"""What a walk needs to be told and to tell: where stages run, and who watches and advises."""

from typing import Protocol

from cache_models.network.stages import Message, Remember, Reply, Stage


class Gone(Exception):
    """A stage was asked about an activation that another has handed out, and that is there no more.
    Computed once more, it is."""


class Place(Protocol):
    """Where stages run."""

    async def ask(self, stage: Stage, message: Message, timeout_s: float | None = None) -> Reply:
        """The reply of one stage.

        Args:
            timeout_s: after which nobody wants it any more; None waits for ever.

        Raises:
            Gone: what it is asked about.
        """
        ...

    def tell(self, stage: Stage, message: Remember) -> None:
        """What nobody waits for; if it does not arrive, that is all the same."""
        ...


class Observer(Protocol):
    """Is told of every stage that a request was at."""

    def hop(self, name: str, begin: float, reply: Reply | None, rows: int) -> None:
        """
        Args:
            begin: of `time.perf_counter`; the end is now.
            reply: None of a lookup that failed or was late.
        """
        ...


class Speculation(Protocol):
    """Chooses whether the next partition begins while a lookup is asked."""

    def begins_early(self, lookup: Stage) -> bool: ...

    def looked_up(self, lookup: Stage, hits: int, rows: int, ms: float) -> None:
        """A lookup has answered a client's request."""
        ...

    def ran(self, partition: Stage, ms: float) -> None:
        """A partition has replied."""
        ...
