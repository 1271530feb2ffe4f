"""What routers are told follows from what they observed, without a learner and without waiting."""

from pathlib import Path

import numpy as np
import pytest

from cache_models.promise.prior import PriorRecord
from cache_models.store.versions import CacheVersion
from deployments.config import AppArgs
from deployments.follow.control_policy import ControlPolicy
from deployments.follow.messages import Observation
from tests.plans import plan_for

CLASSES = ("a", "b", "c")
RIGHT = Observation("base", 1, 1, 7, 1.0, 1.0, None, False, None)
WRONG = RIGHT._replace(exit="early", class_id=0)
SHARP = PriorRecord(
    least_share=0.1,
    threshold=0.7,
    disagreement=0.004,
    settled=0.0,
    arriving=0.0,
    exits=[],
    arrivals_per_request=0.0,
)


def version(number=7, threshold=0.9, names=("early",)):
    plan = plan_for(names, classes=CLASSES, threshold=threshold)
    return CacheVersion(number, plan, Path("nowhere"))


def policy_for(served=None, **sampling):
    args = AppArgs.model_validate({"sampling": {"rate": 0.2, "raised_rate": 0.5} | sampling})
    return ControlPolicy(args, served or version())


def test_caches_answer_where_they_have_kept_the_promise_and_operators_want_them():
    told = policy_for().instructions("serve")
    assert (told.mode, told.sample_rate, told.judge) == ("serve", 0.2, True)
    assert told.control == (7, True, None, None)
    for mode in ("shadow", "off"):
        told = policy_for().instructions(mode)
        assert told.mode == mode and not told.control.on


def test_before_caches_are_trained_everything_is_a_sample_and_nothing_judged():
    told = policy_for(version(threshold=None)).instructions("serve")
    assert (told.sample_rate, told.judge, told.control.on) == (1.0, False, False)


def test_without_caches_there_is_little_to_sample_for():
    told = policy_for(version(threshold=None, names=())).instructions("serve")
    assert told.sample_rate == 0.2


def test_an_alarm_switches_caches_off_and_makes_everything_a_sample():
    policy = policy_for()
    policy.hear([WRONG] * 30, 30, "serve")
    told = policy.instructions("serve")
    assert not told.control.on and told.sample_rate == 1.0


def test_what_another_version_said_speaks_not_against_this_one():
    policy = policy_for()
    policy.hear([WRONG._replace(version=6)] * 30, 30, "serve")
    assert policy.instructions("serve").control.on


def test_another_version_is_told_and_given_its_chance():
    policy = policy_for()
    policy.hear([WRONG] * 30, 30, "serve")
    policy.follow_prior(SHARP, 0.2)
    policy.serve(version(8))
    assert policy.instructions("serve").control == (8, True, None, None)


def test_a_change_of_the_mix_raises_the_share_of_samples_for_a_while():
    policy = policy_for(raised_samples=10)
    policy.hear([RIGHT] * 300, 300, "serve")
    assert policy.instructions("serve").sample_rate == 0.2
    policy.follow_prior(SHARP, 0.2)
    other = RIGHT._replace(class_id=2, base_class_id=2)
    for _ in range(9):
        policy.hear([other], 1, "serve")
    assert policy.instructions("serve").sample_rate == 0.5
    policy.hear([other] * 20, 20, "serve")
    assert policy.instructions("serve").sample_rate == 0.2


def test_the_mix_is_told_as_sharply_as_it_was_judged_to_be_safe():
    policy = policy_for()
    policy.hear([RIGHT] * 500, 500, "serve")
    assert policy.instructions("serve").control.log_ratio is None
    policy.follow_prior(SHARP, 0.2)
    control = policy.instructions("serve").control
    assert control.threshold == 0.7
    assert control.log_ratio.argmax() == 1 and np.delete(control.log_ratio, 1).max() < 0
    policy.follow_prior(SHARP.model_copy(update={"least_share": 1.0}), 0.2)
    assert policy.instructions("serve").control[2:] == (None, 0.7)
    policy.follow_prior(None, 0.2)
    assert policy.instructions("serve").control[2:] == (None, None)


def test_where_fewer_requests_are_sampled_than_it_was_judged_on_the_mix_is_not_told():
    policy = policy_for()
    policy.follow_prior(SHARP, 0.2)
    assert not policy.seen().sampled_less
    policy.hear([], 5000, "serve")
    assert policy.instructions("serve").control[2:] == (None, None)
    assert policy.seen().sampled_less


@pytest.mark.parametrize("mistakes", [0, 40])
def test_the_prior_s_question_says_how_many_mistakes_there_are(mistakes):
    policy = policy_for()
    policy.hear([RIGHT] * 460, 460, "serve")
    policy.hear([WRONG] * mistakes, mistakes, "serve")
    question = policy.prior_question()
    assert question.mix.argmax() == 1
    assert question.sample_rate == 0.2  # at most what is configured
    assert (question.excess > 2) == (mistakes > 0)


def test_nobody_samples_where_the_mode_is_off_and_that_is_no_alarm():
    policy = policy_for()
    policy.hear([], 20_000, "off")
    assert policy.instructions("serve").control.on
    policy.hear([], 20_000, "serve")
    assert not policy.instructions("serve").control.on
