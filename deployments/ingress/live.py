"""What is told once a second to everybody who looks: one report for all of them, as server-sent
events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

A listener that is slow misses events, and nothing waits for it. Nobody keeps a router from
stopping: when it is to stop streams end, and browsers ask again by themselves, which another router
answers.
"""

import asyncio
import contextvars
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from deployments.ingress.errors import Unavailable
from deployments.ingress.service import Service

logger = logging.getLogger(__name__)

EVERY_S = 1.0
MOST_LISTENERS = 64
"""Of one router; more are refused."""
LASTS_S = 60.0
"""After which a stream ends: a proxy that has been replaced stays for as long as its streams do."""
RETRY_MS = 1000
"""After which a browser asks again."""


def event(name: str, data: str) -> str:
    """One event.

    >>> event("stats", "{}")
    'event: stats\\ndata: {}\\n\\n'
    """
    return f"event: {name}\ndata: {data}\n\n"


class Live:
    """Of one router.

    Args:
        about: what does not change, as JSON: the first event of every stream.

    Attributes:
        listeners: that there are now.
    """

    def __init__(self, service: Service, about: str):
        self._service, self._about = service, about
        self._telling: asyncio.Task[None] | None = None
        self._last: str | None = None
        self.listeners = 0

    def listen(self) -> "Listening":
        """A stream of events.

        Raises:
            Unavailable: too many listen.
        """
        if self.listeners >= MOST_LISTENERS:
            raise Unavailable(
                f"{self.listeners} pages are open here, which is the most there may be; close one, "
                f"or ask /stats"
            )
        return Listening(self)

    @contextmanager
    def listener(self) -> Iterator[None]:
        """While there is one, the service is asked for reports."""
        self.listeners += 1
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            # In a context of its own: in that of a request, it would be cancelled with the request.
            self._telling = loop.create_task(self._tell_for_ever(), context=contextvars.Context())
        try:
            yield
        finally:
            self.listeners -= 1
            if not self.listeners:
                self._telling.cancel()
                self._telling = self._last = None

    async def events(self) -> AsyncIterator[str]:
        """What a listener is told."""
        yield f"retry: {RETRY_MS}\n{event('about', self._about)}"
        if self._last is not None:
            yield self._last
        until = asyncio.get_running_loop().time() + LASTS_S
        while asyncio.get_running_loop().time() < until:
            told = await asyncio.shield(self._next)
            if told is None:
                return
            yield told

    async def _tell_for_ever(self) -> None:
        while True:
            told = await self._told()
            self._last, next = told, self._next
            self._next = asyncio.get_running_loop().create_future()
            next.set_result(told)
            await asyncio.sleep(EVERY_S)

    async def _told(self) -> str | None:
        """The next event; None if there will be no more."""
        try:
            report = await self._service.report()
        except Exception as error:  # the next one may do better, and the page says since when
            logger.warning("there is no report: %r", error)
            return event("trouble", json.dumps({"error": repr(error)}))
        if self._service.leaving:
            return None
        return event("stats", report.model_dump_json(exclude_unset=True, exclude={"plan"}))


class Listening(StreamingResponse):
    """The response to a listener, who is one from its first byte to its last, or until they go."""

    def __init__(self, live: Live):
        super().__init__(
            live.events(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._live.listener():
            await super().__call__(scope, receive, send)
