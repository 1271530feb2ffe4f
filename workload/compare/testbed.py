"""The testbed: the systems that are compared, the samples that they are asked about, and the base
DNN whose answers are the truth."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import click
import numpy as np

from cache_models.errors import DataError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.stages import BASE
from cache_models.store.plan import Plan
from workload.client.truth import base_answers
from workload.compare.closed_loop import Contender
from workload.compare.in_process import InProcessContenders
from workload.compare.systems.catalogue import CASCADE, ORACLE, SYSTEMS, WHOLE
from workload.run.compute import compute_ms_by_exit
from workload.run.stream import open_for
from workload.samples import Sample, is_picture
from workload.traffic.data import Data

REFERENCE = "plain"
BEGINS_S = 0.02
"""After an answer, until a router takes itself for idle."""
SAMPLED = 0.3
"""Of a turn's requests, so many may have been sampled: 10 % are on average."""


@dataclass(frozen=True)
class Testbed:
    """
    Attributes:
        base: whose answers are the truth.
        data: what is asked about; labels, where they are known, are as the base DNN counts them.
        urls: of the systems that are served.
        contenders: those, and what is asked without a server.
        in_process: what is asked without a server, if it is.
    """

    __test__ = False  # pytest takes it for a test otherwise

    base: BaseDNN
    data: Data
    plan: Plan
    urls: dict[str, str]
    contenders: dict[str, Contender]
    in_process: InProcessContenders | None

    @property
    def reference(self) -> str:
        """The system that all others are compared with."""
        return REFERENCE if REFERENCE in self.urls else next(iter(self.urls))

    def pauses_s(self, requests_per_turn: int) -> dict[str, float]:
        """For `round_robin`: sampled requests begin when nobody has asked for a while, and take as
        long as the whole base DNN and its hops, one after the other. Where all are run on, so do
        all."""
        each_s = 1.5 * self.plan.expected.base_latency_ms / 1e3
        sampled = max(1, round(SAMPLED * requests_per_turn))
        return {
            name: BEGINS_S + each_s * (requests_per_turn if SYSTEMS[name].runs_on else sampled)
            for name in self.urls
            if SYSTEMS[name].late_binding or SYSTEMS[name].runs_on
        }

    @property
    def compute_ms(self) -> dict[str, dict[str, float]]:
        """By contender and exit, as the plan measured slices and lookups."""
        plan = self.plan.model_dump()
        with_lookups = compute_ms_by_exit(plan)
        whole = {BASE: self.plan.expected.base_compute_ms}
        to_the_end = dict.fromkeys(with_lookups, with_lookups[BASE])
        return {
            **{name: with_lookups for name in self.urls if SYSTEMS[name].late_binding},
            **{name: to_the_end for name in self.urls if SYSTEMS[name].runs_on},
            **dict.fromkeys(("plain", "eager", "litserve", "mosec", WHOLE), whole),
            CASCADE: with_lookups,
            ORACLE: compute_ms_by_exit(plan, lookups=False),
        }

    def truth(self, samples: Iterable[Sample]) -> np.ndarray:
        """The base DNN's labels, `(n,)`, from disk where they are known."""
        return base_answers(self.base, samples)


def labelled(name: str, base: BaseDNN) -> Data:
    """Pictures, sounds or texts, and their labels where they are known as the base DNN counts them.

    Raises:
        DataError: `name` names none, or tensors.
    """
    data = open_for(name, base, partial(click.echo, err=True))
    first = data.samples[0]
    if isinstance(first, np.ndarray) and not is_picture(first):
        raise DataError(f"--data {name!r} holds tensors; systems are compared on pictures")
    return replace(data, labels=data.true_labels(base.description.classes), classes=None)
