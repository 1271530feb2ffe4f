"""What the recent past of a stream is worth, learned from sequences and asked as served."""

import numpy as np
import pytest
import torch

from cache_models.cache.closed_loop import Heard, walk
from cache_models.cache.learned_cache import LearnedCache, load_cache, save_cache
from cache_models.cache.novelty import fit_gate
from cache_models.cache.recall import (
    ENTRIES,
    SHARED_ENTRIES,
    Entries,
    Gallery,
    Recall,
    terms,
)
from cache_models.cache.recall_training import fit_recall
from cache_models.cache.stream_memory import StreamLimits, StreamMemory
from cache_models.cache.training import scores_of, train_cache
from cache_models.cache.variant import Variant
from cache_models.promise.promise import PATH
from tests.streams import CLASSES, VALUES, stays


@pytest.fixture(scope="module")
def learned():
    """A cache with a memory, and what it was not learned on."""
    features, answers, streams, at = stays(9_000)
    probabilities = np.full((len(answers), CLASSES), 0.02, np.float32)
    probabilities[np.arange(len(answers)), answers] = 0.94
    train, select, show = np.split(np.arange(len(answers)), [4_000, 6_500])
    gate = fit_gate(features, probabilities, train, select)
    variant = Variant(family="fc", size=32)
    cache = train_cache(variant, features, probabilities, train, select, gate=gate)
    cache.recall = fit_recall(cache, features, answers, streams, at, train, select)
    assert cache.recall is not None
    return cache, features[show], answers[show], streams[show], at[show]


def heard(cache: LearnedCache, features) -> Heard:
    rows = np.arange(len(features))
    with torch.inference_mode():
        given = torch.from_numpy(features)
        confidences, vectors = (part.numpy() for part in cache(given)[1:])
    log_p = scores_of(cache.predictor, features, rows).log_softmax(1).numpy()
    return Heard(log_p, confidences, vectors, cache.recall.recall())


def most_hits(hits, wrong, limit):
    """The largest share of hits at which no more than `limit` of all answers are wrong."""
    return max((h for h, w in zip(hits, wrong, strict=True) if w <= limit), default=0.0)


def test_a_memory_hits_several_times_as_often_for_the_same_disagreement(learned):
    cache, features, answers, streams, at = learned
    said = heard(cache, features)
    walked = walk([said], answers, streams, at, PATH)
    hit = walked.confidences[0] >= PATH[:, None]
    wrong = hit & (walked.labels[0] != answers)
    alone = said.confidences >= PATH[:, None]
    wrong_alone = alone & (said.log_p.argmax(1) != answers)
    with_memory = most_hits(hit.mean(1), wrong.mean(1), 0.02)
    without = most_hits(alone.mean(1), wrong_alone.mean(1), 0.02)
    assert with_memory > max(0.4, 2 * without)


def test_confidence_is_about_the_share_of_agreement(learned):
    cache, features, answers, streams, at = learned
    walked = walk([heard(cache, features)], answers, streams, at, np.array([0.8, 0.9, 0.97]))
    sure, right = walked.confidences[0].ravel(), (walked.labels[0] == answers).ravel()
    for low, high in ((0.4, 0.8), (0.8, 0.97), (0.97, 1.0)):
        part = (sure >= low) & (sure < high)
        assert part.sum() > 50
        assert abs(sure[part].mean() - right[part].mean()) < 0.12


def test_only_answers_of_the_base_dnn_are_remembered(learned):
    """Where everything hits, entries grow old, and nothing is learned from the hits."""
    cache, features, answers, streams, at = learned
    none = walk([heard(cache, features)], answers, streams, at, np.array([0.0]))
    hits = none.confidences[0][0] > 0
    firsts = [np.flatnonzero(streams == s)[0] for s in np.unique(streams)]
    assert hits.mean() > 0.9
    wrong = (none.labels[0][0] != answers)[hits].mean()
    fresh = walk([heard(cache, features)], answers, streams, at, np.array([1.1]))
    assert (fresh.labels[0][0] != answers).mean() < wrong / 2
    assert len(firsts) == 6
    run_on = np.ones(len(answers), bool)  # hits whose true answers come later are remembered, too
    told = walk([heard(cache, features)], answers, streams, at, np.array([0.0, 1.1]), run_on=run_on)
    assert (told.labels[0] == fresh.labels[0]).all()


def test_streams_with_hardly_any_past_have_no_memory(learned):
    cache, features, answers, _, at = learned
    own = np.arange(len(answers))
    parts = own[:1000], own[1000:]
    assert fit_recall(cache, features, answers, own, at, *parts) is None


def test_it_is_kept_and_loaded_and_makes_of_the_same_entries_the_same(learned, tmp_path):
    cache, features, *_ = learned
    save_cache(cache, tmp_path / "c.safetensors")
    loaded = load_cache(tmp_path / "c.safetensors", cache.variant, (VALUES,), CLASSES)
    given = torch.from_numpy(features[:5])
    for mine, theirs in zip(cache(given), loaded(given), strict=True):
        assert torch.equal(mine, theirs)
    assert loaded.recall is not None
    for name, value in cache.recall.state_dict().items():
        assert torch.equal(value, loaded.recall.state_dict()[name])


def recall(**more) -> Recall:
    size = terms(np.zeros((1, 13))).shape[1]
    zeros = np.zeros(size)
    known = {"trust": 1.0, "weight": 20.0, "nearness": 1.0, "staleness": 0.1, "bias": 0.0}
    return Recall(**(known | {"mean": zeros, "scale": zeros + 1, "linear": zeros} | more))


def test_the_nearer_and_the_fresher_entry_decides():
    entries = Entries.none(1, 2)
    first = np.zeros(1, int)
    entries.put(first, np.array([0.0, 0.0]), 1, at=1.0)
    entries.put(first, np.array([3.0, 0.0]), 2, at=2.0)
    flat = np.log(np.full(3, 1 / 3))

    def answer(x, now=3.0, **more):
        said = recall(**more).recalled(flat, np.array([x, 0.0]), entries, now)
        return int(said.log_q.argmax())

    assert (answer(0.1), answer(2.9)) == (1, 2)
    assert answer(1.5) == 2  # both as near: the fresher
    assert answer(0.1, now=1.5) == 1  # the other has not come yet
    assert not recall().recalled(flat, np.zeros(2), entries, 1.0).any[0]


def test_what_is_as_good_as_an_entry_is_not_novel():
    entries = Entries.none(1, 2)
    entries.put(np.zeros(1, int), np.array([1.0, 0.0]), 1, at=1.0)
    flat = np.log(np.full(3, 1 / 3))
    mine = recall(near=0.01)
    for x, familiar, may in ((1.0, False, True), (1.05, False, True), (1.2, False, False)):
        said = mine.recalled(flat, np.array([x, 0.0]), entries, 2.0)
        assert mine.may_say(said, familiar).tolist() == [may]
        assert mine.may_say(said, True).tolist() == [True]
        assert not recall().may_say(said, False)[0]
    assert not mine.may_say(mine.recalled(flat, np.zeros(2), Entries.none(1, 2), 2.0), True)[0]


def test_a_memory_is_bounded_and_forgets_those_not_seen_for_longest():
    now = [0.0]
    memory = StreamMemory(2, StreamLimits(max_streams=2, ttl_s=10), clock=lambda: now[0])
    for name in "abc":
        memory.put(name, np.ones((1, 2)), np.ones(1, int), at=1.0)
    assert len(memory) == 2 and memory.entries("a") is None and memory.entries("b") is not None
    memory.put("d", np.ones((1, 2)), np.ones(1, int), at=1.0)
    assert memory.entries("c") is None  # b was seen since
    for i in range(20):
        memory.put("b", np.full((1, 2), i), np.array([i]), at=float(i))
    assert sorted(memory.entries("b").class_ids[0]) == list(range(20 - ENTRIES, 20))
    now[0] = 11.0
    assert memory.entries("b") is None and len(memory) == 0
    many = StreamMemory(2, StreamLimits(), kept=50)
    for i in range(30):
        many.put("all", np.full((1, 2), i), np.array([i]), at=float(i))
    near = many.entries("all").near(np.full(2, 3.0))
    assert near.class_ids[0, 0] == 3 and many.bytes == 50 * (4 * 2 + 16)


def comes_again(samples, items=400, seed=0):
    """Requests for things that come again, little altered, the r-th with a share as 1 / r, and of
    which a single one says little of its class."""
    rng = np.random.default_rng(seed)
    own = 2.5 * rng.standard_normal((items, VALUES))
    classes = rng.integers(0, CLASSES, items)
    shares = 1 / np.arange(1, items + 1)
    which = rng.choice(items, samples, p=shares / shares.sum())
    centres = np.random.default_rng(99).standard_normal((CLASSES, VALUES))
    features = (centres[classes] + own)[which] + 0.1 * rng.standard_normal((samples, VALUES))
    return features.astype(np.float16), classes[which]


def test_one_memory_for_all_knows_what_comes_again():
    features, answers = comes_again(5_000)
    train, select, show = np.split(np.arange(len(answers)), [2_000, 3_500])
    others, taught = comes_again(2_000, items=2_000, seed=1)  # so that little is known of these
    probabilities = np.full((len(taught), CLASSES), 0.02, np.float32)
    probabilities[np.arange(len(taught)), taught] = 0.94
    halves = np.split(np.arange(len(taught)), 2)
    gate = fit_gate(others, probabilities, *halves)
    cache = train_cache(Variant(family="fc", size=8), others, probabilities, *halves, gate=gate)
    one, at = np.zeros(len(answers), int), np.arange(len(answers), dtype=float)
    parts = features, answers, one, at, train, select
    cache.recall = fit_recall(cache, *parts, kept=SHARED_ENTRIES)
    assert cache.recall is not None

    def hits_at_2_percent(kept):
        said = heard(cache, features[show])._replace(kept=kept)
        walked = walk([said], answers[show], one[show], at[show], PATH)
        hit = walked.confidences[0] >= PATH[:, None]
        return most_hits(hit.mean(1), (hit & (walked.labels[0] != answers[show])).mean(1), 0.02)

    assert hits_at_2_percent(SHARED_ENTRIES) > max(0.5, 2 * hits_at_2_percent(ENTRIES))


def test_of_a_large_memory_the_nearest_speak():
    rng = np.random.default_rng(0)
    vectors, held = rng.standard_normal((300, 3)), rng.random((2, 300)) < 0.6
    gallery = Gallery(2, 3, kept=200)
    assert not np.isfinite(gallery.near(np.zeros(3)).at).any()
    for i, vector in enumerate(vectors):
        gallery.put(np.flatnonzero(held[:, i]), vector, i, at=float(i))
    near = gallery.near(np.zeros(3))
    for memory in range(2):
        known = np.flatnonzero(held[memory] & (np.arange(300) >= 100))  # the oldest 100 went
        nearest = known[np.argsort(np.square(vectors[known]).sum(1))][:ENTRIES]
        assert near.class_ids[memory].tolist() == nearest.tolist()
        assert near.at[memory].tolist() == nearest.tolist()


def test_one_stream_never_reads_anothers_entries():
    memory = StreamMemory(2, StreamLimits())
    memory.put("tenant-1", np.ones((1, 2)), np.array([3]), at=1.0)
    for other in ("", "tenant-2", "tenant-1 ", "TENANT-1", "tenant-1\x00"):
        assert memory.entries(other) is None
    memory.put("", np.ones((1, 2)), np.array([5]), at=1.0)
    assert len(memory) == 1
    memory.forget()
    assert memory.entries("tenant-1") is None
