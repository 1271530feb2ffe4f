"""What routers are told follows from what they observed, without a learner and without waiting."""

from pathlib import Path

import numpy as np

from cache_models.cascade import Control
from cache_models.promise.promise import PATH
from cache_models.store.version import CacheVersion
from deployments.config import AppArgs
from deployments.follow.control_policy import ControlPolicy
from tests.deployments.follow.observed import observation, report
from tests.plans import plan_for

CLASSES = ("a", "b", "c")
RIGHT, WRONG = observation(1), observation(0)
THRESHOLD = float(PATH[40])


def version(number=7, threshold=THRESHOLD, names=("early",)):
    plan = plan_for(names, classes=CLASSES, threshold=threshold)
    return CacheVersion(number, plan, Path("nowhere"))


def policy_for(served=None, **sampling):
    sampling = {"rate": 0.2, "rest_rate": 0.1, "raised_rate": 0.5, "max_share": 1} | sampling
    args = AppArgs.model_validate({"sampling": sampling})
    return ControlPolicy(args, served or version(), processors=4)


def hear(policy, *observations, mode="serve"):
    policy.hear(report(observations, len(observations)), mode)


def test_caches_answer_where_they_have_kept_the_promise_and_operators_want_them():
    told = policy_for().instructions("serve")
    assert (told.mode, told.sample_rate, told.judge) == ("serve", 0.2, True)
    assert told.control == Control(7, True, THRESHOLD)
    for mode in ("shadow", "off"):
        told = policy_for().instructions(mode)
        assert told.mode == mode and not told.control.on


def test_before_caches_are_trained_everything_is_a_sample_and_nothing_judged():
    told = policy_for(version(threshold=None)).instructions("serve")
    assert (told.sample_rate, told.judge, told.control.on) == (1.0, False, False)


def test_without_caches_there_is_little_to_sample_for():
    told = policy_for(version(threshold=None, names=())).instructions("serve")
    assert told.sample_rate == 0.1


def test_an_alarm_switches_caches_off_and_makes_everything_a_sample():
    policy = policy_for()
    hear(policy, *[WRONG] * 30)
    told = policy.instructions("serve")
    assert not told.control.on and told.sample_rate == 1.0


def test_a_threshold_that_is_wrong_too_often_makes_way_for_a_stricter_one():
    policy = policy_for()
    unsure = WRONG._replace(said=(WRONG.said[0]._replace(confidence=THRESHOLD),))
    hear(policy, *[RIGHT] * 200, *[unsure] * 30)
    told = policy.instructions("serve")
    assert told.control.on and told.control.threshold == PATH[39]


def test_what_another_version_said_speaks_not_against_this_one():
    policy = policy_for()
    hear(policy, *[WRONG._replace(version=6)] * 30)
    assert policy.instructions("serve").control.on


def test_another_version_is_told_and_given_its_chance():
    policy = policy_for()
    hear(policy, *[WRONG] * 30)
    policy.serve(version(8))
    assert policy.instructions("serve").control == Control(8, True, THRESHOLD)


def test_the_share_of_samples_follows_what_there_is_to_learn():
    policy = policy_for()
    for expected, then in ((0.2, [RIGHT] * 1000), (0.1, [WRONG]), (0.5, [RIGHT] * 30), (0.1, [])):
        assert policy.instructions("serve").sample_rate == expected
        hear(policy, *then)


def test_samples_take_no_more_processor_time_than_allowed():
    policy = policy_for(max_share=0.05, min_rate=0.001)
    rate, requests_a_report = 0.2, 500
    for _ in range(200):  # half a second each, as it seems
        policy._rate._at -= 0.5
        sampled = round(rate * requests_a_report)
        policy.hear(report([RIGHT] * sampled, requests_a_report, spent_s=0.05 * sampled), "serve")
        rate = policy.sample_rate
    # 1,000 requests a second, 4 processors, 50 ms each: 5 % are 4 samples a second
    np.testing.assert_allclose(rate, 0.004, rtol=0.2)
    assert policy.status("serve")["sampling"]["share_of_processors"] <= 0.06


def test_where_far_fewer_hit_everything_is_a_sample_until_that_is_usual():
    policy = policy_for()
    hit, missed = observation(1, exit="early"), observation(1, weight=0.0)

    def serve(hits, requests):
        for _ in range(requests // 10):
            policy.hear(report([hit] + [missed] * (10 - hits), 10), "serve")
        return policy.instructions("serve").sample_rate

    policy._recent.usual = policy._recent.hit_rate = 0.9
    assert serve(hits=9, requests=12_000) == 0.1
    assert serve(hits=6, requests=1_000) == 1.0
    assert policy.seen().hit_rate < 0.65
    assert serve(hits=6, requests=20_000) == 0.1


def test_the_class_mix_is_that_of_all_requests():
    policy = policy_for()
    missed, sampled = observation(0, weight=0.0), observation(2, said=2, weight=9.0)
    for _ in range(300):
        policy.hear(report([missed, sampled], 10), "serve")
    np.testing.assert_allclose(policy.seen().mix, [0.1, 0, 0.9], atol=0.01)


def test_nobody_samples_where_the_mode_is_off_and_that_is_no_alarm():
    policy = policy_for()
    policy.hear(report(answered=20_000), "off")
    assert policy.instructions("serve").control.on
    policy.hear(report(answered=20_000), "serve")
    assert not policy.instructions("serve").control.on
