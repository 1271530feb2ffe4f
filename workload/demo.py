"""`gati demo`: how much quicker a server answers with its caches than without, in a minute."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import click
import numpy as np
from tqdm import tqdm

from workload.client.client import send
from workload.client.protocols import raw
from workload.errors import ServerError
from workload.options import data_option, seed_option, stream_option, url_option
from workload.run.ratios import Ratio, of_turns
from workload.samples import Sample
from workload.serving import is_ready, serving

IN_A_ROW = 20
NEEDS_REQUESTS = click.IntRange(2 * IN_A_ROW)


class Found(NamedTuple):
    """
    Attributes:
        with_ms, without_ms: of each request, with caches and without.
        hits, differs: shares of the requests that caches answered, and of those that were answered
            otherwise than without them.
    """

    with_ms: np.ndarray
    without_ms: np.ndarray
    hits: float
    differs: float

    @property
    def ratio(self) -> Ratio | None:
        """How many times quicker."""
        return of_turns(self.without_ms, self.with_ms, IN_A_ROW)

    def summary(self) -> dict[str, float]:
        """For programs: mean milliseconds, shares, and how many times quicker."""
        return {
            "requests": len(self.with_ms),
            "with_caches_ms": float(self.with_ms.mean()),
            "without_ms": float(self.without_ms.mean()),
            "times_quicker": float(self.without_ms.mean() / self.with_ms.mean()),
            "hits": self.hits,
            "differ": self.differs,
        }

    def __str__(self) -> str:
        return (
            f"{len(self.with_ms)} requests: {self.with_ms.mean():.1f} ms on average with caches, "
            f"{self.without_ms.mean():.1f} ms without: {self.ratio} times quicker. Caches answered "
            f"{self.hits:.1%}; {self.differs:.1%} of all answers differ from the base DNN's."
        )


@click.command()
@url_option
@data_option
@stream_option
@click.option("--requests", default=400, show_default=True, type=NEEDS_REQUESTS)
@seed_option
@click.option("--json", "as_json", is_flag=True, help="For programs, not for people.")
def demo(url: str, data: str, stream: str, requests: int, seed: int, as_json: bool) -> None:
    """Send requests with caches and without, in turn, and say how much quicker caches are.

    If no server answers, the shipped one is started, and ended afterwards.
    """
    from workload.run.stream import make_stream, open_for

    opened = open_for(data, None, click.echo)
    made = make_stream(opened, data, stream, requests, seed, None).stream
    with running(url) as stays:
        found = ask_in_turn(url, list(made.samples(opened.samples)))
    if as_json:
        click.echo(json.dumps(found.summary()))
        return
    click.echo(str(found))
    if stays:
        click.echo(f"what the server does can be seen at {url}/")


def ask_in_turn(url: str, samples: Sequence[Sample]) -> Found:
    """Each sample is asked about twice, a few in a row each way.

    Raises:
        ServerError: a request has failed.
    """
    send(url, samples[:IN_A_ROW], None)  # until all that they need is warm
    found: dict[bool, list] = {True: [], False: []}
    for start in tqdm(range(0, len(samples), IN_A_ROW), desc="demo", unit="turn"):
        for use_caches, parts in found.items():
            answers = send(url, samples[start : start + IN_A_ROW], None, protocol=raw(use_caches))
            if answers.errors:
                raise ServerError(f"{url} failed: {answers.errors.most_common(1)[0][0]}")
            parts.append(answers)
    exits = np.concatenate([part.exits for part in found[True]])
    labels = [np.concatenate([part.class_ids for part in parts]) for parts in found.values()]
    times = [np.concatenate([part.latency_ms for part in parts]) for parts in found.values()]
    hits, differs = np.mean(exits != "base"), np.mean(labels[0] != labels[1])
    return Found(times[0], times[1], float(hits), float(differs))


@contextmanager
def running(url: str) -> Iterator[bool]:
    """A server that is ready: that which answers, or one for the time of the block; whether it
    stays.

    Raises:
        StartError: it does not start.
    """
    if is_ready(url):
        yield True
        return
    click.echo(f"nobody answers at {url}: `gati serve` starts, which takes half a minute", err=True)
    with serving(url):
        yield False
