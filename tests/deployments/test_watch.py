"""Caches go off where they are wrong too often or nobody can tell, and come back when proven."""

import asyncio

import numpy as np
import pytest

from cache_models.promise import Limits
from deployments.config import AppArgs
from deployments.messages import Observation
from deployments.trainer import Trainer

ARGS = AppArgs.model_validate(
    {
        "sampling": {"rate": 0.2, "min_rate": 0.02},
        "guard": {"samples_between_alarms": 100_000, "probation_samples": 500},
    }
)


@pytest.fixture
def trainer():
    return Trainer(ARGS.model_dump_json(), Limits().model_dump_json())


def observe(trainer, wrong_share, count, seed=0, answered=None):
    """The last control after `count` samples, of which `wrong_share` were wrong."""
    rng = np.random.default_rng(seed)

    async def exchanges():
        for wrong in rng.random(count) < wrong_share:
            seen = [Observation("layer1", 1, 0 if wrong else 1, 1, 0.2)]
            control = await trainer.exchange(seen, 5 if answered is None else answered)
        return control

    return asyncio.run(exchanges())


def test_good_caches_stay_on(trainer):
    assert observe(trainer, 0.005, 5000) == (True, 0.2)


def test_bad_caches_go_off_and_everything_is_sampled_until_they_are_proven(trainer):
    observe(trainer, 0.005, 1000)
    assert observe(trainer, 0.3, 60) == (False, 1.0)
    assert observe(trainer, 0.02, 3000) == (False, 1.0)
    assert observe(trainer, 0.0, 2000) == (True, 0.2)
    status = asyncio.run(trainer.status())
    assert status["alarms"] == 1
    assert status["recent"]["disagreement"] == 0


def test_too_few_samples_switch_caches_off(trainer):
    assert not observe(trainer, 0.0, 50, answered=200).caches_on


def test_in_shadow_mode_caches_are_judged_and_never_answer():
    trainer = Trainer(
        ARGS.model_copy(update={"mode": "shadow"}).model_dump_json(), Limits().model_dump_json()
    )
    assert not observe(trainer, 0.0, 2000).caches_on
    assert asyncio.run(trainer.status())["recent"]["sampled"] == 2000
