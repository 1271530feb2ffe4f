"""The same work without any server: how near to it the serving comes.

- `in-process`: the whole base DNN, slice by slice;
- `in-process cascade`: the slices with the caches of the plan;
- `oracle`: leaves for nothing at the first of the plan's cut points whose predictor is right. It
  runs no slice of its own: its time is what the whole base DNN had taken up to there.

All count from the decoded picture, or other input, to the answer.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from cache_models.bench.in_process import InProcess
from cache_models.cascade import Trace
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cost import median_ms
from cache_models.network.stages import BASE, INPUT, Reply, Stage
from cache_models.network.threads import thread_counts
from cache_models.store.version import CacheVersion
from cache_models.store.versions import Store
from workload.client.answers import Answers
from workload.client.protocols import Body
from workload.compare.closed_loop import Prediction
from workload.compare.systems.whole import whole_engine


class InProcessContenders:
    """What is asked without a server, each a `workload.compare.closed_loop.Contender`.

    Args:
        threads: of slices within one operation.
    """

    def __init__(self, base: BaseDNN, version: CacheVersion, device: str, threads: int):
        self._thread = ThreadPoolExecutor(1)  # an engine is made and asked in one
        self._place = self._thread.submit(InProcess, base, version, device, threads).result()
        self._lookups = [stage for stage in self._place.stages if stage.is_lookup]
        self._oracle: list[Prediction] = []

    def whole(self, given: np.ndarray, _: Body | None = None) -> Prediction:
        """The base DNN's answer; also notes what the oracle's would have been."""
        return self._thread.submit(self._whole, given).result()

    def cascade(self, given: np.ndarray, _: Body | None = None) -> Prediction:
        """With the plan's caches."""
        return self._thread.submit(self._cascade, given).result()

    def oracle(self) -> Answers:
        """Of all samples that `whole` was asked about since the last call."""
        asked, self._oracle = self._oracle, []
        answers = Answers.none(len(asked))
        for i, (class_id, exit, ms) in enumerate(asked):
            answers.class_ids[i], answers.exits[i], answers.latency_ms[i] = class_id, exit, ms
        return answers

    def _whole(self, given: np.ndarray) -> Prediction:
        trace, paid = Trace(resized=False), _Paid(self._place.stages)
        answers = self._place.answer(given[None], use_caches=False, observer=paid, trace=trace)
        class_id, exit = int(answers.class_ids[0]), BASE
        for lookup, asked in zip(self._lookups, trace.asked, strict=True):
            if self._place.lookups[lookup.name](asked).class_ids[0] == class_id:
                exit = lookup.start
                break
        self._oracle.append(Prediction(class_id, exit, paid.ms[exit]))
        return Prediction(class_id, BASE, paid.ms[BASE])

    def _cascade(self, given: np.ndarray) -> Prediction:
        start = time.perf_counter()
        answers = self._place.answer(given[None])
        ms = (time.perf_counter() - start) * 1e3
        return Prediction(int(answers.class_ids[0]), answers.exits[0], ms)


class _Paid:
    """Milliseconds that a request had taken when it reached each cut point, and at the end."""

    def __init__(self, stages: Sequence[Stage]):
        self._ends = {stage.name: stage.end or BASE for stage in stages if not stage.is_lookup}
        self._total_ms = 0.0
        self.ms = {INPUT: 0.0}

    def hop(self, name: str, begin: float, reply: Reply | None, rows: int) -> None:
        self._total_ms += (time.perf_counter() - begin) * 1e3
        self.ms[self._ends[name]] = self._total_ms


def best_threads(whole: Path, device: str, most: int, repetitions: int = 8) -> int:
    """The number of threads, of 1, 2, 4, … up to `most`, with which the whole base DNN takes the
    least median time for one input.

    Args:
        whole: a store of it without caches.
    """
    shape = Store(whole).current().plan.description.input_shape
    inputs, took_ms = np.zeros((1, *shape), np.float32), dict[int, float]()
    for threads in thread_counts(most):
        engine = whole_engine(whole, device, threads)
        took_ms[threads] = median_ms(partial(engine, inputs), repetitions)
    return min(took_ms, key=lambda threads: took_ms[threads])
