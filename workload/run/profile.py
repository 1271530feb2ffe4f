"""Where the milliseconds of a request go, and the serving tax.

1. One client sends pictures one by one and asks for each one's timeline.
2. The same pictures go through the same cascade in this process.

The serving tax is the mean latency over HTTP, divided by what the same exits take in one process.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from tqdm import tqdm

from cache_models.bench.in_process import InProcess
from workload.client.answers import ERROR, Answers
from workload.client.client import send
from workload.client.protocols import traced
from workload.errors import ServerError
from workload.samples import Sample, Samples

WARM_UP = 20

Timeline = list[dict[str, Any]]
"""The steps of one request, as `X-Trace` asks for them."""


@dataclass(frozen=True)
class Profile:
    """
    Attributes:
        by_step: `(n,)` milliseconds for each step's occurrences: all, waiting, computing, on the
            way; the last three NaN for what the router does itself.
        router_ms: of each request, what the router did beside its steps.
        http_ms: of each request, client, proxy and ingress: what the router does not know of.
    """

    requests: int
    latency_ms: np.ndarray
    exits: np.ndarray
    by_step: dict[str, np.ndarray]
    router_ms: np.ndarray
    http_ms: np.ndarray


def profile(url: str, samples: Samples | Sequence[Sample], use_caches: bool = True) -> Profile:
    """Send `samples`, one after the other.

    Raises:
        ServerError: some got no answer.
    """
    traces: list[Timeline] = []
    answers = send(url, samples, None, protocol=traced(traces, use_caches))
    if (failed := int((answers.exits == ERROR).sum())) > 0:
        kinds = ", ".join(f"{kind}: {n}" for kind, n in answers.errors.items())
        raise ServerError(
            f"{failed} of {len(samples)} requests to {url} got no answer ({kinds}); is a server "
            f"of this project there that nobody else keeps busy?"
        )
    return digest(answers, traces)


def digest(answers: Answers, traces: Sequence[Timeline]) -> Profile:
    """What answers and their timelines say, but for the first few."""
    by_step: dict[str, list[list[float]]] = defaultdict(list)
    router_ms = []
    for server_ms, steps in zip(answers.server_ms[WARM_UP:], traces[WARM_UP:], strict=True):
        for step in steps:
            parts = [step.get(part, np.nan) for part in ("queued_ms", "compute_ms", "hop_ms")]
            by_step[step["step"]].append([step["ms"], *parts])
        router_ms.append(server_ms - _covered_ms(steps))
    latency_ms = answers.latency_ms[WARM_UP:]
    return Profile(
        len(latency_ms),
        latency_ms,
        answers.exits[WARM_UP:],
        {name: np.array(rows) for name, rows in by_step.items()},
        np.array(router_ms),
        latency_ms - answers.server_ms[WARM_UP:],
    )


def _covered_ms(steps: Timeline) -> float:
    """Time in which any step was under way: some may be at once."""
    covered, until = 0.0, 0.0
    for step in steps:
        begin, end = step["at_ms"], step["at_ms"] + step["ms"]
        covered += max(0.0, end - max(begin, until))
        until = max(until, end)
    return covered


def in_process_ms(place: InProcess, inputs: Iterable[np.ndarray]) -> dict[str, float]:
    """Mean milliseconds from decoded picture to answer, by exit, of those that are taken."""
    spent: dict[str, list[float]] = defaultdict(list)
    for i, given in enumerate(tqdm(inputs, desc="in process", unit="sample")):
        start = perf_counter()
        (exit,) = place.answer(given[None]).exits
        if i >= WARM_UP:
            spent[exit].append((perf_counter() - start) * 1e3)
    return {name: float(np.mean(ms)) for name, ms in spent.items()}


def describe(found: Profile, in_process: Mapping[str, float]) -> str:
    """For people: a line a step, and the tax."""
    p50, p99 = np.percentile(found.latency_ms, (50, 99))
    lines = [
        f"{found.requests} requests, one by one: mean {found.latency_ms.mean():.2f} ms, "
        f"p50 {p50:.2f}, p99 {p99:.2f}",
        "",
        f"{'':22} {'requests':>8} {'median':>7} {'mean':>7} {'queued':>7} {'compute':>8} "
        f"{'hop':>6} {'ms a request':>13}",
        _line("client, proxy, ingress", found.http_ms[:, None], found.requests),
    ]
    lines += [_line(name, rows, found.requests) for name, rows in found.by_step.items()]
    lines.append(_line("router, the rest", found.router_ms[:, None], found.requests))
    shares = {name: float((found.exits == name).mean()) for name in sorted(set(found.exits))}
    lines += ["", "exits: " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items())]
    if shares.keys() <= in_process.keys():
        alone_ms = sum(share * in_process[name] for name, share in shares.items())
        lines.append(
            f"the same exits in one process: {alone_ms:.2f} ms; serving tax "
            f"{found.latency_ms.mean() / alone_ms:.2f}"
        )
    return "\n".join(lines)


def _line(name: str, rows: np.ndarray, requests: int) -> str:
    parts = [f"{np.median(rows[:, 0]):7.2f}", f"{rows[:, 0].mean():7.2f}"]
    if rows.shape[1] > 1 and np.isfinite(rows[:, 1:]).any():
        medians = np.nanmedian(rows[:, 1:], axis=0)
        parts += [f"{m:{width}.2f}" for m, width in zip(medians, (7, 8, 6), strict=True)]
    else:
        parts.append(" " * 23)
    return f"{name:22} {len(rows):8} {' '.join(parts)} {rows[:, 0].sum() / requests:13.2f}"
