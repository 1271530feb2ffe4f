"""One run: make a stream, know the base DNN's answers to it, send it, and say what came back.

1. The stream is made of the data: items, rounds, and when each is due.
2. The base DNN, and the static caches of a store if asked for, answer the same pictures offline.
3. The client sends them.
4. Or, where the model is not at hand, a share is asked again with the caches off, afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np

from cache_models.errors import DataError
from cache_models.network.base_dnn import BaseDNN, load
from cache_models.network.device import resolve
from cache_models.store.versions import Store
from workload.client.client import send
from workload.client.protocols import Protocol, open_inference, raw
from workload.client.truth import base_answers, remembered
from workload.errors import ParameterError
from workload.run import offline, report
from workload.run.compute import compute_ms_by_exit
from workload.run.stream import Made, describe, make_stream, open_for
from workload.samples import Inputs, is_picture
from workload.traffic import arrivals, streams, trace
from workload.traffic.data import Data
from workload.traffic.variation import Sent


@dataclass(frozen=True)
class Settings:
    """What the command line says, see `python -m workload run --help`."""

    url: str
    model: str
    data: str
    stream: str
    classes: str
    arrivals: str
    rate_per_s: float | None
    clients: int
    in_flight: int
    requests: int | None
    skip: int
    seed: int
    protocol: str
    served_as: str
    timeout_s: float
    no_keys: bool
    ask_again: float | None
    static: Path | None
    trace: Path | None
    window_s: float


def run(settings: Settings, say: Callable[[str], None] = click.echo) -> dict[str, Any]:
    """What the run showed, as JSON can hold it.

    Raises:
        ParameterError, CacheModelsError: it cannot be as it was asked for.
    """
    base = None if settings.ask_again else load(settings.model)
    data = open_for(settings.data, base, say)
    made = make_stream(
        data,
        settings.data,
        settings.stream,
        settings.requests,
        settings.seed,
        base,
        settings.classes,
    )
    stream = made.stream
    samples = stream.samples(data.samples)
    n = len(samples)
    _check(settings, data)
    if settings.skip >= n:
        raise ParameterError(f"skip is {settings.skip}, which leaves nothing of {n} requests")
    due_s = arrivals.make(settings.arrivals, n, settings.rate_per_s, settings.seed, stream.times_s)
    if settings.trace and due_s is not None:
        trace.write(settings.trace, stream.trace(due_s))

    truth, static = _offline(settings, base, samples)
    made = Made(stream, made.classes, None if base is None else truth)
    say(describe(settings.stream, settings.seed, made))

    sent = send(
        settings.url,
        samples,
        due_s,
        settings.in_flight,
        settings.timeout_s,
        clients=settings.clients,
        protocol=_protocol(settings, base, use_caches=True),
        keys=None if settings.no_keys else stream.keys_of(),
    )
    if settings.trace and due_s is None:
        trace.write(settings.trace, stream.trace(sent.due_s))
    stats = _stats(settings.url, say)
    if settings.ask_again:
        truth = _asked_again(settings, settings.ask_again, data, stream)
    compute_ms = compute_ms_by_exit(stats["plan"]) if "plan" in stats else None
    labels = _labels(data, base, stream)
    result = report.summary(sent, truth, compute_ms, settings.skip, labels, settings.window_s)
    if static is not None:
        result["static"] = {
            "version": static.version,
            **report.static_summary(
                static.exits, static.class_ids, truth, static.plan, settings.skip
            ),
        }
    return result | {
        "url": settings.url,
        "data": settings.data,
        "stream": settings.stream,
        "classes": settings.classes,
        "seed": settings.seed,
        "rate": settings.rate_per_s,
        "arrivals": settings.arrivals,
        "clients": settings.clients if due_s is None else None,
        "protocol": settings.protocol,
        "varied": stream.varied,
        "keys": stream.keys is not None and not settings.no_keys,
        "locality": made.locality(),
        "stats": stats,
    }


def _check(settings: Settings, data: Data) -> None:
    first = data.samples[0]
    if isinstance(first, np.ndarray) and not is_picture(first) and settings.protocol != "oip":
        raise DataError(f"{settings.data} holds tensors, not pictures: send them with protocol oip")
    if not isinstance(first, np.ndarray) and settings.protocol == "oip" and settings.ask_again:
        raise DataError(
            f"{settings.data} holds sounds or texts, of which the base DNN's inputs are sent with "
            f"protocol oip: leave out --ask-again, so that the base DNN is known"
        )


def _offline(
    settings: Settings, base: BaseDNN | None, samples: Sent
) -> tuple[np.ndarray, offline.Static | None]:
    """The base DNN's labels and what static caches say, `(n,)` each."""
    if base is None:
        return np.full(len(samples), report.UNKNOWN), None
    device = resolve("auto")
    truth = base_answers(base, samples, device)
    if settings.static is None:
        return truth, None
    version = Store(settings.static).current()
    ask = offline.static_labels(base, version, device)
    inputs = Inputs(samples, base.description)
    rows = remembered(inputs, ask, offline.key_of(version), "static_exits", offline.COLUMNS)
    return truth, offline.static_of(version, rows, truth)


def _protocol(settings: Settings, base: BaseDNN | None, use_caches: bool) -> Protocol:
    if settings.protocol == "predict":
        return raw(use_caches)
    return open_inference(settings.served_as, use_caches, base.description if base else None)


def _asked_again(
    settings: Settings, share: float, data: Data, stream: streams.Stream
) -> np.ndarray:
    """The base DNN's labels of a share, as the server gives them with its caches off."""
    n = len(stream.items)
    size = max(1, round(share * n))
    rows = np.sort(np.random.default_rng([settings.seed, 1]).choice(n, size, replace=False))
    again = send(
        settings.url,
        stream.samples(data.samples, rows),
        None,
        timeout_s=settings.timeout_s,
        protocol=_protocol(settings, None, use_caches=False),
    )
    truth = np.full(n, report.UNKNOWN)
    truth[rows] = again.class_ids  # -1, unknown, where that failed
    return truth


def _labels(data: Data, base: BaseDNN | None, stream: streams.Stream) -> np.ndarray | None:
    """The true labels of the requests, as the base DNN counts them."""
    if base is None and data.classes is not None:
        return None
    labels = data.true_labels(base.description.classes if base else ())
    if labels is None:
        return None
    return np.where(stream.items >= 0, labels[stream.items], report.UNKNOWN)


def _stats(url: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Empty where the server has none, or is gone: what was measured must not be lost for that."""
    try:
        found = httpx.get(f"{url.rstrip('/')}/stats", timeout=60).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        say(f"{url}/stats says nothing ({error!r}): no compute in the report")
        return {}
    return found if isinstance(found, dict) else {}
