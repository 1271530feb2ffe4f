"""Compare learned caches with other caches, offline: the contenders, each learned, tuned and asked
as the contest has it.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from cache_models.bench.apparate import leave, tuned
from cache_models.bench.baselines import (
    ConfidenceExit,
    Measure,
    SmallCNN,
    neighbour_caches,
    small_cnn,
)
from cache_models.bench.contest import Candidate, Contest, asked_ms, flops_of
from cache_models.bench.quantized import CALIBRATES, labels_of, one_ms, quantized
from cache_models.bench.reuse import Kind
from cache_models.bench.reusing import NAMES, reused
from cache_models.bench.rows import Row
from cache_models.build.measurement import Explored
from cache_models.build.pricing import compute_ms_by_exit
from cache_models.cache.asking import ask
from cache_models.data.samples import Samples
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cost import module_bytes
from cache_models.network.recorded import rows_in_batches
from cache_models.network.stages import BASE
from cache_models.promise.promise import cascade

CNN_WIDTHS = (8, 16, 32)


def compare(
    contest: Contest,
    explored: Sequence[Explored],
    base: BaseDNN,
    samples: Samples,
    tests: Samples,
) -> list[Row]:
    """The table, whole.

    Args:
        explored: every variant at every cut point.
        samples, tests: as they were given; a model cascade and a perceptual hash need pictures, a
            difference detector needs streams.
    """
    images, test_images = samples.images, tests.images
    steps: dict[str, Callable[[], Row]] = {
        "base DNN": contest.base,
        "oracle": lambda: oracle(contest, explored),
        "learned caches": lambda: learned(contest, explored),
        "entropy exits": lambda: exits(contest, explored, "entropy"),
        "probability exits": lambda: exits(contest, explored, "probability"),
        "entropy exits, everywhere": lambda: exits_everywhere(contest, explored, "entropy"),
        "probability exits, everywhere": lambda: exits_everywhere(contest, explored, "probability"),
        "Apparate's tuner": lambda: apparate(contest, explored),
        "nearest neighbours": lambda: neighbours(contest),
        "int8": lambda: in_int8(contest, base, images, test_images),
    }
    kinds: list[Kind] = ["exact"]
    if images.dtype == np.uint8:
        steps["model cascade"] = lambda: model_cascade(contest, images, test_images)
        kinds.append("hash")
    if samples.streams is not None and tests.streams is not None:
        kinds.append("difference")
    for kind in kinds:
        steps[NAMES[kind]] = partial(reused, contest, kind, samples, tests)
    rows = []
    with tqdm(steps.items(), desc="compare", unit="contender") as bar:
        for name, step in bar:
            bar.set_postfix_str(name)
            rows.append(step())
    return rows


def oracle(contest: Contest, explored: Sequence[Explored]) -> Row:
    """Leaves, for nothing, at the first cut point where any predictor is right."""
    points, answers = contest.points, contest.test.answers
    exits = np.full(len(answers), len(points))
    for e in explored:
        place = points.index(e.outcome.cut_point)
        labels, _ = contest.asked(e.cache, e.outcome.cut_point.name)
        right = labels == answers
        exits[right] = np.minimum(exits[right], place)
    names = [p.name for p in points]
    compute_ms = compute_ms_by_exit(
        [p.compute_share for p in points], [0.0] * len(points), contest.pricing.base_ms
    )
    flops = np.array([*(contest.flops[name] for name in names), contest.base_flops])
    return contest.row("oracle", [*names, BASE], exits, answers, compute_ms, compute_ms, flops)


def learned(contest: Contest, explored: Sequence[Explored]) -> Row:
    """Predictors trusted by selectors, as they would be published."""
    candidates = [
        Candidate(e.cache.variant.name, e.outcome, e.cache, flops_of(e.cache, _shape(contest, e)))
        for e in explored
    ]
    return contest.composed("learned caches", candidates)


def exits(contest: Contest, explored: Sequence[Explored], measure: Measure) -> Row:
    """The same predictors, trusted by their confidence, placed by the same composition."""
    return contest.composed(f"{measure} exits, composed", _exits(contest, explored, measure))


def exits_everywhere(contest: Contest, explored: Sequence[Explored], measure: Measure) -> Row:
    """An exit at every candidate cut point, as published: its most agreeing predictor there."""
    best = _most_agreeing(contest, explored)
    return contest.calibrated(f"{measure} exits, everywhere", _exits(contest, best, measure))


def apparate(contest: Contest, explored: Sequence[Explored]) -> Row:
    """An exit at every candidate, each with a threshold of its own, tuned by hill climbing; those
    that cost more than they save are taken away."""
    chosen = _exits(contest, _most_agreeing(contest, explored), "probability")
    rows = contest.data.calibrate
    most, answers = contest.limits.max_disagreement, contest.answers[rows]
    said = [ask(c.cache, contest.data.recording.features[c.at], rows)[:2] for c in chosen]
    while True:
        labels, errors = [s[0] for s in said], [1 - s[1] for s in said]
        costs = contest.costs_of(chosen).compute_ms
        limits = tuned(labels, errors, answers, costs, most)
        exits, _ = leave(labels, errors, limits)
        saved = [
            (exits == i).sum() * (costs[-1] - costs[i]) - (exits >= i).sum() * c.outcome.lookup_ms
            for i, c in enumerate(chosen)
        ]
        if min(saved, default=0) >= 0:
            break
        worst = int(np.argmin(saved))
        del chosen[worst], said[worst]
    if not chosen:
        return contest.off("Apparate's tuner")
    asked = [contest.asked(c.cache, c.at) for c in chosen]
    exits, given = leave([s[0] for s in asked], [1 - s[1] for s in asked], limits)
    return contest.answered("Apparate's tuner", chosen, exits, given)


def in_int8(contest: Contest, base: BaseDNN, images: np.ndarray, test_images: np.ndarray) -> Row:
    """The base DNN quantized: every answer is its own, and may be wrong."""
    threads = torch.get_num_threads()
    with quantized(base, images[contest.data.train[:CALIBRATES]], threads) as engine:
        ms, labels = one_ms(engine, base, test_images), labels_of(engine, base, test_images)
    hop_ms = contest.pricing.rest_ms(None) - contest.pricing.base_ms
    return contest.row(
        "base DNN in int8",
        ["int8"],
        np.zeros(len(labels), int),
        labels,
        np.array([ms + hop_ms]),
        np.array([ms]),
        np.array([contest.base_flops]),
    )


def neighbours(contest: Contest) -> Row:
    """Samples of training nearby, placed by the same composition."""
    candidates, data = [], contest.data
    for point in tqdm(contest.points, desc="neighbours", unit="cut point", leave=False):
        for cache in neighbour_caches(
            data.recording.features[point.name],
            contest.answers,
            data.train,
            data.select,
            len(contest.classes),
            contest.false_hit_cost,
        ):
            kind = f"{cache.k} of {cache.samples}"
            candidates.append(
                contest.candidate(cache, kind, point, cache.memory_bytes, cache.flops)
            )
    return contest.composed("nearest neighbours", candidates)


def model_cascade(contest: Contest, images: np.ndarray, test_images: np.ndarray) -> Row:
    """A small distilled CNN before the whole base DNN, in one deployment: a single hop."""
    asked_first = images[:1].transpose(0, 3, 1, 2)
    images, test_images = _small(images), _small(test_images)
    data, base_ms = contest.data, contest.pricing.base_ms
    best = None
    for width in CNN_WIDTHS:
        cnn = small_cnn(
            images,
            data.recording.probabilities,
            data.train,
            data.select,
            width,
            contest.false_hit_cost,
        )
        lookup_ms = asked_ms(cnn, asked_first)
        labels, confidences, _ = ask(cnn, images, data.select)
        threshold = contest.promise([(labels, confidences)], data.select).threshold
        if threshold is None:
            continue
        expected_ms = lookup_ms + float((confidences < threshold).mean()) * base_ms
        if best is None or expected_ms < best[0]:
            best = (expected_ms, width, cnn, lookup_ms)
    if best is None:
        return contest.off("model cascade")
    _, width, cnn, lookup_ms = best
    said = ask(cnn, images, data.calibrate)[:2]
    threshold = contest.promise([said], data.calibrate).threshold
    labels, confidences, _ = ask(cnn, test_images, np.arange(len(test_images)))
    hit_from = np.inf if threshold is None else threshold
    exits, labels = cascade([labels], [confidences], hit_from)
    compute_ms = np.array([lookup_ms, lookup_ms + base_ms])
    hop_ms = contest.pricing.rest_ms(None) - base_ms
    flops = flops_of(cnn, asked_first.shape[1:])
    return contest.row(
        "model cascade",
        [f"CNN-{width}", BASE],
        exits,
        labels,
        compute_ms + hop_ms,
        compute_ms,
        np.array([flops, flops + contest.base_flops]),
        module_bytes(cnn),
        lookup_ms,
    )


def _most_agreeing(contest: Contest, explored: Sequence[Explored]) -> list[Explored]:
    """The best predictor of each candidate."""
    return [
        max(
            (e for e in explored if e.outcome.cut_point is point),
            key=lambda e: e.record.agreement,
        )
        for point in contest.points
        if any(e.outcome.cut_point is point for e in explored)
    ]


def _exits(contest: Contest, explored: Sequence[Explored], measure: Measure) -> list[Candidate]:
    made = []
    for e in explored:
        exit = ConfidenceExit(e.cache.predictor, measure).eval()
        flops, kind = flops_of(exit, _shape(contest, e)), e.cache.variant.name
        made.append(contest.candidate(exit, kind, e.outcome.cut_point, module_bytes(exit), flops))
    return made


def _shape(contest: Contest, explored: Explored) -> tuple[int, ...]:
    return contest.data.recording.features[explored.outcome.cut_point.name].shape[1:]


def _small(images: np.ndarray) -> np.ndarray:
    """`(N, h, w, C)` → `(N, C, h', w')`, as small as a model cascade's CNN looks at them: made so
    once, not in each epoch."""
    planes = (
        batch.permute(0, 3, 1, 2) for batch in rows_in_batches(images, np.arange(len(images)))
    )
    return torch.cat([SmallCNN.shrunk(batch) for batch in planes]).numpy()
