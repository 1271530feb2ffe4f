"""Early exits as Apparate serves them (Dai et al. 2024, arXiv 2312.05385), in one deployment: the
plan's predictors, each with a threshold of its own, which follow the traffic.

Answers leave early, requests do not. When the answer has left, the rest of the base DNN is computed
all the same, and every predictor that was not asked is asked, so that of every request it is known
how right each exit would have been. Latency is counted until the answer leaves; the machine pays
for the whole base DNN and all predictors, whatever leaves where.

As of this project's own sampled requests, the rest is computed by one thread that runs where
requests leave a core idle. Nothing is dropped: where `MOST_BEHIND` requests are still under way,
the next one waits for the first of them, so that no more are answered than the base DNN can follow.

Left out is what Apparate does beside tuning thresholds: it takes exits away and adds others. Here
they stay where the plan has them, and one that never answers is asked, too.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from cache_models.bench.apparate import Tuner
from cache_models.cache.lookup import CacheLookup
from cache_models.cascade import Cascade, Control, Trace, run_now
from cache_models.cascade.here import Here, lookups_of
from cache_models.network.slice import Slice
from cache_models.network.stages import Message, Reply, Stage, Verdict
from cache_models.network.threads import lowest_priority
from cache_models.store.graphs import partition_slice
from cache_models.store.versions import Store
from workload.compare.systems.whole import WARM_UP, decode, reply
from workload.run.compute import compute_ms_by_exit

SAID = "said.npz"
"""In the store, what its predictors said of samples: `labels` and `errors`, `(E, N)`, and the base
DNN's `answers`, `(N,)`."""
MOST_BEHIND = 32


class Exits(Here):
    """Lookups that hit where the error, which is one minus the largest probability, is below the
    tuner's limit; no selector is asked."""

    def __init__(
        self, slices: dict[str, Slice], lookups: dict[str, CacheLookup], tuner: Tuner
    ) -> None:
        super().__init__(slices, lookups)
        self._tuner = tuner
        parts: list[Slice | CacheLookup] = [*slices.values(), *lookups.values()]
        for part in parts:
            for _ in range(WARM_UP):
                part(part.zeros(1))

    async def ask(self, stage: Stage, message: Message, timeout_s: float | None = None) -> Reply:
        said = await super().ask(stage, message)
        if not isinstance(said, Verdict):
            return said
        sure = said.probabilities.max(1)
        hits = 1 - sure < self._tuner.limits[stage.index]
        return said._replace(hits=hits, confidences=sure)


class Apparate:
    """
    Args:
        store: as `stores.exits_store` makes it, with graphs.
        device, threads: as of `Whole`.
    """

    def __init__(self, store: Path, device: str, threads: int):
        version = Store(store).current()
        plan = version.plan
        self.description, stages = plan.description, plan.stages()
        costs = np.array(list(compute_ms_by_exit(plan.model_dump()).values()))
        with np.load(store / SAID) as said:
            self._tuner = Tuner(
                **said, costs=costs, max_disagreement=plan.promise.limits.max_disagreement
            )
        slices = {
            stage.name: partition_slice(store, plan, stage, "auto", threads, device, "float32")
            for stage in stages
            if not stage.is_lookup
        }
        behind = {name: one.in_background() for name, one in slices.items()}
        self._front, self._behind = (
            Cascade(
                stages,
                len(self.description.classes),
                Exits(computed, lookups_of(version), self._tuner),
                Control(version.number),
            )
            for computed in (slices, behind)
        )
        # a GPU has one engine for both, and computes for one request after the other
        self._turn = nullcontext() if device == "cpu" else Lock()
        self._thread = ThreadPoolExecutor(1, initializer=lowest_priority)
        self._under_way = deque[Future[None]]()

    def answer(self, body: bytes, stream: str = "") -> dict[str, Any]:
        """Arguments as of `Whole.answer`; of streams nothing is remembered."""
        given = decode(body, self.description)
        if len(self._under_way) == MOST_BEHIND:
            self._under_way.popleft().result()
        trace = Trace(resized=False)
        with self._turn:
            answers = run_now(self._front.answer(given, trace=trace))
        class_id = int(answers.class_ids[0])
        self._under_way.append(self._thread.submit(self._run_on, trace, class_id))
        return reply(self.description, class_id, answers.probabilities, answers.exits[0])

    def _run_on(self, trace: Trace, given: int) -> None:
        """To the base DNN's end, of a request that was answered `given`."""
        with self._turn:
            answer = given
            if not trace.whole:
                answer = int(run_now(self._behind.finish(trace)).class_ids[0])
            run_now(self._behind.judge(trace))
        said = [one for one in trace.said if one is not None]
        assert len(said) == len(trace.said), "in one process no lookup is lost"
        labels = np.array([one.class_id for one in said])
        errors = np.array([1 - one.confidence for one in said])
        self._tuner.hear(labels, errors, given, answer)
