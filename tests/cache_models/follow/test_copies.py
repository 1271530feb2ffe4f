"""Altered copies are asked of the base DNN, teach predictors alone, and go with their samples."""

import time

import numpy as np
import pytest

from cache_models.follow.copying import BATCH, copy_some
from cache_models.follow.traffic import Sample
from cache_models.follow.traffic_log import TrafficLog
from cache_models.network.description import ModelDescription
from cache_models.network.features import feature_shape
from cache_models.network.preprocessing import Preprocessing
from cache_models.store.strata import SELECT, TEST, TRAIN

K = 3
DESCRIPTION = ModelDescription((3, 8, 8), ("a", "b", "c"), Preprocessing((8, 8)))
SHAPES = [feature_shape(DESCRIPTION.input_shape), (4,)]
RNG = np.random.default_rng(0)


@pytest.fixture
def log(tmp_path):
    log = TrafficLog(tmp_path / "log.sqlite", SHAPES, K, seed=0, description=DESCRIPTION)
    log.set_state("roles", log.state("roles") | {"block_s": 0.0, "since": 0.0})
    return log


def sample(role, side=8, **more):
    picture = RNG.integers(0, 256, (side, side, 1), np.uint8)
    return Sample([np.zeros(4)], np.eye(K)[0], role=role, input=picture, **more)


class Asked:
    """Slices that end behind the input and at the end: the label tells how bright an input is."""

    def __init__(self):
        self.inputs = []

    def hidden(self, batch):
        self.inputs.append(batch)
        return np.full((len(batch), 4), 7.0, np.float16), batch

    def last(self, batch):
        labels = np.where(batch.mean((1, 2, 3)) > DESCRIPTION.inputs(GREY).mean(), 1, 2)
        return labels, np.eye(K, dtype=np.float32)[labels]

    def copy(self, log):
        while copy_some(log, DESCRIPTION, [None, self.hidden, self.last]):
            pass


GREY = np.full((1, 8, 8, 1), 127, np.uint8)


def test_every_sample_that_trains_has_one_copy_with_the_base_dnns_answer_to_it(log):
    log.add([sample(TRAIN, side) for side in (8, 8, 5, 8, 5, 8)])
    log.add([sample(TEST), sample(SELECT), Sample([*map(np.zeros, SHAPES)], np.eye(K)[0])])
    asked = Asked()
    asked.copy(log)
    assert sum(map(len, asked.inputs)) == log.count_copies() == 6
    assert max(map(len, asked.inputs)) <= BATCH
    copies, window = log.copies(), log.window()
    assert (copies.roles == TRAIN).all() and not copies.independent.any()
    assert set(copies.answers) == {1, 2} and (copies.features[1] == 7).all()
    trained = window.features[0][:6]
    assert np.array_equal(copies.blocks, window.blocks[:6])
    assert all(
        0 < np.abs(a - b).mean() < 1.5 for a, b in zip(copies.features[0], trained, strict=True)
    )
    assert len(window.roles) == 9 and (window.answers == 0).all()  # copies are no samples


@pytest.mark.parametrize("how", ["deleted", "expired", "over the limit", "no inputs"])
def test_copies_go_with_their_samples(tmp_path, how):
    more = {"expire_s": 100.0} if how == "expired" else {}
    log = TrafficLog(
        tmp_path / "log.sqlite", SHAPES, K, description=DESCRIPTION, max_bytes=2**19, **more
    )
    log.add([sample(TRAIN, at=time.time() - 90)] * 30)
    Asked().copy(log)
    assert log.count_copies() == 30
    if how == "deleted":
        log.delete_samples()
    elif how == "expired":
        log._expire_s = 10.0
        log.tidy()
    elif how == "over the limit":
        log.add([sample(TRAIN, 200) for _ in range(30)])
    else:
        log.delete_samples(with_inputs=True)
    assert log.count_copies() == 0


def test_a_copy_of_what_is_gone_meanwhile_is_not_kept(log):
    log.add([sample(TRAIN)])
    ids, *_ = log.uncopied(1)
    log.delete_samples()
    log.add_copies(ids, [sample(TRAIN)])
    assert log.count_copies() == 0 and log.uncopied(1) is None
