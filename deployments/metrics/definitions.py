"""Every metric there is, in base units. In Prometheus they have Ray's prefix, and counters an
ending: `ray_gati_requests_total`.

Serve adds the labels `application`, `deployment` and `replica`; the trainer, which is no replica,
has `application` alone.
"""

from dataclasses import dataclass
from typing import Literal

LATENCY_S = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)


@dataclass(frozen=True)
class Metric:
    """
    Attributes:
        name: as it is recorded; Prometheus's has `ray_` before it, and a counter's `_total` behind.
        labels: besides those of whoever records it.
        buckets: upper bounds, of a histogram.
    """

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def exported(self) -> str:
        """Its name in Prometheus, a histogram's without `_bucket` and the like."""
        return f"ray_{self.name}{'_total' if self.kind == 'counter' else ''}"


def counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric("counter", name, meaning, labels)


def gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric("gauge", name, meaning, labels)


# --- of a router ---------------------------------------------------------------------------------

REQUESTS = counter(
    "gati_requests",
    "requests answered, a batch's rows each; hits have another exit than `base`",
    "exit",
)
LATENCY = Metric(
    "histogram",
    "gati_request_latency_seconds",
    "from a request's arrival to its answer, a batch's rows each",
    ("exit",),
    LATENCY_S,
)
ERRORS = counter("gati_errors", "requests refused or failed, by HTTP status", "status")
ONGOING = gauge("gati_requests_ongoing", "requests that are being answered")
LOOKUPS_FAILED = counter("gati_lookups_failed", "lookups that failed or were late", "cut_point")
HOPS = counter("gati_hops", "calls that partitions and lookups have answered", "stage")
HOP_SECONDS = counter(
    "gati_hop_seconds", "of these calls, beside queue and compute of the replica", "stage"
)
WAITING = gauge("gati_stage_waiting", "calls that wait at a router for a replica", "stage")
SAMPLES_TAKEN = counter("gati_samples_taken", "requests chosen to be run on to the base DNN's end")
SAMPLES_FINISHED = counter("gati_samples_finished", "of these, told to the trainer")
SAMPLES_DROPPED = counter("gati_samples_dropped", "of these, lost, or too many to wait")
SAMPLES_WAITING = gauge("gati_samples_waiting", "of these, still to be run on")
CACHES_ON = gauge("gati_caches_on", "1 where caches may answer, else 0")
CACHES_WANTED = gauge("gati_caches_wanted", "1 in the mode `serve`, where there are caches, else 0")
CACHE_VERSION = gauge("gati_cache_version", "in service")
TRAINER_SILENCE = gauge("gati_trainer_silence_seconds", "since the trainer's last word")

# --- of a partition's or lookup's replica ---------------------------------------------------------

BATCHES = counter("gati_batches", "batches computed", "stage")
BATCH_ROWS = counter("gati_batch_rows", "rows in these batches", "stage")
COMPUTE_SECONDS = counter("gati_compute_seconds", "that these batches took", "stage")
REPLICA_ONGOING = gauge("gati_stage_ongoing", "calls that a replica has", "stage")
REPLICA_QUEUED = gauge("gati_stage_queued", "of these, still to be computed", "stage")
STREAMS = gauge("gati_streams", "streams that a lookup remembers", "stage")
STREAM_BYTES = gauge("gati_stream_bytes", "that they take", "stage")

# --- of the trainer -------------------------------------------------------------------------------

ALARMS = counter("gati_alarms", "times that the guard has left a threshold")
DISAGREEMENT = gauge(
    "gati_disagreement_ratio", "share of recent samples that caches got wrong, or would have"
)
DISAGREEMENT_UPPER = gauge(
    "gati_disagreement_upper_ratio", "its upper bound, at the promise's confidence"
)
DISAGREEMENT_LOWER = gauge("gati_disagreement_lower_ratio", "its lower bound, likewise")
MAX_DISAGREEMENT = gauge("gati_max_disagreement_ratio", "that the promise allows")
JUDGED = gauge("gati_judged_samples", "recent samples behind these figures")
SAMPLING = gauge("gati_sampling_ratio", "share of requests that is to be sampled")
SAMPLING_PROCESSORS = gauge("gati_sampling_processors_ratio", "of their time, that samples take")
ROUNDS = counter(
    "gati_rounds", "rounds of retraining: `published`, `kept` what was served, `failed`", "outcome"
)
ROUND_SECONDS = counter("gati_round_seconds", "that they took", "outcome")
TRAINER_QUEUED = gauge("gati_trainer_queued", "samples that wait to be written down")

METRICS: tuple[Metric, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)
