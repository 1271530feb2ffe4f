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

import numpy as np
import urllib3

from workload.client.client import Answers, png

PAUSE_S = 0.005
"""After every turn: the threads that gave the answers spin a while before they leave the cores."""
TIMEOUT_S = 30.0


def client() -> urllib3.PoolManager:
    """One that adds little of its own: a quarter of a millisecond less than httpx."""
    headers = {"Content-Type": "image/png"}
    return urllib3.PoolManager(timeout=TIMEOUT_S, retries=False, headers=headers)


Ask = Callable[[np.ndarray, bytes], tuple[int, str, float]]
"""Picture `(h, w, C)` and its PNG → class, exit, milliseconds."""


def orders(count: int, turns: int, seed: int) -> np.ndarray:
    """Who is asked first, second, …, `(turns, count)`.

    Of every `count` turns each contender is asked once in every place; within them the order is a
    rotation of one random order, and the rotations come in random order.
    """
    rng = np.random.default_rng(seed)
    rows = []
    while len(rows) < turns:
        order = rng.permutation(count)
        rows += [np.roll(order, int(shift)) for shift in rng.permutation(count)]
    return np.array(rows[:turns]).reshape(turns, count)


def over_http(client: urllib3.PoolManager, url: str) -> Ask:
    """Asks `url/predict`; raises where there is no answer."""

    def ask(_: np.ndarray, body: bytes) -> tuple[int, str, float]:
        start = time.perf_counter()
        response = client.request("POST", f"{url}/predict", body=body)
        ms = (time.perf_counter() - start) * 1e3
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}")
        answer = json.loads(response.data)
        return int(answer["class_id"]), str(answer["exit"]), ms

    return ask


def in_turn(
    contenders: Mapping[str, Ask],
    pictures: Sequence[np.ndarray],
    seed: int,
    pauses_s: Mapping[str, float] | None = None,
    in_a_row: int = 1,
) -> dict[str, Answers]:
    """What every contender answered to all pictures, by name; one that fails goes on with the next
    picture.

    Args:
        pauses_s: after a turn of each contender, where it is not `PAUSE_S`.
        in_a_row: pictures of a turn.
    """
    pauses_s = pauses_s or {}
    names = list(contenders)
    found = {name: Answers.none(len(pictures)) for name in names}
    starts = range(0, len(pictures), in_a_row)
    for first, order in zip(starts, orders(len(names), len(starts), seed), strict=True):
        turn = range(first, min(first + in_a_row, len(pictures)))
        bodies = {i: png(pictures[i]) for i in turn}
        for name in (names[k] for k in order):
            for i in turn:
                _ask(contenders[name], pictures[i], bodies[i], found[name], i)
            time.sleep(pauses_s.get(name, PAUSE_S))
    return found


def _ask(contender: Ask, picture: np.ndarray, body: bytes, answers: Answers, i: int) -> None:
    """Write down what it answers to picture `i`, or why it does not."""
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
