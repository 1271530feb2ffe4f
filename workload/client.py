"""Send pictures at the moments when they are due, or one after another, and keep what came back.

Open loop: latency counts from the moment a request was due, so that a server that stalls does not
hide its stall by keeping the client from asking (coordinated omission).
"""

import asyncio
import io
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

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
        latency_ms: from when it was due.
        errors: by kind.
    """

    class_ids: np.ndarray
    exits: np.ndarray
    versions: np.ndarray
    latency_ms: np.ndarray
    errors: Counter = field(default_factory=Counter)


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
    """POST every picture to `url/predict`.

    Args:
        due_s: seconds from the start at which each is due; None sends the next when the last has
            been answered.
        in_flight: at most; a request that has to wait for it is late all the same.
    """
    return asyncio.run(_send(url, pictures, due_s, in_flight, timeout_s))


async def _send(url, pictures, due_s, in_flight, timeout_s) -> Answers:
    n = len(pictures)
    found = Answers(
        np.full(n, -1), np.full(n, ERROR, dtype=object), np.full(n, -1), np.full(n, np.nan)
    )
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    free = asyncio.Semaphore(in_flight if due_s is not None else 1)
    async with httpx.AsyncClient(base_url=url, timeout=timeout_s, limits=limits) as client:
        with tqdm(total=n, desc="requests", unit="request") as bar:
            start = time.perf_counter()

            async def one(i: int, due: float) -> None:
                try:
                    response = await client.post("/predict", content=png(pictures[i]))
                    if response.status_code == 200:
                        answer = response.json()
                        found.class_ids[i], found.exits[i] = answer["class_id"], answer["exit"]
                        found.versions[i] = answer["cache_version"] or -1
                    else:
                        found.errors[f"HTTP {response.status_code}"] += 1
                except httpx.HTTPError as error:
                    found.errors[type(error).__name__] += 1
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
