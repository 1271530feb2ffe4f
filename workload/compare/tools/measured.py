"""The systems measured with tools that nobody here wrote: MLPerf LoadGen, and wrk where it is
installed.

Before or after each run of a tool this project's client asks about the same samples, in the same
order, at the same times.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from workload.client.client import send
from workload.compare.closed_loop import http_client, over_http, round_robin
from workload.compare.tools import loadgen, wrk
from workload.compare.tools.asked import IN_FLIGHT, Run
from workload.compare.tools.loadgen import OFFLINE, SERVER, SINGLE_STREAM
from workload.compare.tools.wrk import WRK
from workload.samples import Sample, Samples

LEAST_WRK_S = 1.0
WHO = "client", "tool"
ROUNDS = 4
"""By both; in every other one the tool is first."""
LEAST_QUERIES, MOST_QUERIES = 20, 2_000
MOST_SAMPLES = 500


def measure(
    urls: Mapping[str, str],
    samples: Samples | Sequence[Sample],
    rate_per_s: float,
    one_s: float,
    seconds: float,
    folder: Path,
    seed: int,
) -> dict[str, Any]:
    """Of every system, what tools and the client measured, round by round, as JSON can hold it.

    Args:
        samples: of which some are drawn. What is asked is asked once before, so that no system
            meets it for the first time.
        rate_per_s: of *Server*.
        one_s: that one request to every system takes.
        seconds: for it all.
        folder: for what the tools write.
    """
    scenarios = [SINGLE_STREAM, SERVER, OFFLINE, *[WRK] * wrk.installed()]
    if WRK not in scenarios:
        click.echo("without wrk, which is not installed", err=True)
    each_s = seconds / (len(scenarios) * (2 * ROUNDS + 1))
    wrk_s = max(LEAST_WRK_S, round(each_s / len(urls)))
    alone = each_s / one_s
    queries = {SINGLE_STREAM: alone, SERVER: rate_per_s * each_s / len(urls), OFFLINE: alone}
    counts = {k: int(min(max(LEAST_QUERIES, n), MOST_QUERIES)) for k, n in queries.items()}
    click.echo(f"LoadGen: {counts} queries, {ROUNDS} rounds, each by the client, too", err=True)
    found: dict[str, Any] = {
        scenario: {name: {who: [] for who in WHO} for name in urls} for scenario in scenarios
    }
    rng = np.random.default_rng(seed)
    drawn = [samples[int(i)] for i in rng.permutation(len(samples))[:MOST_SAMPLES]]

    def by_tool(name: str, scenario: str, k: int) -> Run:
        files = folder / "tools" / f"{name}-{scenario}-{k}"
        if scenario == WRK:
            return wrk.one(urls[name], drawn, wrk_s, files)
        return loadgen.one(urls[name], drawn, scenario, counts[scenario], rate_per_s, files)

    first = {(s, name): by_tool(name, s, 0) for s in scenarios for name in urls}
    for k in range(1, ROUNDS + 1):
        for name in rng.permutation(list(urls)).tolist():
            for scenario in scenarios:
                for who in WHO if k % 2 else reversed(WHO):
                    if who == "tool":
                        figures = by_tool(name, scenario, k).found
                    else:
                        run = first[scenario, name]
                        figures = _by_client(urls[name], drawn, scenario, run, seed)
                    found[scenario][name][who].append(figures)
    return {
        "rounds": ROUNDS,
        "queries": counts,
        "rate_per_s": rate_per_s,
        "wrk_s": wrk_s,
        "scenarios": found,
    }


def _by_client(
    url: str, samples: Sequence[Sample], scenario: str, run: Run, seed: int
) -> dict[str, Any]:
    """What this project's client measures, who asks what `run` asked."""
    asked = [samples[i] for i in run.order]
    if scenario in (SERVER, OFFLINE):
        answers = send(url, asked, np.array(run.at_s), in_flight=IN_FLIGHT)
    else:
        with http_client() as client:
            system = {scenario: over_http(client, url)}
            answers = round_robin(system, asked, seed, requests_per_turn=len(asked))[scenario]
    ms, failures = answers.latency_ms, dict(Counter(filter(None, answers.failures.tolist())))
    if scenario in (OFFLINE, WRK):
        all_ms = ms.max() if scenario == OFFLINE else ms.sum()
        return {"per_s": 1e3 * len(ms) / float(all_ms), "failures": failures}
    return {
        "mean_ms": float(ms.mean()),
        "p50_ms": float(np.percentile(ms, 50)),
        "p99_ms": float(np.percentile(ms, 99)),
        "failures": failures,
    }
