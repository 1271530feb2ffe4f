"""The walk of a request through the stages: the only code that knows what a hit, a miss and the
next slice are.

1. A lookup at the input, if there is one, is asked about the request as it came.
2. Partition 0 runs its slice and hands out features and the activation.
3. The lookup behind it reads the features: rows that hit have their answer.
4. The rows that missed go on to the next partition; the last one gives the base DNN's answer.
   Where it pays, the next partition begins while the lookup is asked; a hit wastes its work.
5. Lookups that remember the request's stream are told what the base DNN answered, and never what a
   cache did; other requests of that stream that wait for the base DNN are looked up anew.

A lookup that fails or is late is a miss, never an error. Where an activation is there no more, the
request walks once more, and asks no lookup. Where a stage runs is its *place*'s business: in this
process, by Serve's handle, or at the other end of a socket. In service the walk is awaited; where
no place ever waits, `now.run_now` walks it without an event loop.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import numpy as np

from cache_models.cascade.place import Gone, Observer, Place, Speculation
from cache_models.cascade.request import (
    Answers,
    Control,
    OfStream,
    Trace,
    compute_ms_of,
    deadline,
    hear,
    place_of,
)
from cache_models.cascade.under_way import UnderWay, drop
from cache_models.network.stages import (
    BASE,
    Activation,
    Answer,
    LookUp,
    Remember,
    Remembered,
    Run,
    Stage,
    Verdict,
    rows_of,
)


class Cascade:
    """Walks requests through stages.

    Args:
        stages: as `Plan.stages` has them.
        classes: of the base DNN.
        place: where they run.
        control: to begin with.
        lookup_timeout_s: a lookup that takes longer is a miss; None waits for ever.
        speculation: by default none, lookup first and the next partition on a miss.
        under_way: by default a request that missed is not asked anew while it waits.

    Attributes:
        control: replaced as a whole; requests under way keep the one that they started with.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        classes: int,
        place: Place,
        control: Control,
        lookup_timeout_s: float | None = None,
        speculation: Speculation | None = None,
        under_way: UnderWay | None = None,
    ):
        self._stages, self._classes, self._place = tuple(stages), classes, place
        self.control = control
        self._lookup_timeout_s = lookup_timeout_s
        self._speculation, self._under_way = speculation, under_way
        self._lookups = [stage for stage in stages if stage.is_lookup]

    async def answer(
        self,
        batch: np.ndarray,
        resized: bool = False,
        use_caches: bool = True,
        observer: Observer | None = None,
        trace: Trace | None = None,
        timeout_s: float | None = None,
        stream: str = "",
        at: float = 0.0,
    ) -> Answers:
        """The answers for `batch`, which is what `Run` takes at the input.

        Args:
            use_caches: where they are on.
            observer: told of every hop.
            trace: to fill, of one of the rows.
            timeout_s: after which nobody wants the answers any more.
            stream, at: as of `LookUp`.
        """
        control, left_s, of_stream = self.control, deadline(timeout_s), OfStream(stream, at)
        use_caches = use_caches and control.on
        walk = batch, resized, control, observer, trace, left_s, of_stream
        try:
            return await self._walk(*walk, use_caches)
        except Gone:
            return await self._walk(*walk, use_caches=False)

    async def _walk(
        self,
        batch: np.ndarray,
        resized: bool,
        control: Control,
        observer: Observer | None,
        trace: Trace | None,
        left_s: Callable[[], float | None],
        of_stream: OfStream,
        use_caches: bool,
    ) -> Answers:
        if trace is not None:
            trace.begin(control)
        of_stream.vectors.clear()
        rows = np.arange(len(batch))
        answers = Answers.none(len(batch), self._classes, control.version)
        features, current = batch, batch  # a lookup at the input reads the request itself
        ahead: asyncio.Task[Activation | Answer] | None = None
        missed: np.ndarray | None = None
        again: Callable[[], Awaitable[Verdict | None]] | None = None

        for i, stage in enumerate(self._stages):
            if not stage.is_lookup:
                running = ahead or self._run(stage, current, resized, observer, left_s())
                if again is None or self._under_way is None:
                    out = await running
                else:
                    out = await self._under_way.unless_known(running, of_stream, again)
                if isinstance(out, Verdict):  # of the lookup before, which knows more by now
                    hear(trace, rows, out)
                    answers.put(rows, out.class_ids, out.probabilities, stage.start)
                    break
                if ahead is not None and missed is not None:  # begun on all that it was asked about
                    out = rows_of(out, missed)
                ahead = again = None
                if isinstance(out, Answer):
                    answers.put(rows, out.class_ids, out.probabilities, BASE)
                    self._remember(of_stream, control, rows, out.class_ids)
                    if trace is not None and trace.whole:
                        trace.remembered()
                    break
                features, current = out.features, out.activation
                continue
            missed = again = None
            if trace is not None and (traced := place_of(trace, rows)) is not None:
                trace.passed(traced, features, i + 1, current)
            if not use_caches:
                continue
            if self._speculation is not None and self._speculation.begins_early(stage):
                after = self._run(self._stages[i + 1], current, resized, observer, left_s())
                ahead = asyncio.create_task(after)
            try:
                verdict = await self._look_up(
                    stage, features, control, resized, of_stream, observer, left_s()
                )
            except asyncio.CancelledError:
                drop(ahead)
                raise
            if verdict is None:
                continue
            hear(trace, rows, verdict)
            if verdict.vectors is not None:
                of_stream.vectors.append((stage, rows, verdict.vectors))
                asked = features[~verdict.hits] if verdict.hits.any() else features
                anew = stage, asked, control, resized, of_stream, observer
                again = partial(self._look_up, *anew, again=True)
            if not verdict.hits.any():
                continue
            said = verdict.class_ids[verdict.hits], verdict.probabilities[verdict.hits]
            answers.put(rows[verdict.hits], *said, stage.start)
            missed = ~verdict.hits
            rows = rows[missed]
            if not len(rows):
                drop(ahead)
                break
            if ahead is None:
                current = current[missed]
        return answers

    async def finish(self, trace: Trace) -> Answer:
        """Run a traced row on to the end, in the background, whose answer is the base DNN's;
        completes the trace."""
        current = trace.activation
        for stage in self._stages[trace.reached :]:
            if stage.is_lookup:
                continue
            out = await self._run(stage, current, trace.resized, background=True)
            trace.compute_ms += compute_ms_of(out)
            if isinstance(out, Answer):
                return out
            trace.came_by(out.features)
            current = out.activation
        raise AssertionError("the last partition answers")

    async def judge(self, trace: Trace) -> None:
        """Ask the lookups that have not said what they think of a traced row that is known up to
        the base DNN's end; what still is not known then, they could not say."""
        assert trace.control is not None, "it has been answered"
        of_stream = OfStream(trace.stream, trace.at)
        for i, (stage, asked) in enumerate(zip(self._lookups, trace.asked, strict=True)):
            if trace.said[i] is not None:
                continue
            verdict = await self._look_up(
                stage, asked, trace.control, trace.resized, of_stream, again=True
            )
            if verdict is not None:
                trace.compute_ms += compute_ms_of(verdict)
                trace.tells(i, 0, verdict)

    def remember(self, trace: Trace, class_id: int) -> None:
        """Have the lookups remember what the base DNN answered to a traced row, those that have not
        been told: a cache had answered it, or caches were only judged."""
        assert trace.control is not None, "it has been answered"
        of_stream = OfStream(trace.stream, trace.at)
        row = np.zeros(1, int)
        for stage, vectors in zip(self._lookups, trace.vectors, strict=True):
            if vectors is not None:
                of_stream.vectors.append((stage, row, vectors))
        self._remember(of_stream, trace.control, row, np.array([class_id]))
        trace.remembered()

    def _remember(
        self, of: OfStream, control: Control, rows: np.ndarray, class_ids: np.ndarray
    ) -> None:
        """
        Args:
            rows: that the base DNN answered, ascending.
            class_ids: its answers to them.
        """
        for stage, asked, vectors in of.vectors:
            batch = vectors[np.isin(asked, rows)]
            message = Remember(batch, class_ids, control.version, of.stream, of.at)
            self._place.tell(stage, message)
        if of.vectors and self._under_way is not None:
            self._under_way.learned(of.stream, of.at)

    async def _run(
        self,
        stage: Stage,
        batch: np.ndarray | None,
        resized: bool,
        observer: Observer | None = None,
        timeout_s: float | None = None,
        background: bool = False,
    ) -> Activation | Answer:
        assert batch is not None
        begin = time.perf_counter()
        message = Run(batch, resized and stage.at_input, background)
        out = await self._place.ask(stage, message, timeout_s)
        assert not isinstance(out, Verdict | Remembered)
        if observer is not None:
            observer.hop(stage.name, begin, out, len(batch))
        if self._speculation is not None and not background:
            self._speculation.ran(stage, (time.perf_counter() - begin) * 1e3)
        return out

    async def _look_up(
        self,
        stage: Stage,
        asked: np.ndarray,
        control: Control,
        resized: bool,
        of: OfStream,
        observer: Observer | None = None,
        timeout_s: float | None = None,
        again: bool = False,
    ) -> Verdict | None:
        """What the lookup says, or None where it fails or is late.

        Args:
            again: whether it has been asked before, or the base DNN has answered already: its hits
                say nothing of what others gain.
        """
        at_input = resized and stage.at_input
        known = (of.stream, of.at) if of.stream and stage.remembers else ()
        message = LookUp(asked, control.version, control.threshold, at_input, *known)
        limits_s = [s for s in (self._lookup_timeout_s, timeout_s) if s is not None]
        begin, verdict = time.perf_counter(), None
        try:
            reply = await self._place.ask(stage, message, min(limits_s, default=None))
            verdict = reply if isinstance(reply, Verdict) else None
        except Exception:  # the place has counted it, and leaves alone what keeps failing
            verdict = None
        if observer is not None:
            observer.hop(stage.name, begin, verdict, len(asked))
        if verdict is not None and not again and self._speculation is not None:
            ms = (time.perf_counter() - begin) * 1e3
            self._speculation.looked_up(stage, int(verdict.hits.sum()), len(asked), ms)
        return verdict
