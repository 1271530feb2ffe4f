"""One stage's replicas, asked by Serve's handle."""

import asyncio
import time
from typing import Any

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle

from cache_models.network.stages import Message, Reply, stream_of
from deployments.transport.errors import KINDS, Failed, Lost, PlaceError, Refused
from deployments.transport.shared_memory import owned

INLINE_BYTES = 2_000_000
"""Larger messages go by reference through the object store; inline is 4 MiB at most."""
BROADCAST_S = 10.0


class ByHandle:
    """
    Args:
        reply_row_bytes: the size of a reply to one row.
    """

    def __init__(self, handle: DeploymentHandle, reply_row_bytes: int):
        self._handle, self._reply_row_bytes = handle, reply_row_bytes
        self._inline = handle.options(
            method_name="ask",
            _by_reference=False,
            request_serialization="pickle",
            response_serialization="pickle",
        )
        self._by_reference = handle.options(method_name="ask", _by_reference=True)

    async def ask(self, message: Message, until: float | None = None) -> Reply:
        """One replica's reply.

        Args:
            until: of `time.monotonic`; nobody wants it after that.

        Raises:
            PlaceError: there is none.
        """
        message = owned(message)
        timeout_s = None if until is None else max(0.0, until - time.monotonic())
        batch = message.batch
        large = max(batch.nbytes, len(batch) * self._reply_row_bytes) > INLINE_BYTES
        handle = self._by_reference if large else self._inline
        if stream := stream_of(message):
            handle = handle.options(session_id=stream)
        response = handle.remote(message, timeout_s)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except Exception as error:
            raise kind_of(error) from error

    async def ping(self) -> None:
        """Returns once a replica is there to answer."""
        try:
            await self._handle.ping.remote()
        except Exception as error:
            raise kind_of(error) from error

    async def tell_all(self, method: str, *args, timeout_s: float = BROADCAST_S) -> list[Any]:
        """Call `method` on every replica that is known now; what each returned, once all have."""
        try:
            return await self._handle.broadcast(method, *args).results_async(timeout_s=timeout_s)
        except Exception as error:
            raise kind_of(error) from error


def kind_of(error: Exception) -> PlaceError:
    """What an error of Serve means for whoever asked."""
    for kind in KINDS.values():
        if isinstance(error, kind):  # as the replica's end raised it
            return kind(str(error))
    if isinstance(error, BackPressureError):
        return Refused(str(error))
    if isinstance(error, RayTaskError):
        return Failed(str(error))
    lost = RayError, ReplicaUnavailableError, DeploymentUnavailableError, TimeoutError
    return (Lost if isinstance(error, lost) else Failed)(repr(error))
