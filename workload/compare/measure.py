"""Measure a testbed: warm it up, and send all of a stream's requests to all contenders.

1. Closed loop: all contenders in turn.
2. Open loop: the systems that are served, in blocks at half of the reference's capacity.
3. If asked for, throughput at saturation.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import click
import numpy as np

from workload.client.answers import Answers
from workload.compare import open_loop, report
from workload.compare.budget import GAP_S, Budget, budget
from workload.compare.closed_loop import round_robin
from workload.compare.options import Options
from workload.compare.systems.catalogue import CASCADE, ORACLE
from workload.compare.systems.stats import wait_for_guards
from workload.compare.testbed import Testbed
from workload.run.stream import make_stream
from workload.samples import Sample, Samples
from workload.traffic.streams import WHOLE

WARM_UP, PILOT = 20, 10
CAPACITY_S = 6.0
SATURATION_BLOCKS, SATURATION_SHARE = 3, 0.2
INITIAL_RATE_PER_S = 20.0


@dataclass(frozen=True)
class Pilot:
    """What must be known before it can be said how much is sent.

    Attributes:
        once_s: one request to every contender, closed loop.
        guards: whether the caches of each system with late binding are on.
        reference_capacity_per_s: requests that the reference answers at saturation.
    """

    once_s: float
    guards: dict[str, bool]
    reference_capacity_per_s: float


def pilot(testbed: Testbed, options: Options) -> Pilot:
    """Warm everything up, wait for the guards, and measure what the budget needs to know."""
    there = testbed.data.samples
    samples = [there[-1 - i % len(there)] for i in range(WARM_UP + PILOT)]
    description = testbed.base.description
    round_robin(testbed.contenders, samples[:WARM_UP], options.seed, description=description)
    guards = wait_for_guards(testbed.urls)
    start = time.perf_counter()
    answers = _closed_loop(testbed, options, open_loop.Block(samples[WARM_UP:]))
    once_s = (time.perf_counter() - start) / PILOT
    one_ms = float(np.nanmean(answers[testbed.reference].latency_ms))
    if testbed.in_process:
        testbed.in_process.oracle()  # of the warm-up, which does not count
    count = max(2 * options.clients, round(CAPACITY_S / one_ms * 1e3))
    again = [there[-1 - i % len(there)] for i in range(count)]
    url = testbed.urls[testbed.reference]
    capacity_per_s, _ = open_loop.saturate(url, again, options.clients)
    return Pilot(once_s, guards, capacity_per_s)


def rate_per_s(options: Options, known: Pilot) -> float:
    """Of the open loop."""
    return options.rate or known.reference_capacity_per_s / 2


def measure(
    testbed: Testbed, options: Options, known: Pilot, stream: str, seconds: float
) -> dict[str, Any]:
    """What one stream showed, as JSON can hold it.

    Args:
        seconds: for it all.
    """
    per_s = rate_per_s(options, known)
    if options.saturation:
        seconds *= 1 - SATURATION_SHARE
    counts = _budget(testbed, options, known, per_s, seconds)
    make = partial(make_stream, testbed.data, options.data, stream, seed=options.seed)
    if stream.partition(":")[0] in WHOLE:
        there = len(make(requests=None, base=testbed.base).stream.items)
        if (fewer := counts.within(there, per_s)) != counts:
            click.echo(
                f"{stream} has {there} requests: less is sent than there is time for", err=True
            )
        counts = fewer
    size = counts.block_requests(per_s)
    total = counts.requests + counts.blocks * size
    click.echo(
        f"{stream}: {counts.requests} requests, {counts.blocks} blocks of {counts.block_s:.0f} s "
        f"at {per_s:.1f} requests/s for each of {len(testbed.urls)} systems",
        err=True,
    )
    made = make(requests=total, base=testbed.base, classes=options.classes).stream
    truth = testbed.truth(made.samples(testbed.data.samples))

    def block(start: int, end: int) -> open_loop.Block:
        rows = slice(start, end)
        keys = None if options.no_keys else made.keys_of(rows)
        return open_loop.Block(made.samples(testbed.data.samples, rows), keys)

    closed = _closed_loop(testbed, options, block(0, counts.requests))
    if testbed.in_process:
        closed[ORACLE] = testbed.in_process.oracle()
    starts = range(counts.requests, total, size)
    rounds = [block(at, at + size) for at in starts]
    blocks = open_loop.in_blocks(testbed.urls, rounds, per_s, options.seed, GAP_S)

    compute_ms, reference = testbed.compute_ms, testbed.reference
    per_turn = options.requests_per_turn
    found = {
        "counts": asdict(counts)
        | {"in_a_row": per_turn, "rate_per_s": per_s, "block_requests": size},
        "varied": made.varied,
        "closed": report.closed(closed, truth[: counts.requests], reference, compute_ms, per_turn),
        "open": report.in_blocks(
            blocks, [truth[at : at + size] for at in starts], reference, compute_ms
        ),
        "tax": report.tax(closed, "gati", CASCADE, per_turn),
    }
    if options.saturation:
        each_s = seconds * SATURATION_SHARE / (SATURATION_BLOCKS * len(testbed.urls))
        found["saturation"] = _saturation(testbed, options, block(0, total).samples, each_s)
    return found


def _budget(
    testbed: Testbed, options: Options, known: Pilot, rate_per_s: float, seconds: float
) -> Budget:
    return budget(
        seconds,
        len(testbed.urls),
        known.once_s,
        testbed.plan.expected.base_compute_ms / 1e3,
        rate_per_s,
        options.requests,
        options.blocks,
        options.block_seconds,
    )


def _closed_loop(testbed: Testbed, options: Options, block: open_loop.Block) -> dict[str, Answers]:
    per_turn = options.requests_per_turn
    return round_robin(
        testbed.contenders,
        block.samples,
        options.seed,
        testbed.pauses_s(per_turn),
        per_turn,
        keys=block.keys,
        description=testbed.base.description,
    )


def _saturation(
    testbed: Testbed, options: Options, samples: Samples | Sequence[Sample], each_s: float
) -> dict[str, list[float]]:
    """Requests a second of every system, block by block, the systems in turn."""
    rates: dict[str, list[float]] = {name: [] for name in testbed.urls}
    for k in range(SATURATION_BLOCKS):
        order = np.random.default_rng(options.seed + k).permutation(list(testbed.urls))
        for name in order.tolist():
            count = round((rates[name] or [INITIAL_RATE_PER_S])[-1] * each_s)
            count = max(2 * options.clients, count)
            some = [samples[i % len(samples)] for i in range(k * count, (k + 1) * count)]
            rates[name].append(open_loop.saturate(testbed.urls[name], some, options.clients)[0])
            time.sleep(GAP_S)
    return rates
