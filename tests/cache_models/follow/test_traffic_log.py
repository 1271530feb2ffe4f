"""What the trainer remembers is bounded, fair, and there again after a crash."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cache_models.follow.traffic import TEST
from cache_models.follow.traffic_log import RESERVOIR, Sample, TrafficLog

SHAPES = [(2, 3), (4,)]


def sample(class_id=0, value=0.0, **more):
    return Sample(
        [np.full(shape, value, np.float16) for shape in SHAPES], np.eye(3)[class_id], **more
    )


@pytest.fixture
def log(tmp_path):
    return TrafficLog(tmp_path / "log.sqlite", SHAPES, 3, window=100, seed=0)


def test_samples_come_back_as_they_went_in(log):
    log.add([sample(1, 0.5, inclusion=0.25), sample(2, 1.5, inclusion=0.0, role=TEST)])
    log.commit()
    window = log.window()
    assert window.answers.tolist() == [1, 2]
    assert [part[:, 0].ravel()[0] for part in window.features] == [0.5, 0.5]
    assert window.features[0].shape == (2, 2, 3)
    assert window.weights.tolist() == [4.0, 1.0]
    assert window.independent.tolist() == [True, False]
    assert window.roles[1] == TEST


def test_the_window_and_the_reservoir_are_bounded_and_no_class_is_lost(log):
    for class_id in (0, 1, 2):
        log.add(sample(class_id, i) for i in range(2_000))
    log.prune()
    assert len(log.window().roles) == 100
    kept = log.reservoir()
    for class_id in (0, 1):
        of_class = kept.roles[kept.answers == class_id]
        assert np.bincount(of_class).tolist() == list(RESERVOIR.values())
    assert len(log.window().roles) + len(kept.roles) == log.count(build=False)
    values = kept.features[1][kept.answers == 0, 0]
    assert 850 < values.mean() < 1150  # old and new alike


def test_misses_that_nobody_chose_crowd_out_nothing_that_can_test(log):
    log.add(sample(0, role=TEST, build=True) for _ in range(RESERVOIR[TEST]))
    log.add(sample(0, inclusion=0.0) for _ in range(3_000))
    log.prune()
    kept = log.reservoir()
    assert (kept.independent & (kept.roles == TEST)).sum() == RESERVOIR[TEST]


def test_samples_expire_and_are_deleted_but_not_the_builds(tmp_path):
    log = TrafficLog(tmp_path / "log.sqlite", SHAPES, 3, expire_s=0.0)
    log.add([sample(), sample(build=True)])
    time.sleep(0.01)
    log.prune()
    assert (log.count(build=False), log.count(build=True)) == (0, 1)
    log.add([sample()])
    log.delete_samples()
    assert (log.count(build=False), log.count(build=True)) == (0, 1)


def test_roles_and_state_survive_a_restart(tmp_path, log):
    log.add(sample(value=i) for i in range(50))
    log.set_state("watch", {"evidence": [1.5]})
    log.add_round('{"why": "test"}')
    before = log.window().roles
    again = TrafficLog(tmp_path / "log.sqlite", SHAPES, 3, window=100)
    assert np.array_equal(again.window().roles, before)
    assert again.state("watch") == {"evidence": [1.5]}
    assert again.rounds() == [{"round": 1, "why": "test"}]


WRITER = """
import numpy as np, sys
from pathlib import Path
from cache_models.follow.traffic_log import Sample, TrafficLog
log = TrafficLog(Path(sys.argv[1]), [(2, 3), (4,)], 3, window=100)
i = 0
while True:
    log.add([Sample([np.full((2, 3), i), np.full(4, i)], np.eye(3)[0])])
    log.set_state("count", i + 1)
    log.commit()
    print(i + 1, flush=True)
    i += 1
"""


def test_a_kill_loses_nothing_that_was_committed(tmp_path):
    file = tmp_path / "log.sqlite"
    command = [sys.executable, "-c", WRITER, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        for _ in range(30):
            said = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
    log = TrafficLog(file, SHAPES, 3, window=10_000)
    assert log.state("count") >= said
    assert log.count(build=False) == log.state("count")


def test_a_damaged_file_is_put_aside(tmp_path):
    file = tmp_path / "log.sqlite"
    file.write_bytes(b"not a database" * 1000)
    log = TrafficLog(file, SHAPES, 3)
    assert log.count(build=False) == 0
    assert len(list(tmp_path.glob("log.sqlite.damaged-*"))) == 1


def test_samples_of_other_cut_points_are_forgotten(tmp_path, log):
    log.add([sample()])
    log.commit()
    assert TrafficLog(tmp_path / "log.sqlite", [(5,)], 3).count(build=False) == 0
