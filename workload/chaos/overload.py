"""More than can be answered: what is answered then, how soon the rest is refused, and how soon all
is well again.

1. Rates rise until no more is answered: that is the capacity.
2. Half of it, then three times it, then half again, without a break. Nobody waits for anybody: the
   client sends at its rate, whatever comes back (open loop).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from workload.client.answers import ERROR, Answers
from workload.client.client import send
from workload.samples import Samples
from workload.traffic.arrivals import poisson

WARM_S = 30.0
"""Before the search: what has just started still loads what it needs, its trainer PyTorch."""
STEP, STEP_S = 1.35, 8.0
STILL_RISING = 1.05
NORMAL, OVER = 0.5, 3.0
IN_FLIGHT = 4096
WINDOW_S = 1.0
WELL = 1.5
"""Latency is back where it is at most so many times what it was."""
REFUSED = "HTTP 503"


@dataclass(frozen=True)
class Phase:
    """
    Attributes:
        goodput_per_s: answers a second.
        refused_p50_ms, refused_p99_ms: from when a refused request was due.
        others: failures but for refusals, by kind.
        client_late_p99_ms: how much later than due the client itself sent.
    """

    name: str
    offered_per_s: float
    goodput_per_s: float
    refused_per_s: float
    p50_ms: float
    p99_ms: float
    refused_p50_ms: float
    refused_p99_ms: float
    client_late_p99_ms: float
    others: dict[str, int]


@dataclass(frozen=True)
class Overload:
    """
    Attributes:
        steps: the search for the capacity, as rates and goodputs.
        back_s: from the end of the overload until latency was as before.
    """

    steps: list[tuple[float, float]]
    phases: list[Phase]
    back_s: float

    @property
    def capacity_per_s(self) -> float:
        return max(goodput for _, goodput in self.steps)

    def as_json(self) -> dict:
        return asdict(self) | {"capacity_per_s": self.capacity_per_s}


def overload(
    url: str,
    samples: Samples,
    rate_per_s: float,
    seconds: tuple[float, float, float],
    seed: int,
    say: Callable[[str], None],
) -> Overload:
    """
    Args:
        rate_per_s: at which the search begins; the server answers as many.
        seconds: before the overload, of it, and after it.
    """
    rng = np.random.default_rng(seed)
    _sent(url, samples, poisson(int(WARM_S * rate_per_s), rate_per_s, seed), rng)
    steps = [(rate_per_s, _goodput(url, samples, rate_per_s, rng))]
    while len(steps) < 2 or steps[-1][1] > STILL_RISING * steps[-2][1]:
        rate_per_s *= STEP
        steps.append((rate_per_s, _goodput(url, samples, rate_per_s, rng)))
        say(f"offered {rate_per_s:.0f}/s, answered {steps[-1][1]:.0f}/s")
    capacity = max(goodput for _, goodput in steps)
    rates = [NORMAL * capacity, OVER * capacity, NORMAL * capacity]
    starts = np.cumsum([0.0, *seconds])
    due_s = np.concatenate(
        [
            start + poisson(int(rate * length), rate, int(rng.integers(2**31)))
            for start, rate, length in zip(starts, rates, seconds, strict=False)
        ]
    )
    answers = _sent(url, samples, np.sort(due_s), rng)
    names = ("before", "overload", "after")
    phases = [
        _phase(name, answers, start, end)
        for name, (start, end) in zip(names, pairwise(starts), strict=True)
    ]
    return Overload(steps, phases, _back_s(answers, starts[2], phases[0].p50_ms))


def describe(found: Overload) -> str:
    """For people: a Markdown table, and what it comes to."""
    lines = [
        "| | offered/s | answered/s | 503/s | answered p50 / p99 ms | 503 p50 / p99 ms "
        "| client late p99 ms | else |",
        "| --- " * 8 + "|",
    ]
    for one in found.phases:
        others = ", ".join(f"{count} {what}" for what, count in one.others.items()) or "0"
        lines.append(
            f"| {one.name} | {one.offered_per_s:.0f} | {one.goodput_per_s:.0f} "
            f"| {one.refused_per_s:.0f} | {one.p50_ms:.0f} / {one.p99_ms:.0f} "
            f"| {one.refused_p50_ms:.0f} / {one.refused_p99_ms:.0f} "
            f"| {one.client_late_p99_ms:.0f} | {others} |"
        )
    share = found.phases[1].goodput_per_s / found.capacity_per_s
    lines.append(
        f"capacity {found.capacity_per_s:.0f}/s; under overload {share:.0%} of it is answered; "
        f"latency is as before {found.back_s:.0f} s after"
    )
    return "\n".join(lines)


def _sent(url: str, samples: Samples, due_s: np.ndarray, rng: np.random.Generator) -> Answers:
    which = rng.integers(len(samples), size=len(due_s))
    bodies = (samples[i] for i in which)
    return send(url, bodies, due_s, in_flight=IN_FLIGHT, count=len(due_s))


def _goodput(url: str, samples: Samples, rate_per_s: float, rng: np.random.Generator) -> float:
    count = int(rate_per_s * STEP_S)
    answers = _sent(url, samples, poisson(count, rate_per_s, int(rng.integers(2**31))), rng)
    return _answered_per_s(answers, 0.0, STEP_S)


def _answered_per_s(answers: Answers, start_s: float, end_s: float) -> float:
    """Answers that came in that time."""
    came_s = answers.due_s + answers.latency_ms / 1e3
    in_time = (answers.exits != ERROR) & (start_s <= came_s) & (came_s < end_s)
    return float(in_time.sum() / (end_s - start_s))


def _phase(name: str, answers: Answers, start_s: float, end_s: float) -> Phase:
    due = (start_s <= answers.due_s) & (answers.due_s < end_s)
    answered, refused = answers.exits != ERROR, answers.failures == REFUSED
    others: dict[str, int] = {}
    for failure in answers.failures[due & ~answered & ~refused]:
        others[failure] = others.get(failure, 0) + 1
    return Phase(
        name,
        float(due.sum() / (end_s - start_s)),
        _answered_per_s(answers, start_s, end_s),
        float((due & refused).sum() / (end_s - start_s)),
        *_percentiles(answers.latency_ms[due & answered]),
        *_percentiles(answers.latency_ms[due & refused]),
        _percentiles(answers.client_late_ms[due])[1],
        others,
    )


def _percentiles(ms: np.ndarray) -> tuple[float, float]:
    if not len(ms):
        return float("nan"), float("nan")
    p50, p99 = np.percentile(ms, (50, 99))
    return float(p50), float(p99)


def _back_s(answers: Answers, end_s: float, before_ms: float) -> float:
    """Seconds after the overload from which on the median of every window is as before."""
    last = 0.0
    for start_s in np.arange(end_s, np.nanmax(answers.due_s) - WINDOW_S, WINDOW_S):
        due = (start_s <= answers.due_s) & (answers.due_s < start_s + WINDOW_S)
        answered = due & (answers.exits != ERROR)
        refused = (due & ~answered).any()
        late = not answered.any() or np.median(answers.latency_ms[answered]) > WELL * before_ms
        if refused or late:
            last = float(start_s + WINDOW_S - end_s)
    return last
