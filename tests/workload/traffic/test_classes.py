"""Classes are drawn as the parameters say."""

import numpy as np

from workload.traffic import locality, streams
from workload.traffic.variation import NOISE

LABELS = np.random.default_rng(0).integers(0, 10, 5_000)


def classes_of(text, count=10_000, seed=0):
    made = streams.make(text, count, LABELS, seed)
    return np.where(made.items == NOISE, -1, LABELS[made.items])


def test_locality_has_the_classes_and_the_stay_that_it_is_asked_for():
    stays = []
    for seed in range(10):
        classes = classes_of("locality:classes=3,mean_stay=500", 20_000, seed)
        assert np.median([len(set(part)) for part in classes.reshape(-1, 50)]) == 3
        for class_id in range(10):
            at = np.flatnonzero(classes == class_id)
            ends = np.flatnonzero(np.diff(at, append=10**9) > 60)  # a gap that chance won't make
            starts = np.concatenate([[0], ends[:-1] + 1])
            stays += [at[e] - at[s] for s, e in zip(starts, ends, strict=True) if at[s] > 100]
    assert 420 < np.mean(stays) < 560


def test_locality_draws_its_classes_evenly():
    classes = classes_of("locality:classes=2,mean_stay=1000000000", 4000)
    assert np.bincount(classes).max() < 2150


def test_zipf_has_the_popularities_that_its_exponent_says():
    shares = np.sort(np.bincount(classes_of("zipf:s=1.5", 40_000)) / 40_000)[::-1]
    expected = np.arange(1, 11) ** -1.5
    assert np.allclose(shares, expected / expected.sum(), atol=0.012)  # 5 standard errors
    slope = np.polyfit(np.log(np.arange(1, 11)), np.log(shares), 1)[0]
    assert abs(slope + 1.5) < 0.06


def test_diurnal_comes_round_and_is_as_concentrated_as_asked():
    classes = classes_of("diurnal:period=4000,concentration=4", 16_000)
    mixes = [np.bincount(part, minlength=10) / 500 for part in classes.reshape(-1, 500)]
    assert np.abs(mixes[0] - mixes[8]).sum() < 0.3  # a period later
    assert np.abs(mixes[0] - mixes[4]).sum() > 1.5  # half a period later
    assert locality.measure(classes)["window_entropy_bits"] < 2.5
    even = classes_of("diurnal:period=4000,concentration=0.01", 16_000)
    assert np.ptp(np.bincount(even)) < 250


def test_shift_changes_all_classes_at_once():
    classes = classes_of("shift:classes=4,at=3000")
    assert len(set(classes[:3000])) == 4 and len(set(classes[3000:])) == 4
    assert not set(classes[:3000]) & set(classes[3000:])


def test_return_comes_back():
    first, middle, last = np.array_split(classes_of("return", 9000), 3)
    assert set(first) == set(last) and not set(first) & set(middle)


def test_a_newcomer_is_seen_from_its_moment_on_and_with_its_share():
    shares = np.bincount(LABELS, minlength=10) / len(LABELS)
    for which in range(10):
        classes = classes_of(f"newcomer:which={which},at=6000", 12_000, which)
        before, after = (
            np.bincount(c, minlength=10) / 6000 for c in (classes[:6000], classes[6000:])
        )
        assert before[which] == 0 and (np.delete(before, which) > 0.08).all()
        assert np.abs(after - shares).max() < 0.02  # 5 standard errors


def test_a_newcomer_that_is_not_named_is_drawn():
    late = {*range(10)}
    drawn = [late - {*classes_of("newcomer", 4000, seed)[:2000]} for seed in range(20)]
    assert all(len(one) == 1 for one in drawn) and len(set.union(*drawn)) > 4
