"""What the command line of a comparison says."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """See `python -m workload compare --help`."""

    model: str
    store: Path | None
    data: str
    streams: list[str]
    classes: str
    no_keys: bool
    systems: list[str]
    minutes: float
    requests: int | None
    requests_per_turn: int
    blocks: int | None
    block_seconds: float | None
    rate: float | None
    saturation: bool
    loadgen: bool
    clients: int
    device: str
    threads: int | None
    seed: int
    out: Path | None
    picture: Path | None
