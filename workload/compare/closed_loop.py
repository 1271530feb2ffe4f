"""Closed loop, one client: a few samples go to one contender, each as soon as the last has been
answered, then the same to the next, and so on before others do, so that a drift of the machine's
speed meets all of them alike (A B C, C A B, …).

With one sample a turn, each contender would find the processor's caches filled by all others,
which makes everything slow alike, and no server in service is met like that.

What a system does after its answers must not meet another's turn: after each turn there is a pause,
which for this project's own systems, and for `apparate`, is long enough for requests to be run on,
which waits until nobody asks. So that costs nobody anything here; what it costs shows in the open
loop.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import urllib3
from tqdm import tqdm

from cache_models.network.description import ModelDescription
from workload.client.answers import Answers
from workload.client.protocols import Body, raw_body
from workload.samples import Sample, Samples, model_input

PAUSE_S = 0.005
"""After every turn: the threads that gave the answers spin a while before they leave the cores."""
TIMEOUT_S = 30.0


class Prediction(NamedTuple):
    """What a contender answered, and how long that took."""

    class_id: int
    exit: str
    latency_ms: float


Contender = Callable[[np.ndarray, Body], Prediction]
"""Is asked about a picture `(h, w, C)` uint8, or an input of the base DNN, of which it also gets
the body of a request."""


def http_client(connections: int = 1) -> urllib3.PoolManager:
    """One that adds little of its own: a quarter of a millisecond less than httpx.

    Args:
        connections: to one server, that are kept for the next request.
    """
    return urllib3.PoolManager(timeout=TIMEOUT_S, retries=False, maxsize=connections)


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

    def ask(_: np.ndarray, body: Body) -> Prediction:
        start = time.perf_counter()
        target = f"{url}/predict"
        response = client.request("POST", target, body=body.content, headers=body.headers)
        ms = (time.perf_counter() - start) * 1e3
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}")
        answer = json.loads(response.data)
        return Prediction(int(answer["class_id"]), str(answer["exit"]), ms)

    return ask


def round_robin(
    contenders: Mapping[str, Contender],
    samples: Samples | Sequence[Sample],
    seed: int,
    pauses_s: Mapping[str, float] | None = None,
    requests_per_turn: int = 1,
    *,
    keys: Sequence[str] | None = None,
    description: ModelDescription | None = None,
) -> dict[str, Answers]:
    """What every contender answered to all samples, by name; one that fails goes on with the next.

    Args:
        pauses_s: after a turn of each contender, where it is not `PAUSE_S`.
        requests_per_turn: to one contender, before the next is asked about the same samples.
        keys: of the stream that each belongs to; None for no keys at all.
        description: of the base DNN, which sounds and texts need.
    """
    pauses_s = pauses_s or {}
    names = list(contenders)
    found = {name: Answers.none(len(samples)) for name in names}
    starts = range(0, len(samples), requests_per_turn)
    with tqdm(total=len(samples), desc="closed loop", unit="request") as bar:
        for first, order in zip(starts, orders(len(names), len(starts), seed), strict=True):
            turn = range(first, min(first + requests_per_turn, len(samples)))
            taken = {i: samples[i] for i in turn}
            bodies = {i: raw_body(s, keys[i] if keys else "") for i, s in taken.items()}
            inputs = {i: model_input(s, description) for i, s in taken.items()}
            for name in (names[k] for k in order):
                for i in turn:
                    _write_down(contenders[name], inputs[i], bodies[i], found[name], i)
                time.sleep(pauses_s.get(name, PAUSE_S))
            bar.update(len(turn))
    return found


def _write_down(
    contender: Contender, given: np.ndarray, body: Body, answers: Answers, i: int
) -> None:
    """What it answers to sample `i`, or why it does not."""
    start = time.perf_counter()
    try:
        class_id, exit, ms = contender(given, body)
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
