"""What is served, as the simulation sees it: stations that requests go through, and their costs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Station:
    """A stage, or a whole server, with replicas that compute.

    Attributes:
        ms: of computing one row, as measured; each request draws one of them.
        more_rows: what a further row of a batch takes, as a share of the first.
        answers: share of those who ask that have their answer here.
        hop_ms: of the way there and back, half of it work of the router, half of the replica.
        sampled_ms: of one row in the background, in one thread; 0 for a stage that is not run on.
        timeout_ms: after which a lookup is a miss.
        of_all: whether the least busy of all replicas is asked, as a proxy does, not of two.
    """

    name: str
    ms: tuple[float, ...]
    more_rows: float = 1.0
    threads: int = 1
    max_batch_rows: int = 1
    answers: float = 1.0
    hop_ms: float = 0.0
    sampled_ms: float = 0.0
    is_lookup: bool = False
    timeout_ms: float = 100.0
    of_all: bool = False


@dataclass(frozen=True)
class System:
    """
    Attributes:
        stations: in the order in which they are asked.
        router_ms: of a router's process for one request, beside its half of the hops; as measured,
            each request draws one.
        client_ms: likewise of who sends and passes on, before all others where cores are shared.
        sampled: share of requests that run on.
        speculative: the station behind a lookup is asked along with it.
        others_cores: that the machine's other processes take, where cores are shared.
    """

    stations: tuple[Station, ...]
    router_ms: tuple[float, ...] = (0.0,)
    client_ms: tuple[float, ...] = (0.0,)
    sampled: float = 0.0
    speculative: bool = False
    others_cores: float = 0.0


ROUTER = "Router"
