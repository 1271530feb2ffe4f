"""A real Prometheus gets the metrics of running applications: every query of the dashboard has an
answer, figures are those of `/stats`, and an alert fires."""

import httpx
import pytest

from deployments.metrics.definitions import METRICS
from tests.dashboards import program, queries
from tests.e2e.conftest import STREAMS, cold_application, stats
from tests.e2e.prometheus import prometheus
from tests.e2e.server import wait_until
from tests.streams import CAMERAS, scenes
from workload.client.protocols import png

COLD = "tiny"
EXPORTED_S = 90.0
"""Recording, Ray's report and the next question to it take some 20 s together."""


@pytest.fixture(scope="module")
def urls(server, remembering, tmp_path_factory):
    """Of an application whose caches are on, and of one whose caches have learned nothing."""
    program("prometheus")  # where there is none, nothing need be deployed
    cold = cold_application("tests.tiny:tiny", tmp_path_factory.mktemp("cold"))
    with server.application(remembering) as warm_url, server.application(cold) as cold_url:
        wait_until(lambda: stats(warm_url)["guard"]["caches"] == "serve", "caches are not on")
        yield warm_url, cold_url


@pytest.fixture(scope="module")
def observed(server, urls, tmp_path_factory):
    with prometheus(server.discovery, tmp_path_factory.mktemp("prometheus")) as running:
        wait_until(lambda: bool(running.query("ray_gati_caches_on")), "no metrics", EXPORTED_S)
        yield running


def send(url: str, count: int) -> None:
    """Frames of several cameras."""
    pictures, streams = scenes(count, seed=3)
    with httpx.Client(timeout=60) as client:
        for picture, key in zip(pictures, streams.keys, strict=True):
            headers = {"X-Stream": f"camera-{key}"}
            reply = client.post(f"{url}/predict", content=png(picture), headers=headers)
            assert reply.status_code == 200, reply.text


def test_every_query_of_the_dashboard_has_an_answer(observed, urls):
    unanswered = []

    def all_answered() -> bool:
        send(urls[0], 20 * CAMERAS)
        unanswered[:] = [q for q in queries() if not any(map(is_number, observed.query(q)))]
        return not unanswered

    wait_until(all_answered, unanswered, EXPORTED_S)


def is_number(series: dict) -> bool:
    return series["value"][1] != "NaN"


def test_every_metric_has_the_labels_that_the_page_says(observed):
    for metric in METRICS:
        ending = "_count" if metric.kind == "histogram" else ""
        found = observed.query(f'{metric.exported}{ending}{{application="{STREAMS}"}}')
        assert found, metric
        for series in found:
            assert set(metric.labels) <= set(series["metric"])


def test_figures_are_those_of_stats(observed, urls):
    send(urls[0], 10 * CAMERAS)
    wrong = {}

    def all_come() -> bool:
        expected = figures(stats(urls[0]))
        found = {query: float(observed.query(query)[0]["value"][1]) for query in expected}
        wrong.clear()
        wrong.update({q: (found[q], expected[q]) for q in expected if found[q] != expected[q]})
        return not wrong

    wait_until(all_come, wrong, EXPORTED_S)


def figures(told: dict) -> dict[str, float]:
    """What queries should find, by `/stats`."""
    of = f'application="{STREAMS}"'
    lookup = told["stages"]["Lookup0"]
    hits = sum(latency["count"] for exit, latency in told["exits"].items() if exit != "base")
    return {
        f"sum(ray_gati_requests_total{{{of}}})": told["requests"],
        f"sum(ray_gati_request_latency_seconds_count{{{of}}})": told["requests"],
        f'sum(ray_gati_requests_total{{{of},exit!="base"}})': hits,
        f"max(ray_gati_cache_version{{{of}}})": told["cache_version"],
        f"sum(ray_gati_streams{{{of}}})": CAMERAS,
        f"sum(ray_gati_stream_bytes{{{of}}})": lookup["stream_bytes"],
        f'sum(ray_gati_batch_rows_total{{{of},stage="Lookup0"}})': lookup["rows"],
    }


def test_caches_that_are_off_raise_their_alarm_and_others_none(observed):
    cold = ("GatiCachesOff", COLD)
    wait_until(lambda: cold in observed.firing(), "caches are off without an alert", EXPORTED_S)
    assert observed.firing() == {cold}
