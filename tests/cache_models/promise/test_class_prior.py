"""The class prior follows the traffic, learns nothing from hits, and is as sharp as is safe."""

import numpy as np
import torch

from cache_models.cache.learned_cache import Selector
from cache_models.promise.class_prior import MEMORY, SMOOTHING, Arrivals, ClassPrior, Excess
from cache_models.promise.prior import calibrate_prior
from cache_models.promise.promise import Limits
from cache_models.promise.streams import STRICTEST, Said

K = 10


def follow(prior, classes, hit_rate, sample_rate, seed=0):
    """What a router would tell of requests of `classes`, all right, of which some hit."""
    rng = np.random.default_rng(seed)
    changed = []
    for class_id in classes:
        prior.advance(1)
        if rng.random() >= hit_rate[class_id]:
            changed.append(prior.observe(class_id, 1.0))
        elif rng.random() < sample_rate:
            changed.append(prior.observe(class_id, 1 / sample_rate))
    return changed


def test_shares_are_right_though_hits_are_seldom_seen():
    hit_rate = np.where(np.arange(K) == 0, 0.9, 0.2)
    found = []
    for seed in range(40):
        prior = ClassPrior(np.full(K, 1 / K))
        classes = np.random.default_rng(seed).choice(2, 2000)  # two classes, equally often
        follow(prior, classes, hit_rate, 0.1, seed)
        found.append(prior.shares[:2])
    seen = MEMORY / np.log(2)
    expected = (0.5 * seen + SMOOTHING / K) / (seen + SMOOTHING)
    assert np.allclose(np.mean(found, 0), expected, atol=0.02)


def test_a_class_that_comes_is_given_back_its_share_at_once():
    prior = ClassPrior(np.full(K, 1 / K), least_share=0.1)
    follow(prior, np.tile([0, 1, 2], 300), np.full(K, 0.9), 0.1)
    assert prior.log_ratio()[5] < -1.5
    assert any(follow(prior, np.tile([5, 6, 7], 20), np.full(K, 0.5), 0.1))
    assert (prior.log_ratio()[5:8] > 0).all()


def test_a_settled_mix_is_seldom_taken_for_changed():
    prior = ClassPrior(np.full(K, 1 / K), least_share=0.1)
    changed = follow(prior, np.random.default_rng(0).choice(3, 20_000), np.full(K, 0.8), 0.1)
    assert sum(changed) <= 3


def test_arrivals_are_counted_with_a_margin():
    arrivals = Arrivals()
    shares = np.full(K, 1e-3)
    for i in range(1000):
        present = (np.arange(3) + i // 100) % K  # one class goes and one comes every 1,000 requests
        now = shares.copy()
        now[present] = 0.33
        arrivals.update(10, now)
    assert 1e-3 < arrivals.rate() < 2e-3


def said(outside_mistaken):
    """Caches that know all classes, but not surely; with a prior, more is sure."""
    rng = np.random.default_rng(0)
    answers = np.repeat(np.arange(K), 300)
    scores = np.zeros((len(answers), K), np.float32)
    scores[np.arange(len(answers)), answers] = rng.normal(3, 1, len(answers))
    rivals = (answers + 1) % K
    scores[np.arange(len(answers)), rivals] = rng.normal(outside_mistaken, 1, len(answers))
    selector = Selector()
    with torch.no_grad():  # sure from a margin of about 3 on
        selector.linear.weight.zero_()
        selector.linear.weight[0, 3] = 2.0
        selector.linear.bias.fill_(-3.0)
    familiar = torch.ones(len(answers), dtype=torch.bool)
    return Said([torch.from_numpy(scores).log_softmax(1)], [familiar], [selector], answers)


def judge(said, arrivals, classes=(0, 2, 4), stray=None, excess=1.0):
    mix = np.full(K, 1e-6)
    mix[list(classes)] = 1 / len(classes)
    if stray is not None:
        mix[stray] = 0.04
    trained = np.full(K, 1 / K)
    return calibrate_prior(said, trained, mix, arrivals, 0.95, 0.1, Limits(), (1.0, 10.0), excess)


def test_more_is_dared_where_fewer_classes_come():
    calm, busy = judge(said(2.6), 1e-4), judge(said(2.6), 4e-2)
    assert calm.least_share < 1.0 and calm.threshold < busy.threshold
    assert calm.exits[0] > 2 * busy.exits[0]
    assert calm.disagreement <= 0.01 and busy.disagreement <= 0.01
    assert busy.arriving > busy.settled


def test_nobody_can_tell_where_the_classes_of_the_moment_are_new():
    known = said(2.6)
    rows = np.flatnonzero(known.answers < 5)
    part = Said(
        [known.scores[0][rows]], [known.familiar[0][rows]], known.selectors, known.answers[rows]
    )
    assert judge(part, 1e-4, classes=(7, 8)) is None
    assert judge(part, 1e-4, classes=(0, 8)) is None
    assert judge(part, 1e-4, classes=(0, 1)) is not None


def test_nearly_nothing_is_dared_where_classes_come_all_the_time():
    record = judge(said(2.6), 2e-1)
    assert record.exits[0] < 0.1 and record.disagreement <= 0.01


def test_classes_never_seen_take_little_from_those_that_were_however_many_there_are():
    trained = np.zeros(1000)
    trained[:4] = 0.25
    prior = ClassPrior(trained)
    assert np.all(prior.trained > 0)
    assert np.all(prior.trained[:4] > 0.22)


def test_where_more_mistakes_are_made_than_simulated_less_is_dared():
    free, careful = judge(said(2.6), 1e-4), judge(said(2.6), 1e-4, excess=3.0)
    assert careful.disagreement < free.disagreement / 2
    assert careful.exits[0] < free.exits[0]


def test_the_threshold_follows_how_hard_the_classes_of_the_moment_are():
    """Classes 0 to 4 are told apart with ease, the others with difficulty."""
    easy, hard = said(1.0), said(2.6)
    scores = torch.where(torch.tensor(hard.answers < 5)[:, None], easy.scores[0], hard.scores[0])
    mixed = Said([scores], hard.familiar, hard.selectors, hard.answers)
    found = [judge(mixed, 1e-4, classes) for classes in ((0, 1, 2, 3), (5, 6, 7, 8))]
    assert all(record.disagreement <= 0.01 for record in found)
    assert found[0].threshold < found[1].threshold
    assert found[0].exits[0] > found[1].exits[0]


def test_caches_rest_where_no_threshold_is_safe():
    sure = said(2.6)
    sure.selectors[0].linear.bias.data.fill_(20.0)
    always_wrong = Said([sure.scores[0].roll(1, 1)], sure.familiar, sure.selectors, sure.answers)
    record = judge(always_wrong, 1e-4)
    assert (record.least_share, record.threshold) == (1.0, STRICTEST)
    assert record.exits == [0.0, 1.0]


def test_a_mix_is_told_apart_from_the_trained_one_once_it_is_seen():
    told = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        prior = ClassPrior(np.full(K, 1 / K))
        follow(prior, rng.choice(K, 1000), np.full(K, 0.9), 0.1, seed)
        told.append(prior.told_apart())
    assert sum(told) <= 15
    for seed in range(20):
        prior = ClassPrior(np.full(K, 1 / K))
        assert not prior.told_apart()
        follow(prior, np.random.default_rng(seed).choice(3, 1000), np.full(K, 0.9), 0.1, seed)
        assert prior.told_apart()


def test_mistakes_beyond_what_was_expected_are_counted_against_it():
    excess = Excess(0.01)
    for _ in range(400):
        excess.observe(False)
    assert excess.ratio == 1.3
    excess.expected = 0.002
    for i in range(500):
        excess.observe(i % 50 == 0)
    assert 3.0 < excess.ratio < 4.0


def test_a_stray_answer_counts_as_of_an_input_that_resembles_what_is_there():
    """Class 9 is told apart from class 0 with difficulty, class 8 from none that is there."""
    alike, apart = (judge(said(2.6), 1e-4, stray=stray) for stray in (9, 8))
    assert alike.least_share > apart.least_share
