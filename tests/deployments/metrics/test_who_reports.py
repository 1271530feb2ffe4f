"""Routers, replicas and the trainer say as metrics what they say in /stats, under the same labels
every time."""

from cache_models.cascade import Control
from deployments.follow import metrics as of_trainer
from deployments.follow.metrics import Rounds
from deployments.graph import metrics as of_replica
from deployments.ingress import metrics as of_router
from deployments.ingress.metrics import Now
from deployments.ingress.stats import Stats
from deployments.metrics.definitions import METRICS
from deployments.metrics.recorder import Recorder

SAMPLES = {"taken": 5, "finished": 3, "dropped": 1, "waiting": 1}
HOPS = {"Lookup0": {"lane": 4, "handle": 0, "connected": 1, "waiting": 2, "hops": 4, "hop_ms": 6.0}}
STATE = {"ongoing": 3, "queued": 1, "batches": 4, "rows": 9, "compute_ms": 2000.0}
STREAMS = {"streams": 7, "stream_bytes": 700}
STATUS = {
    "guard": {
        "alarms": 2,
        "max_disagreement": 0.01,
        "recent": {
            "sampled": 400,
            "disagreement": 0.005,
            "disagreement_lower": 0.001,
            "disagreement_upper": 0.015,
        },
    },
    "sampling": {"rate": 0.1, "share_of_processors": 0.01},
    "retraining": {"queued": 6, "outcomes": Rounds().told()},
}


def router(to: Recorder, stats: Stats, on: bool = True) -> None:
    snapshot = stats.snapshot({"input": 1}, HOPS, SAMPLES, ongoing=2)
    of_router.record(to, Now(snapshot, ["input"], Control(3, on), True, 0.5))


def test_a_router(ray_metrics):
    to, stats, said = Recorder(), Stats(), ray_metrics
    stats.count(["input", "input", "base"], latency_ms=10)
    stats.count_error(415)
    router(to, stats)
    assert said.total("gati_requests", exit="input") == 2
    assert said.total("gati_requests", exit="base") == 1
    latencies = said.said["gati_request_latency_seconds", frozenset({("exit", "input")})]
    assert len(latencies) == 2 and all(abs(s - 0.01) < 2e-4 for s in latencies)
    assert said.total("gati_errors", status="415") == 1
    assert said.total("gati_lookups_failed", cut_point="input") == 1
    assert said.total("gati_hop_seconds", stage="Lookup0") == 0.006
    assert said.last("gati_stage_waiting", stage="Lookup0") == 2
    assert said.total("gati_samples_taken") == 5
    assert said.last("gati_samples_waiting") == 1
    assert (said.last("gati_caches_on"), said.last("gati_cache_version")) == (1, 3)

    stats.count(["base"], latency_ms=20)
    router(to, stats, on=False)
    assert said.total("gati_requests", exit="base") == 2
    assert said.total("gati_requests", exit="input") == 2
    assert said.last("gati_caches_on") == 0


def test_counters_of_what_has_not_happened_yet_are_there(ray_metrics):
    router(Recorder(), Stats())
    for name, labels in (
        ("gati_requests", {"exit": "input"}),
        ("gati_requests", {"exit": "base"}),
        ("gati_errors", {"status": "503"}),
    ):
        assert ray_metrics.said[name, frozenset(labels.items())] == [0]


def test_a_replica(ray_metrics):
    of_replica.record(Recorder(), "Lookup0", STATE | STREAMS)
    assert ray_metrics.total("gati_compute_seconds", stage="Lookup0") == 2
    assert ray_metrics.total("gati_batch_rows", stage="Lookup0") == 9
    assert ray_metrics.last("gati_stream_bytes", stage="Lookup0") == 700


def test_who_remembers_no_streams_says_nothing_of_them(ray_metrics):
    of_replica.record(Recorder(), "Partition0", STATE)
    assert "gati_streams" not in ray_metrics.labels


def test_the_trainer(ray_metrics):
    of_trainer.record(Recorder("pets"), STATUS)
    assert ray_metrics.total("gati_alarms", application="pets") == 2
    assert ray_metrics.last("gati_disagreement_upper_ratio", application="pets") == 0.015
    assert ray_metrics.total("gati_rounds", application="pets", outcome="failed") == 0


def test_a_round_that_failed_is_neither_published_nor_kept():
    rounds = Rounds()
    rounds.add({"began": 0.0, "at": 2.0, "published": None, "failed": True})
    assert rounds.told()["failed"] == {"rounds": 1, "seconds": 2.0}
    assert rounds.told()["kept"]["rounds"] == 0


def test_every_metric_is_somebodys(ray_metrics):
    stats = Stats()
    stats.count(["base"], latency_ms=1)
    router(Recorder(), stats)
    of_replica.record(Recorder(), "Lookup0", STATE | STREAMS)
    of_trainer.record(Recorder("pets"), STATUS)
    assert set(ray_metrics.labels) == {metric.name for metric in METRICS}
