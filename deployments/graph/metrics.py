"""What a partition's or lookup's replica says of itself as metrics."""

from collections.abc import Mapping

from deployments.metrics import definitions as of
from deployments.metrics.recorder import Recorder


def record(to: Recorder, stage: str, state: Mapping[str, float]) -> None:
    """
    Args:
        state: as `Replica.state` has it.
    """
    to.count(of.BATCHES, state["batches"], stage=stage)
    to.count(of.BATCH_ROWS, state["rows"], stage=stage)
    to.count(of.COMPUTE_SECONDS, state["compute_ms"] / 1e3, stage=stage)
    to.set(of.REPLICA_ONGOING, state["ongoing"], stage=stage)
    to.set(of.REPLICA_QUEUED, state["queued"], stage=stage)
    if "streams" in state:
        to.set(of.STREAMS, state["streams"], stage=stage)
        to.set(of.STREAM_BYTES, state["stream_bytes"], stage=stage)
