"""Send pictures at the moments when they are due, or one after another, and keep what came back.

Open loop: latency counts from the moment a request was due, so that a server that stalls does not
hide its stall by keeping the client from asking (coordinated omission).
"""

import asyncio
import io
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import numpy as np
from PIL import Image
from tqdm import tqdm

ERROR = "error"


@dataclass
class Answers:
    """Of n requests, in order.

    Attributes:
        class_ids: -1 where there was none.
        exits: `error` where there was no answer.
        latency_ms: from when it was due, to the answer or the failure.
        server_ms: as the server says, NaN where it does not.
        failures: why there was no answer; empty where there was one.
    """

    class_ids: np.ndarray
    exits: np.ndarray
    versions: np.ndarray
    latency_ms: np.ndarray
    server_ms: np.ndarray
    failures: np.ndarray

    @classmethod
    def none(cls, n: int) -> "Answers":
        """Before anything came back."""
        return cls(
            class_ids=np.full(n, -1),
            exits=np.full(n, ERROR, dtype=object),
            versions=np.full(n, -1),
            latency_ms=np.full(n, np.nan),
            server_ms=np.full(n, np.nan),
            failures=np.full(n, "", dtype=object),
        )

    @property
    def errors(self) -> Counter[str]:
        """By kind."""
        return Counter(filter(None, self.failures.tolist()))


def png(image: np.ndarray) -> bytes:
    """`(h, w, 1 or 3)` uint8 as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()


def send(
    url: str,
    pictures: Sequence[np.ndarray],
    due_s: np.ndarray | None,
    in_flight: int = 64,
    timeout_s: float = 30.0,
) -> Answers:
    """POST every picture to `url/predict`; a request that fails is counted, and the rest goes on.

    Args:
        due_s: seconds from the start at which each is due; None sends the next when the last has
            been answered.
        in_flight: at most; a request that has to wait for it is late all the same.
        timeout_s: for one request in all, from when it is sent.
    """
    return asyncio.run(_send(url, pictures, due_s, in_flight, timeout_s))


async def _send(url, pictures, due_s, in_flight, timeout_s) -> Answers:
    n = len(pictures)
    found = Answers.none(n)
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    free = asyncio.Semaphore(in_flight if due_s is not None else 1)
    async with httpx.AsyncClient(base_url=url, timeout=None, limits=limits) as client:
        with tqdm(total=n, desc="requests", unit="request") as bar:
            start = time.perf_counter()

            async def one(i: int, due: float) -> None:
                try:
                    async with asyncio.timeout(timeout_s):
                        response = await client.post("/predict", content=png(pictures[i]))
                    if response.status_code == 200:
                        _keep(response.json(), found, i)
                    else:
                        found.failures[i] = f"HTTP {response.status_code}"
                except TimeoutError:
                    found.failures[i] = "timeout"
                except httpx.HTTPError as error:
                    found.failures[i] = type(error).__name__
                except (ValueError, TypeError, LookupError):
                    found.failures[i] = "unreadable answer"
                finally:
                    found.latency_ms[i] = (time.perf_counter() - due) * 1e3
                    free.release()
                    bar.update()

            tasks = set()
            for i in range(n):
                if due_s is not None:
                    await asyncio.sleep(max(0.0, start + due_s[i] - time.perf_counter()))
                await free.acquire()
                due = start + due_s[i] if due_s is not None else time.perf_counter()
                task = asyncio.create_task(one(i, due))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
    return found


def _keep(answer: dict, found: Answers, i: int) -> None:
    """
    Raises:
        ValueError, TypeError, LookupError: it is not an answer; nothing of it is kept then.
    """
    class_id, exit = int(answer["class_id"]), str(answer["exit"])
    version, server_ms = answer.get("cache_version") or -1, answer.get("latency_ms", np.nan)
    found.versions[i], found.server_ms[i] = version, server_ms
    found.class_ids[i], found.exits[i] = class_id, exit
