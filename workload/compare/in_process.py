"""The same work without any server: how near to it the serving comes.

- `in-process`: the whole base DNN, slice by slice;
- `in-process cascade`: the slices with the caches of the plan;
- `oracle`: leaves for nothing at the first of the plan's cut points whose predictor is right. It
  runs no slice of its own: its time is what the whole base DNN had taken up to there.

All count from the decoded picture to the answer.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from cache_models.bench.evaluation import Cascade
from cache_models.data.recording import as_tensor
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import cut
from cache_models.network.features import extract
from cache_models.network.layout import channels_last
from cache_models.network.threads import thread_counts, use_threads
from cache_models.store.versions import CacheVersion
from workload.client.client import Answers
from workload.compare.systems.whole import prepared


class InProcess:
    """Asks as `workload.compare.closed_loop.Ask` does.

    Args:
        threads: of PyTorch, of a thread of its own, as in a replica.
    """

    def __init__(self, base: BaseDNN, version: CacheVersion, device: torch.device, threads: int):
        self._thread = ThreadPoolExecutor(1, initializer=use_threads, initargs=(threads,))
        self._thread.submit(self._prepare, base, version, device).result()

    def _prepare(self, base: BaseDNN, version: CacheVersion, device: torch.device) -> None:
        plan = version.plan
        self._base, self._device = base, device
        self._slices = cut(base).fast_slices(plan.cut_points, device)
        self._caches = [version.load(i).to(device) for i in range(len(plan.caches))]
        self._exits = [*plan.cut_points, "base"]
        self._cascade = Cascade(base, version, str(device))
        self._use_caches = plan.promise.threshold is not None
        self._oracle: list[tuple[int, str, float]] = []

    def whole(self, picture: np.ndarray, _: bytes = b"") -> tuple[int, str, float]:
        return self._thread.submit(self._whole, picture).result()

    def cascade(self, picture: np.ndarray, _: bytes = b"") -> tuple[int, str, float]:
        return self._thread.submit(self._leave_early, picture).result()

    @torch.inference_mode()
    def _whole(self, picture: np.ndarray) -> tuple[int, str, float]:
        start = time.perf_counter()
        activation = channels_last(self._inputs(picture))
        self._wait()
        spent_s, crossed = [time.perf_counter() - start], []
        for part in self._slices:
            start = time.perf_counter()
            activation = part(activation)
            self._wait()
            spent_s.append(time.perf_counter() - start)
            crossed.append(activation)
        class_id = int(activation.argmax(1))
        said = [
            int(cache(extract(at))[0].argmax(1))
            for cache, at in zip(self._caches, crossed, strict=False)
        ]
        first = next((i for i, label in enumerate(said) if label == class_id), len(said))
        paid_ms = np.cumsum(spent_s)[1:] * 1e3
        self._oracle.append((class_id, self._exits[first], float(paid_ms[first])))
        return class_id, "base", float(paid_ms[-1])

    def _leave_early(self, picture: np.ndarray) -> tuple[int, str, float]:
        start = time.perf_counter()
        label, exit = self._cascade.answer(as_tensor(picture[None]), self._use_caches)
        return label, self._exits[exit], (time.perf_counter() - start) * 1e3

    def oracle(self) -> Answers:
        """Of all pictures that `whole` was asked about since the last call."""
        asked, self._oracle = self._oracle, []
        answers = Answers.none(len(asked))
        for i, (class_id, exit, ms) in enumerate(asked):
            answers.class_ids[i], answers.exits[i], answers.latency_ms[i] = class_id, exit, ms
        return answers

    def _inputs(self, picture: np.ndarray) -> torch.Tensor:
        return self._base.inputs(as_tensor(picture[None]).to(self._device))

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def best_threads(base: BaseDNN, device: torch.device, most: int, repetitions: int = 8) -> int:
    """The number of threads, of 1, 2, 4, … up to `most`, with which the whole base DNN takes the
    least median time for one input."""
    from cache_models.network.cost import median_ms

    module = prepared(base, device)
    inputs = channels_last(torch.zeros(1, *base.description.input_shape, device=device))
    before, took_ms = torch.get_num_threads(), {}
    with torch.inference_mode():
        for threads in thread_counts(most):
            torch.set_num_threads(threads)
            took_ms[threads] = median_ms(lambda: module(inputs), repetitions=repetitions)
    torch.set_num_threads(before)
    return min(took_ms, key=took_ms.get)
