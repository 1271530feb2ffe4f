"""A router's snapshot as metrics: the one that `/stats` adds up."""

from collections.abc import Sequence
from typing import NamedTuple

from hdrh.histogram import HdrHistogram

from cache_models.cascade import Control
from cache_models.network.stages import BASE
from deployments.ingress.stats import Snapshot
from deployments.metrics import definitions as of
from deployments.metrics.recorder import Recorder

SERVER_ERRORS = (500, 503, 504)


class Now(NamedTuple):
    """What a router has counted, and what it is.

    Attributes:
        cut_points: of the plan.
        wanted: whether caches are to answer, by their operators.
        silence_s: since the trainer's last word.
    """

    snapshot: Snapshot
    cut_points: Sequence[str]
    control: Control
    wanted: bool
    silence_s: float


def record(to: Recorder, now: Now) -> None:
    """Counters begin at 0 where it is known which there will be: what is not there before it is 1
    has never increased."""
    snapshot, failures = now.snapshot, now.snapshot.lookup_failures
    for exit in {*now.cut_points, BASE, *snapshot.latencies}:
        _record_exit(to, exit, snapshot.latencies.get(exit))
    for status, count in (dict.fromkeys(SERVER_ERRORS, 0) | dict(snapshot.errors)).items():
        to.count(of.ERRORS, count, status=str(status))
    for cut_point in now.cut_points:
        to.count(of.LOOKUPS_FAILED, failures.get(cut_point, 0), cut_point=cut_point)
    for stage, told in snapshot.hops.items():
        to.count(of.HOPS, told["hops"], stage=stage)
        to.count(of.HOP_SECONDS, told["hop_ms"] / 1e3, stage=stage)
        to.set(of.WAITING, told["waiting"], stage=stage)
    to.set(of.ONGOING, snapshot.ongoing)
    to.count(of.SAMPLES_TAKEN, snapshot.samples["taken"])
    to.count(of.SAMPLES_FINISHED, snapshot.samples["finished"])
    to.count(of.SAMPLES_DROPPED, snapshot.samples["dropped"])
    to.set(of.SAMPLES_WAITING, snapshot.samples["waiting"])
    to.set(of.CACHES_ON, now.control.on)
    to.set(of.CACHES_WANTED, now.wanted)
    to.set(of.CACHE_VERSION, now.control.version)
    to.set(of.TRAINER_SILENCE, now.silence_s)


def _record_exit(to: Recorder, exit: str, latencies: bytes | None) -> None:
    if latencies is None:
        to.count(of.REQUESTS, 0, exit=exit)
        return
    histogram = HdrHistogram.decode(latencies)
    to.count(of.REQUESTS, histogram.get_total_count(), exit=exit)
    for step in histogram.get_recorded_iterator():
        seconds, count = step.value_iterated_to / 1e6, step.count_at_value_iterated_to
        to.observe(of.LATENCY, seconds, count, exit=exit)
