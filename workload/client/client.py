"""Send pictures at the moments when they are due, or one after another, and keep what came back.

Open loop: latency counts from the moment a request was due, so that a server that stalls does not
hide its stall by keeping the client from asking (coordinated omission).

Bodies are made a few ahead in a thread, so that making them delays no sending and memory stays
bounded.
"""

import asyncio
import io
import selectors
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

import aiohttp
import numpy as np
from tqdm import tqdm

from workload.client.answers import Answers
from workload.client.protocols import Protocol, image

CHUNK, CHUNKS_AHEAD = 16, 4
"""Bodies made at a time, and so many times ahead."""

SELECT_LIMIT = 512
"""Connections up to which select(2) may wait: it knows microseconds, epoll rounds up to a whole
millisecond, but its file descriptors end at 1024."""

LARGE_BYTES = 2**20


def send(
    url: str,
    pictures: Iterable[np.ndarray],
    due_s: np.ndarray | None,
    in_flight: int = 64,
    timeout_s: float = 30.0,
    *,
    clients: int = 1,
    protocol: Protocol | None = None,
    count: int | None = None,
) -> Answers:
    """POST every picture to the server; a request that fails is counted, and the rest goes on.

    Args:
        url: of the server, to which the protocol's path is appended.
        pictures: taken a few ahead of their sending.
        due_s: seconds from the start at which each is due, rising; None for a closed loop.
        in_flight: at most in open loop; a request that has to wait for it is late all the same.
        timeout_s: for one request in all, from when it is sent.
        clients: in closed loop, each of whom sends the next when its last has been answered.
        protocol: by default raw images.
        count: of the pictures, where they have no length.
    """
    if count is None:
        if not isinstance(pictures, Sized):
            raise TypeError("pictures without a length need count")
        count = len(pictures)
    at_most = clients if due_s is None else in_flight
    selector = selectors.SelectSelector if at_most <= SELECT_LIMIT else selectors.DefaultSelector
    run = _Run(url, protocol or image(), due_s, at_most, timeout_s, count)
    with (
        _switching_often(),
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector())) as runner,
    ):
        runner.run(run.all(pictures))
    return run.found


@contextmanager
def _switching_often() -> Iterator[None]:
    """The thread that makes bodies may hold the interpreter for 5 ms otherwise, which would be
    counted as latency."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(2e-4)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class _Run:
    """Sends all pictures within one event loop, and writes down what comes back."""

    def __init__(
        self,
        url: str,
        protocol: Protocol,
        due_s: np.ndarray | None,
        at_most: int,
        timeout_s: float,
        count: int,
    ):
        self._target = url.rstrip("/") + protocol.path
        self._protocol = protocol
        self._due_s = due_s
        self._free = asyncio.Semaphore(at_most)
        self._timeout_s = timeout_s
        self._start = self._blocked_until = 0.0
        self._bar = tqdm(total=count, desc="requests", unit="request", mininterval=0.5)
        self.found = Answers.none(count)

    async def all(self, pictures: Iterable[np.ndarray]) -> None:
        session = aiohttp.ClientSession(
            # servers close idle connections after 5 s and more: not while we write to one
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            headers={"Content-Type": self._protocol.content_type, **self._protocol.headers},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        tasks: set[asyncio.Task[None]] = set()
        with self._bar:
            async with session:
                i = 0
                async for body in _ahead(pictures, self._protocol.body):
                    await self._send(session, i, body, tasks)
                    i += 1
                await asyncio.gather(*tasks)

    async def _send(
        self, session: aiohttp.ClientSession, i: int, body: bytes, tasks: set[asyncio.Task[None]]
    ) -> None:
        if not self._start:  # the first bodies are there
            self._start = time.perf_counter()
        if self._due_s is None:
            await self._free.acquire()
            due = time.perf_counter()
        else:
            due = self._start + self._due_s[i]
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            could = max(due, self._blocked_until)
            self.found.client_late_ms[i] = (time.perf_counter() - could) * 1e3
            server_is_behind = self._free.locked()
            await self._free.acquire()
            if server_is_behind:
                self._blocked_until = time.perf_counter()
        self.found.due_s[i] = due - self._start
        task = asyncio.create_task(self._one(session, i, body, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _one(self, session: aiohttp.ClientSession, i: int, body: bytes, due: float) -> None:
        found = self.found
        data = body if len(body) < LARGE_BYTES else io.BytesIO(body)
        try:
            async with session.post(self._target, data=data) as response:
                content = await response.read()
            found.latency_ms[i] = (time.perf_counter() - due) * 1e3
            if response.status == 200:
                answer = self._protocol.read(content)
                found.versions[i], found.server_ms[i] = answer.version, answer.server_ms
                found.class_ids[i], found.exits[i] = answer.class_id, sys.intern(answer.exit)
            else:
                found.failures[i] = f"HTTP {response.status}"
        except TimeoutError:
            found.failures[i] = "timeout"
        except aiohttp.ClientConnectorError:
            found.failures[i] = "no connection"
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            found.failures[i] = "connection lost"
        except aiohttp.ClientError as error:
            found.failures[i] = type(error).__name__
        except (ValueError, TypeError, LookupError, AttributeError, StopIteration):
            found.failures[i] = "unreadable answer"
        finally:
            if np.isnan(found.latency_ms[i]):
                found.latency_ms[i] = (time.perf_counter() - due) * 1e3
            self._free.release()
            self._bar.update()


async def _ahead(
    pictures: Iterable[np.ndarray], make: Callable[[np.ndarray], bytes]
) -> AsyncIterator[bytes]:
    """What `make` makes of each picture, in order, some ahead of who asks."""
    loop = asyncio.get_running_loop()
    source = iter(pictures)

    def chunk() -> list[bytes]:
        return [make(picture) for picture in islice(source, CHUNK)]

    with ThreadPoolExecutor(1, thread_name_prefix="bodies") as thread:
        waiting = deque(loop.run_in_executor(thread, chunk) for _ in range(CHUNKS_AHEAD))
        while bodies := await waiting.popleft():
            waiting.append(loop.run_in_executor(thread, chunk))
            for body in bodies:
                yield body
        await asyncio.gather(*waiting)
