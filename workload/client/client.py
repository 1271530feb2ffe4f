"""Send samples at the moments when they are due, or one after another, and keep what came back.

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
from itertools import islice, repeat

import aiohttp
import numpy as np
from tqdm import tqdm

from workload.client.answers import Answers
from workload.client.protocols import Body, Protocol, raw
from workload.samples import Sample

CHUNK, CHUNKS_AHEAD = 16, 4
"""Bodies made at a time, and so many times ahead."""

SELECT_LIMIT = 512
"""Connections up to which select(2) may wait: it knows microseconds, epoll rounds up to a whole
millisecond, but its file descriptors end at 1024."""

LARGE_BYTES = 2**20


def send(
    url: str,
    samples: Iterable[Sample],
    due_s: np.ndarray | None,
    in_flight: int = 64,
    timeout_s: float = 30.0,
    *,
    clients: int = 1,
    protocol: Protocol | None = None,
    count: int | None = None,
    keys: Iterable[str] | None = None,
) -> Answers:
    """POST every sample to the server; a request that fails is counted, and the rest goes on.

    Args:
        url: of the server, to which the protocol's path is appended.
        samples: taken a few ahead of their sending.
        due_s: seconds from the start at which each is due, rising; None for a closed loop.
        in_flight: at most in open loop; a request that has to wait for it is late all the same.
        timeout_s: for one request in all, from when it is sent.
        clients: in closed loop, each of whom sends the next when its last has been answered.
        protocol: by default samples as they are.
        count: of the samples, where they have no length.
        keys: of the stream that each request belongs to, empty for none; None for no keys at all.
    """
    if count is None:
        if not isinstance(samples, Sized):
            raise TypeError("samples without a length need count")
        count = len(samples)
    at_most = clients if due_s is None else in_flight
    selector = selectors.SelectSelector if at_most <= SELECT_LIMIT else selectors.DefaultSelector
    keyed = zip(samples, repeat("") if keys is None else keys, strict=False)
    run = _Run(url, protocol or raw(), due_s, at_most, timeout_s, count)
    with (
        _switching_often(),
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector())) as runner,
    ):
        runner.run(run.all(keyed))
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
    """Sends all samples within one event loop, and writes down what comes back."""

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

    async def all(self, requests: Iterable[tuple[Sample, str]]) -> None:
        session = aiohttp.ClientSession(
            # servers close idle connections after 5 s and more: not while we write to one
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            headers=self._protocol.headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        tasks: set[asyncio.Task[None]] = set()
        with self._bar:
            async with session:
                i = 0
                async for body in _ahead(requests, self._protocol.body):
                    await self._send(session, i, body, tasks)
                    i += 1
                await asyncio.gather(*tasks)

    async def _send(
        self, session: aiohttp.ClientSession, i: int, body: Body, tasks: set[asyncio.Task[None]]
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

    async def _one(self, session: aiohttp.ClientSession, i: int, body: Body, due: float) -> None:
        found = self.found
        content, headers = body
        data = content if len(content) < LARGE_BYTES else io.BytesIO(content)
        try:
            async with session.post(self._target, data=data, headers=headers) as response:
                received = await response.read()
            found.latency_ms[i] = (time.perf_counter() - due) * 1e3
            if response.status == 200:
                answer = self._protocol.read(received)
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
    requests: Iterable[tuple[Sample, str]], make: Callable[[Sample, str], Body]
) -> AsyncIterator[Body]:
    """What `make` makes of each request, in order, some ahead of who asks."""
    loop = asyncio.get_running_loop()
    source = iter(requests)

    def chunk() -> list[Body]:
        return [make(*request) for request in islice(source, CHUNK)]

    with ThreadPoolExecutor(1, thread_name_prefix="bodies") as thread:
        waiting = deque(loop.run_in_executor(thread, chunk) for _ in range(CHUNKS_AHEAD))
        while bodies := await waiting.popleft():
            waiting.append(loop.run_in_executor(thread, chunk))
            for body in bodies:
                yield body
        await asyncio.gather(*waiting)
