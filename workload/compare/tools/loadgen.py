"""MLPerf LoadGen (Reddi et al. 2020).

LoadGen decides what is asked when, and writes down how long it took; here is only what it calls the
system under test, which passes its queries on by HTTP. In *SingleStream* the next query comes when
the last has been answered, in *Server* they come as a Poisson process, in *Offline* all come at
once. With its own seeds LoadGen asks the same in every run. It knows no failures, and counts their
latencies.

What comes of it is no MLPerf result: those have rules of their own.
"""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from workload.client.protocols import Body, raw_body
from workload.compare.closed_loop import Contender, http_client, over_http
from workload.compare.tools.asked import IN_FLIGHT, Run
from workload.errors import ParameterError
from workload.samples import Sample

SINGLE_STREAM, SERVER, OFFLINE = "SingleStream", "Server", "Offline"
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
