"""What a round of retraining costs the requests beside it.

A stream is sent in open loop. Meanwhile one round is asked for after another, each when the
server has been left without one for as long as the last took: so every round's requests are
compared with those that were due in as many seconds right after it.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from workload.client.answers import ERROR, Answers
from workload.client.client import send
from workload.client.errors import answering
from workload.errors import ParameterError
from workload.run.ratios import Ratio, of_blocks
from workload.samples import Samples

EDGE_S = 0.5
"""At both ends of a round, and of the time after it, that do not count: requests may wait there."""
POLL_S = 1.0

Record = dict[str, Any]
"""Of a round, as `/admin/rounds` has it."""


@dataclass(frozen=True)
class Cost:
    """
    Attributes:
        during_ms, after_ms: mean latency of the requests of each round, and after it, `(rounds,)`.
        seconds: that each took, `(rounds,)`.
        published: of the rounds.
        errors: requests without an answer.
    """

    during_ms: np.ndarray
    after_ms: np.ndarray
    seconds: np.ndarray
    published: int
    errors: int

    @property
    def ratio(self) -> Ratio | None:
        """Of mean latency while a round runs to that after it."""
        return of_blocks(self.during_ms, self.after_ms)

    def __str__(self) -> str:
        if self.ratio is None:
            return "no round ended, and was left alone for as long, before the last request"
        return (
            f"{len(self.seconds)} rounds of {self.seconds.min():.0f} to {self.seconds.max():.0f} s"
            f", {self.published} published, {self.errors} requests without an answer: mean latency "
            f"{self.during_ms.mean():.2f} ms while they ran, {self.after_ms.mean():.2f} ms after "
            f"them, ratio {self.ratio}"
        )


def measure(url: str, token: str, samples: Samples, due_s: np.ndarray) -> Cost:
    """Send `samples` at `due_s`, and ask for rounds meanwhile.

    Raises:
        ParameterError: the server does not take the token, or has no trainer.
        ServerError: it does not answer, or ran no round.
    """
    over = threading.Event()
    with (
        answering(url),
        httpx.Client(base_url=url, timeout=60) as client,
        ThreadPoolExecutor(1) as thread,
    ):
        client.headers["Authorization"] = f"Bearer {token}"
        _records(client)
        start = time.time()
        asking = thread.submit(_ask, client, over)
        try:
            answers = send(url, samples, due_s)
        finally:
            over.set()
        return cost(answers, start, asking.result())


def cost(answers: Answers, start: float, records: Sequence[Record]) -> Cost:
    """
    Args:
        start: when the first request could have been due, in seconds since the epoch.
        records: of the rounds that were asked for.
    """
    end = answers.due_s[-1]
    kept = []
    for record in records:
        began, ended = record["began"] - start, record["at"] - start
        of_round = _mean_ms(answers, began, ended), _mean_ms(answers, ended, 2 * ended - began)
        if 2 * ended - began <= end and np.isfinite(of_round).all():
            kept.append((*of_round, ended - began, record["published"] is not None))
    during_ms, after_ms, seconds, published = np.array(kept, float).reshape(-1, 4).T
    return Cost(
        during_ms, after_ms, seconds, int(published.sum()), int((answers.exits == ERROR).sum())
    )


def _mean_ms(answers: Answers, start_s: float, stop_s: float) -> float:
    due_s = answers.due_s
    rows = (due_s >= start_s + EDGE_S) & (due_s < stop_s - EDGE_S) & (answers.exits != ERROR)
    return float(answers.latency_ms[rows].mean()) if rows.any() else np.nan


def _ask(client: httpx.Client, over: threading.Event) -> list[Record]:
    """Records of rounds, one after another, until it is over."""
    records = []
    while not over.is_set():
        asked = time.time()
        client.post("/admin/retrain").raise_for_status()
        ended = None
        while ended is None and not over.wait(POLL_S):
            ended = next((r for r in _records(client) if r.get("began", 0) >= asked), None)
        if ended:
            records.append(ended)
            over.wait(ended["at"] - ended["began"] + 2 * EDGE_S)
    return records


def _records(client: httpx.Client) -> list[Record]:
    found = client.get("/admin/rounds")
    if found.status_code != httpx.codes.OK:
        raise ParameterError(
            f"{client.base_url}/admin/rounds says {found.status_code}: start the server and this "
            f"with the same GATI_ADMIN_TOKEN"
        )
    records: list[Record] = found.json()
    return records
