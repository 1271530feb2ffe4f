"""Closed loop, one client: a few pictures go to one contender, each as soon as the last has been
answered, then the same to the next, and so on before others do, so that a drift of the machine's
speed meets all of them alike (A B C, C A B, …).

With one picture a turn, each contender would find the processor's caches filled by all others,
which makes everything slow alike, and no server in service is met like that.

What a system does after its answers must not meet another's turn: after each turn there is a pause,
which for this project's own systems is long enough for sampled requests to be run on, which wait
until nobody asks. So their sampling costs nobody anything here; what it costs shows in the open
loop.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import urllib3
from tqdm import tqdm

from workload.client.answers import Answers
from workload.client.protocols import png

PAUSE_S = 0.005
"""After every turn: the threads that gave the answers spin a while before they leave the cores."""
TIMEOUT_S = 30.0


class Prediction(NamedTuple):
    """What a contender answered, and how long that took."""

    class_id: int
    exit: str
    latency_ms: float


Contender = Callable[[np.ndarray, bytes], Prediction]
"""Is asked about a picture `(h, w, C)`, of which it also gets the PNG."""


def http_client() -> urllib3.PoolManager:
    """One that adds little of its own: a quarter of a millisecond less than httpx."""
    headers = {"Content-Type": "image/png"}
    return urllib3.PoolManager(timeout=TIMEOUT_S, retries=False, headers=headers)


def orders(count: int, turns: int, seed: int) -> np.ndarray:
    """Who is asked first, second, …, `(turns, count)`.

    Of every `count` turns each contender is asked once in every place; within them the order is a
    rotation of one random order, and the rotations come in random order.
    """
    rng = np.random.default_rng(seed)
    rows: list[np.ndarray] = []
    while len(rows) < turns:
        order = rng.permutation(count)
        rows += [np.roll(order, int(shift)) for shift in rng.permutation(count)]
    return np.array(rows[:turns]).reshape(turns, count)


def over_http(client: urllib3.PoolManager, url: str) -> Contender:
    """Asks `url/predict`; raises where there is no answer."""

    def ask(_: np.ndarray, body: bytes) -> Prediction:
        start = time.perf_counter()
        response = client.request("POST", f"{url}/predict", body=body)
        ms = (time.perf_counter() - start) * 1e3
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}")
        answer = json.loads(response.data)
        return Prediction(int(answer["class_id"]), str(answer["exit"]), ms)

    return ask


def round_robin(
    contenders: Mapping[str, Contender],
    pictures: Sequence[np.ndarray],
    seed: int,
    pauses_s: Mapping[str, float] | None = None,
    requests_per_turn: int = 1,
) -> dict[str, Answers]:
    """What every contender answered to all pictures, by name; one that fails goes on with the next
    picture.

    Args:
        pauses_s: after a turn of each contender, where it is not `PAUSE_S`.
        requests_per_turn: to one contender, before the next is asked about the same pictures.
    """
    pauses_s = pauses_s or {}
    names = list(contenders)
    found = {name: Answers.none(len(pictures)) for name in names}
    starts = range(0, len(pictures), requests_per_turn)
    with tqdm(total=len(pictures), desc="closed loop", unit="request") as bar:
        for first, order in zip(starts, orders(len(names), len(starts), seed), strict=True):
            turn = range(first, min(first + requests_per_turn, len(pictures)))
            bodies = {i: png(pictures[i]) for i in turn}
            for name in (names[k] for k in order):
                for i in turn:
                    _write_down(contenders[name], pictures[i], bodies[i], found[name], i)
                time.sleep(pauses_s.get(name, PAUSE_S))
            bar.update(len(turn))
    return found


def _write_down(
    contender: Contender, picture: np.ndarray, body: bytes, answers: Answers, i: int
) -> None:
    """What it answers to picture `i`, or why it does not."""
    start = time.perf_counter()
    try:
        class_id, exit, ms = contender(picture, body)
    except urllib3.exceptions.TimeoutError:
        answers.failures[i] = "timeout"
    except (
        urllib3.exceptions.HTTPError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
    ) as error:
        answers.failures[i] = str(error) or type(error).__name__
    else:
        answers.class_ids[i], answers.exits[i] = class_id, exit
        answers.latency_ms[i] = ms
    if answers.failures[i]:
        answers.latency_ms[i] = (time.perf_counter() - start) * 1e3
