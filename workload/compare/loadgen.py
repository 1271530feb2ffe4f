"""The systems measured with MLPerf LoadGen (Reddi et al. 2020), a load generator that nobody here
wrote, and with this project's client beside it.

LoadGen decides what is asked when, and writes down how long it took; here is only what it calls the
system under test, which passes its queries on by HTTP. In *SingleStream* the next query comes when
the last has been answered, in *Server* they come as a Poisson process, in *Offline* all come at
once. With its own seeds LoadGen asks the same in every run. Before or after each this project's
client asks about the same samples, in the same order, at the same times.

What comes of it is no MLPerf result: those have rules of their own.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np

from workload.client.client import send
from workload.client.protocols import Body, raw_body
from workload.compare.closed_loop import Contender, http_client, over_http, round_robin
from workload.errors import ParameterError
from workload.samples import Sample, Samples

SINGLE_STREAM, SERVER, OFFLINE = "SingleStream", "Server", "Offline"
WHO = "client", "loadgen"
ROUNDS = 4
"""By both; in every other one LoadGen is first."""
IN_FLIGHT = 64
"""As the client's."""
LEAST_QUERIES, MOST_QUERIES = 20, 2_000
MOST_SAMPLES = 500
PREFIX = ":::MLLOG "
FIGURES = {
    "mean_ms": "result_mean_latency_ns",
    "p50_ms": "result_50.00_percentile_latency_ns",
    "p99_ms": "result_99.00_percentile_latency_ns",
}
RATE = "result_samples_per_second"


def check_installed() -> None:
    """
    Raises:
        ParameterError: LoadGen is not.
    """
    if find_spec("mlperf_loadgen") is None:
        raise ParameterError("--loadgen needs MLPerf LoadGen: pip install -e '.[loadgen]'")


@dataclass
class Run:
    """What one run of LoadGen asked, and what came of it.

    Attributes:
        order: places of the samples, in the order in which they were asked about.
        at_s: when each was, from the first on.
        figures: by LoadGen's own log, in milliseconds; of *Offline* how many a second.
        failures: how often each kind came; LoadGen knows no failures, and counts their latencies.
    """

    order: list[int] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def found(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return self.figures | {"failures": dict(self.failures)}


def measure(
    urls: Mapping[str, str],
    samples: Samples | Sequence[Sample],
    rate_per_s: float,
    one_s: float,
    seconds: float,
    folder: Path,
    seed: int,
) -> dict[str, Any]:
    """Of every system, what LoadGen and the client measured, round by round, as JSON can hold it.

    Args:
        samples: of which some are drawn. What is asked is asked once before, so that no system
            meets it for the first time.
        rate_per_s: of *Server*.
        one_s: that one request to every system takes.
        seconds: for it all.
        folder: for LoadGen's logs.
    """
    each_s = seconds / (3 * (2 * ROUNDS + 1))
    alone = each_s / one_s
    queries = {SINGLE_STREAM: alone, SERVER: rate_per_s * each_s / len(urls), OFFLINE: alone}
    counts = {k: int(min(max(LEAST_QUERIES, n), MOST_QUERIES)) for k, n in queries.items()}
    click.echo(f"LoadGen: {counts} queries, {ROUNDS} rounds, each by the client, too", err=True)
    found: dict[str, Any] = {
        scenario: {name: {who: [] for who in WHO} for name in urls} for scenario in counts
    }
    rng = np.random.default_rng(seed)
    drawn = [samples[int(i)] for i in rng.permutation(len(samples))[:MOST_SAMPLES]]

    def by_loadgen(name: str, scenario: str, k: int) -> Run:
        logs = folder / "loadgen" / f"{name}-{scenario}-{k}"
        return one(urls[name], drawn, scenario, counts[scenario], rate_per_s, logs)

    first = {s: [by_loadgen(name, s, 0) for name in urls][-1] for s in counts}
    for k in range(1, ROUNDS + 1):
        for name in rng.permutation(list(urls)).tolist():
            for scenario in counts:
                for who in WHO if k % 2 else reversed(WHO):
                    if who == "loadgen":
                        figures = by_loadgen(name, scenario, k).found
                    else:
                        figures = _by_client(urls[name], drawn, scenario, first[scenario], seed)
                    found[scenario][name][who].append(figures)
    return {"rounds": ROUNDS, "queries": counts, "rate_per_s": rate_per_s, "scenarios": found}


def one(
    url: str,
    samples: Sequence[Sample],
    scenario: str,
    count: int,
    rate_per_s: float,
    logs: Path,
) -> Run:
    """One run of LoadGen against one system.

    Args:
        count: queries, of samples drawn by LoadGen with its own seeds, the same in every run.
        logs: folder that is made for what it writes.
    """
    import mlperf_loadgen as lg

    logs.mkdir(parents=True, exist_ok=True)
    run, bodies = Run(), [raw_body(sample) for sample in samples]
    alone = scenario == SINGLE_STREAM
    with http_client(IN_FLIGHT) as client, ThreadPoolExecutor(IN_FLIGHT) as threads:
        system = over_http(client, url)

        def answer(query: Any) -> None:
            _ask(system, bodies[query.index], run)
            lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, 0, 0)])

        def issue(queries: Sequence[Any]) -> None:
            now = time.perf_counter()
            for query in queries:
                run.order.append(query.index)
                run.at_s.append(now)
                if alone:
                    answer(query)
                else:
                    threads.submit(answer, query)

        settings, output = lg.TestSettings(), lg.LogSettings()
        settings.scenario = getattr(lg.TestScenario, scenario)
        settings.mode = lg.TestMode.PerformanceOnly
        settings.min_duration_ms = 0
        settings.min_query_count = settings.max_query_count = count
        settings.server_target_qps = rate_per_s
        settings.offline_expected_qps = 1  # a query holds as many samples as `count` asks for
        output.log_output.outdir = str(logs)
        output.log_output.copy_summary_to_stdout = False
        system_under_test = lg.ConstructSUT(issue, lambda: None)
        library = lg.ConstructQSL(len(bodies), len(bodies), lambda _: None, lambda _: None)
        try:
            lg.StartTestWithLogSettings(system_under_test, library, settings, output)
        finally:
            lg.DestroySUT(system_under_test)
            lg.DestroyQSL(library)
    run.at_s = [at - run.at_s[0] for at in run.at_s]
    run.figures = read_log(logs / "mlperf_log_detail.txt", scenario)
    return run


def read_log(file: Path, scenario: str) -> dict[str, float]:
    """Figures by name, of LoadGen's detailed log."""
    entries = (
        json.loads(line.removeprefix(PREFIX))
        for line in file.read_text().splitlines()
        if line.startswith(PREFIX)
    )
    values = {entry["key"]: entry["value"] for entry in entries}
    if scenario == OFFLINE:
        return {"per_s": values[RATE]}
    return {name: values[key] / 1e6 for name, key in FIGURES.items()}


def _ask(system: Contender, body: Body, run: Run) -> None:
    try:
        system(np.empty(0), body)
    except Exception as error:
        run.failures[str(error) or type(error).__name__] += 1


def _by_client(
    url: str, samples: Sequence[Sample], scenario: str, run: Run, seed: int
) -> dict[str, Any]:
    """What this project's client measures, who asks what `run` asked."""
    asked = [samples[i] for i in run.order]
    if scenario != SINGLE_STREAM:
        answers = send(url, asked, np.array(run.at_s), in_flight=IN_FLIGHT)
    else:
        with http_client() as client:
            system = {scenario: over_http(client, url)}
            answers = round_robin(system, asked, seed, requests_per_turn=len(asked))[scenario]
    ms, failures = answers.latency_ms, dict(Counter(filter(None, answers.failures.tolist())))
    if scenario == OFFLINE:
        return {"per_s": 1e3 * len(ms) / float(ms.max()), "failures": failures}
    return {
        "mean_ms": float(ms.mean()),
        "p50_ms": float(np.percentile(ms, 50)),
        "p99_ms": float(np.percentile(ms, 99)),
        "failures": failures,
    }
