"""What the trainer remembers is bounded, fair, and there again after a crash."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from cache_models.cache.learned_cache import LearnedCache
from cache_models.follow.build_samples import BuildSamples
from cache_models.follow.recording import ENOUGH
from cache_models.follow.traffic import Sample
from cache_models.follow.traffic_log import TrafficLog
from cache_models.network.description import ModelDescription
from cache_models.network.features import feature_shape, input_features
from cache_models.network.preprocessing import Preprocessing
from cache_models.promise.promise import Limits, error_share, min_samples
from cache_models.store.files import SAMPLES, features_at
from cache_models.store.strata import SELECT, TEST, TRAIN, WANTED
from cache_models.store.versions import Store
from tests.plans import plan_for

SHAPES = [(2, 3), (4,)]
K = 3


RNG = np.random.default_rng(1)


def sample(class_id=0, value=0.0, **more):
    """One that knows nothing of the others."""
    features = [np.full(shape, value, np.float16) for shape in SHAPES]
    return Sample(features, np.eye(K)[class_id], **({"agreement": RNG.random()} | more))


@pytest.fixture(autouse=True)
def seeded():
    """The same numbers for each test, whichever ran before."""
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state


@pytest.fixture
def log(tmp_path):
    log = TrafficLog(tmp_path / "log.sqlite", SHAPES, K, window=100, seed=0)
    blocks_are(log, 0.0)
    return log


def blocks_are(log, block_s):
    """As if it had been measured long ago."""
    log.set_state("roles", log.state("roles") | {"block_s": block_s, "since": 0.0})


def build_of(folder, answers, roles, kept=True):
    """A build's samples, whose features at both cut points are the number of the sample."""
    names, count = ("early", "late"), len(roles)
    numbers = torch.arange(count, dtype=torch.float16)
    tensors = {
        "inputs": torch.arange(count, dtype=torch.float32)[:, None],
        "probabilities": torch.eye(K, dtype=torch.float16)[torch.as_tensor(answers)],
        "roles": torch.as_tensor(roles, dtype=torch.uint8),
    }
    for name, shape in zip(names if kept else (), SHAPES, strict=False):
        at = numbers.view(-1, *(1 for _ in shape)).expand(count, *shape)
        tensors[features_at(name)] = at.contiguous()
    plan = plan_for(list(names), classes=("a", "b", "c"))
    caches = {c.file: LearnedCache(c.variant, c.feature_shape, K) for c in plan.caches}
    return BuildSamples(Store(folder).publish(plan, caches, None, {SAMPLES: tensors}))


def as_picked(rare=WANTED[TEST]):
    """Answers and roles as a build keeps them; of the last class there are `rare` test samples."""
    kept = {(role, k): count for role, count in WANTED.items() for k in range(K)}
    kept[TEST, K - 1] = rare
    pairs = np.repeat(list(kept), list(kept.values()), axis=0)
    roles, answers = np.random.default_rng(0).permutation(pairs).T
    return answers, roles


def test_samples_come_back_as_they_went_in(log):
    log.add([sample(1, 0.5, weight=4.0), sample(2, 1.5, weight=0.0, role=TEST)])
    window = log.window()
    assert window.answers.tolist() == [1, 2]
    assert [part[:, 0].ravel()[0] for part in window.features] == [0.5, 0.5]
    assert window.features[0].shape == (2, 2, 3)
    assert window.weights.tolist() == [4.0, 0.0]
    assert window.independent.tolist() == [True, False]
    assert window.roles[1] == TEST


def test_of_a_sample_whose_input_is_kept_features_are_made_when_it_is_read(tmp_path):
    """Inputs of several sizes, and features alone, which is how older files have them."""
    description = ModelDescription((3, 8, 8), ("a", "b", "c"), Preprocessing((8, 8)))
    shapes = [feature_shape(description.input_shape), (4,)]
    log = TrafficLog(tmp_path / "log.sqlite", shapes, K, seed=0, description=description)
    images = [RNG.integers(0, 256, (side, side, 1), np.uint8) for side in (8, 8, 5, 8)]
    at_input = [
        input_features(description, image[None], i < 2)[0] for i, image in enumerate(images)
    ]
    behind = [np.full(4, i, np.float16) for i in range(4)]
    log.add(
        Sample([behind[i]], np.eye(K)[1], input=images[i], resized=i < 2)
        if i < 3
        else Sample([at_input[i], behind[i]], np.eye(K)[2])
        for i in range(4)
    )
    rested = []
    window, _ = log.window_and_reservoir(lambda: rested.append(1))
    assert np.array_equal(window.features[0], at_input)
    assert np.array_equal(window.features[1], behind)
    assert window.answers.tolist() == [1, 1, 1, 2] and rested
    log.delete_samples(with_inputs=True)
    assert log.window().answers.tolist() == [2]


# --- several threads -----------------------------------------------------------------------------


@contextmanager
def another_thread():
    with ThreadPoolExecutor(1) as pool:
        yield lambda function, *args, **more: pool.submit(function, *args, **more)


def test_nobody_sees_or_publishes_half_of_what_another_thread_writes(tmp_path, log):
    half, done = threading.Event(), threading.Event()

    def writes_and_fails():
        with log.transaction():
            log.add([sample()])
            half.set()
            assert done.wait(30)
            raise KeyError

    with another_thread() as submit:
        writing = submit(writes_and_fails)
        assert half.wait(30)
        assert log.count(build=False) == 0
        with another_thread() as submit_more:
            noting = submit_more(log.set_state, "watch", 1)  # waits for its turn
            done.set()
            noting.result(30)
        with pytest.raises(KeyError):
            writing.result(30)
    assert log.state("watch") == 1
    assert TrafficLog(tmp_path / "log.sqlite", SHAPES, K).count(build=False) == 0


def test_what_is_read_together_is_of_one_moment(log):
    log.add(sample(value=i) for i in range(150))
    with another_thread() as submit, log.snapshot():
        before = log.count(build=False)
        submit(log.add, [sample() for _ in range(60)]).result(30)
        assert log.count(build=False) == before
    assert log.count(build=False) == before + 60


def test_samples_can_be_deleted_while_other_threads_write(log):
    open_, end = threading.Event(), threading.Event()

    def writes():
        with log.transaction():
            log.add([sample()])
            open_.set()
            assert end.wait(30)

    with another_thread() as submit, another_thread() as delete:
        writing = submit(writes)
        assert open_.wait(30)
        deleting = delete(log.delete_samples)
        end.set()
        writing.result(30), deleting.result(60)
    assert log.count(build=False) == 0

    stop = threading.Event()

    def writes_on():
        while not stop.is_set():
            log.add([sample()])

    with another_thread() as submit:
        writing = submit(writes_on)
        for _ in range(20):
            log.delete_samples()
        stop.set()
        writing.result(30)


# --- bounds --------------------------------------------------------------------------------------


def test_the_window_and_the_reservoir_are_bounded_and_no_class_is_lost(log):
    for class_id in (0, 1, 2):
        log.add(sample(class_id, i) for i in range(2_000))
    log.tidy()
    assert len(log.window().roles) == 100
    kept = log.reservoir()
    for class_id in (0, 1):
        of_class = kept.roles[kept.answers == class_id]
        assert np.bincount(of_class).tolist() == list(WANTED.values())
    assert len(log.window().roles) + len(kept.roles) == log.count(build=False)
    values = kept.features[1][kept.answers == 0, 0]
    assert 850 < values.mean() < 1150  # old and new alike


def test_what_came_before_the_traffic_changed_tests_nothing_for_it(log):
    log.add([sample(value=1.0, role=TEST)] * 60)
    log.end_window()
    assert log.testable() == 0 and not len(log.window().roles)
    log.add([sample(value=2.0, role=TEST)] * 7 + [sample(value=2.0, role=TRAIN)] * 3)
    assert log.testable() == 7
    window, reservoir = log.window_and_reservoir()
    assert (window.features[1] == 2).all() and len(window.roles) == 10
    assert (reservoir.features[1] == 1).all() and len(reservoir.roles) == 60
    log.delete_samples()
    log.add([sample(role=TEST)])
    assert log.testable() == 1


def test_what_a_round_could_learn_from_is_counted(log):
    assert log.learnable() == 0
    log.add([sample(role=TRAIN)] * 9 + [sample(role=TEST)] * 9)
    assert log.learnable() == 0
    log.add([sample(role=SELECT)] * 3)
    assert log.learnable() == 3


def test_where_bytes_do_not_suffice_the_reservoir_shrinks_evenly(tmp_path):
    each = 2 * (6 + 4) + 4 * K
    log = TrafficLog(tmp_path / "l", SHAPES, K, window=10, reservoir_bytes=200 * each, seed=0)
    for class_id in (0, 1):
        log.add(sample(class_id, i) for i in range(2_000))
    log.add(sample(2, role=TRAIN) for _ in range(12))  # rare, and the window
    log.tidy()
    kept = log.reservoir()
    assert 190 <= len(kept.roles) <= 200
    for class_id in (0, 1):
        shares = np.bincount(kept.roles[kept.answers == class_id]) / list(WANTED.values())
        assert shares.max() - shares.min() < 1.5 / min(WANTED.values())
        assert 0.15 < shares.mean() < 0.25
    assert len(log.window().roles) + len(kept.roles) == log.count(build=False)


def test_misses_that_nobody_chose_crowd_out_nothing_that_can_test(log):
    log.add(sample(0, role=TEST) for _ in range(WANTED[TEST]))
    log.add(sample(0, weight=0.0) for _ in range(3_000))
    log.tidy()
    window, reservoir = log.window_and_reservoir()
    tests = [(kept.independent & (kept.roles == TEST)).sum() for kept in (window, reservoir)]
    assert tests == [100, WANTED[TEST] - 100]
    assert (~window.independent).sum() == 100 and (window.roles[~window.independent] == TRAIN).all()


def test_samples_expire_and_are_deleted_but_not_the_builds(tmp_path):
    log = TrafficLog(tmp_path / "log.sqlite", SHAPES, K, expire_s=0.0)
    log.join(build_of(tmp_path / "store", [0], [TRAIN]))
    log.add([sample()])
    time.sleep(0.01)
    log.tidy()
    assert (log.count(build=False), log.count(build=True)) == (0, 1)
    log.add([sample()])
    log.delete_samples()
    assert (log.count(build=False), log.count(build=True)) == (0, 1)


LARGE = [(64, 11, 11)]


def large(value):
    return Sample([np.full(LARGE[0], value, np.float16)], np.eye(K)[0])


def test_the_file_stays_below_its_limit_though_nothing_prunes(tmp_path):
    file, limit = tmp_path / "log.sqlite", 2**22
    log = TrafficLog(file, LARGE, K, max_bytes=limit)
    for i in range(100):
        log.add(large(10 * i + j) for j in range(10))
        log.add_round("{}")
    newest = log.window().features[0][:, 0, 0, 0].tolist()
    assert newest == list(range(1000 - len(newest), 1000))
    assert 0.8 * limit < len(newest) * 2 * 64 * 11 * 11
    log.tidy()
    assert file.stat().st_size <= limit


def test_what_is_in_neither_window_nor_reservoir_goes_first(tmp_path):
    file, limit = tmp_path / "log.sqlite", 2**23
    log = TrafficLog(file, LARGE, K, 20, max_bytes=limit, reservoir_bytes=2**22, seed=0)
    for i in range(100):
        log.add(large(10 * i + j) for j in range(10))
    assert len(log.window().roles) == 20
    assert log.reservoir().features[0][:, 0, 0, 0].mean() < 700  # old and new alike
    assert file.stat().st_size <= limit


def test_pictures_are_for_the_owner_and_leave_the_disk_with_their_samples(tmp_path):
    file, picture = tmp_path / "log.sqlite", RNG.integers(0, 256, (28, 28, 1), np.uint8)
    log = TrafficLog(file, [(3, 8, 8), *SHAPES[1:]], K)
    for delete in (log.delete_samples, lambda: log.delete_samples(with_inputs=True)):
        log.add([Sample([np.zeros(4)], np.eye(K)[0], input=picture)] * 3)
        found = [f for f in tmp_path.iterdir() if picture.tobytes()[:500] in f.read_bytes()]
        assert found and all(f.stat().st_mode & 0o077 == 0 for f in found)
        delete()
        assert not any(picture.tobytes()[:500] in f.read_bytes() for f in tmp_path.iterdir())


def test_the_disk_gets_back_what_has_expired(tmp_path):
    file = tmp_path / "log.sqlite"
    log = TrafficLog(file, LARGE, K, expire_s=0.0)
    log.add(large(i) for i in range(300))
    full = file.stat().st_size
    time.sleep(0.01)
    log.tidy()
    assert full > 2**22 > 16 * file.stat().st_size


# --- the build's ---------------------------------------------------------------------------------


def test_a_builds_samples_join_once_and_are_read_from_beside_its_version(tmp_path, log):
    build = build_of(tmp_path / "store", [0, 1, 2, 2], [TRAIN, TEST, TEST, TRAIN])
    log.add([sample(1, 7.0)])
    for _ in range(2):
        log.join(build)
    assert (log.count(build=True), log.count(build=False)) == (4, 1)
    assert not len(log.unrecorded(1)) and not log.untestable(ENOUGH)
    kept = log.reservoir()
    assert kept.answers.tolist() == [0, 1, 2, 2] and kept.roles.tolist() == [0, 2, 2, 0]
    for part in kept.features:
        assert part.reshape(4, -1)[:, -1].tolist() == [0, 1, 2, 3]
    assert kept.independent.all() and (kept.weights == 1).all()
    assert len(log.window().roles) == 1

    log.join(build_of(tmp_path / "other", [0], [TEST]))
    assert log.reservoir().roles.tolist() == [TEST]
    log.join(None)
    assert log.count(build=True) == 0


def test_the_traffic_takes_over_from_the_build_in_the_reservoir(tmp_path, log):
    log.join(build_of(tmp_path / "store", *as_picked()))
    log.add(sample(0, i, role=TEST) for i in range(3_000))
    log.tidy()
    kept = log.reservoir()
    tests = np.bincount(kept.answers[kept.roles == TEST])
    assert 270 < tests[0] <= tests[1] == tests[2] == WANTED[TEST]  # some are in the window, too
    assert K * sum(WANTED.values()) - 300 < log.count(build=True) < K * sum(WANTED.values()) - 200


@pytest.mark.parametrize("rare", [WANTED[TEST], 30])
def test_what_is_missing_is_recorded_such_that_every_class_can_soon_be_tested(tmp_path, log, rare):
    answers, roles = as_picked(rare)
    log.join(build_of(tmp_path / "store", answers, roles, kept=False))
    order = log.unrecorded(10_000)
    assert sorted(order) == list(range(len(roles)))
    assert len(log.reservoir().roles) == 0
    done = 0
    while log.untestable(ENOUGH):
        some = order[done : done + 50]
        log.record(some, [np.tile(some[:, None, None], (1, 2, 3)), np.tile(some[:, None], (1, 4))])
        done += len(some)
    first = order[:done]
    tests = np.bincount(answers[first][roles[first] == TEST])
    assert (tests >= [ENOUGH, ENOUGH, min(ENOUGH, rare)]).all() and done < 0.6 * len(order)
    assert np.bincount(answers[first][roles[first] == TRAIN], minlength=K).min() >= 40
    kept = log.reservoir()
    assert kept.features[1][:, 0].tolist() == sorted(first.tolist())
    assert kept.answers.tolist() == answers[np.sort(first)].tolist()


# --- blocks, and tests that are spent -----------------------------------------------------------


def objects(log, seconds, stay, began=None, stream="", weight=1.0):
    """A sample a second, of objects that stay; the base DNN's label is another one's of some."""
    began = time.time() - seconds if began is None else began
    for at in range(0, seconds, 250):
        samples = []
        for second in range(at, at + 250):
            rng = np.random.default_rng([second // stay, 5])
            agreement = rng.choice([-0.9, 0.9], p=[0.2, 0.8]) + 0.01 * RNG.standard_normal()
            moment = {"at": began + second, "stream": stream, "agreement": agreement}
            samples.append(sample(int(rng.integers(K)), second, weight=weight, **moment))
        log.add(samples)


def test_samples_of_a_block_have_one_role_and_their_neighbours_keep_away(tmp_path):
    log = TrafficLog(tmp_path / "l", SHAPES, K, seed=0)
    assert log.block_s is None
    objects(log, 3000, 10)
    log.measure_blocks()
    assert 10 <= log.block_s <= 80
    window = log.window()
    at = window.features[1][:, 0].astype(float)
    test, train = np.sort(at[window.roles == TEST]), np.sort(at[window.roles == TRAIN])
    assert len(test) and np.abs(test[:, None] - train).min() >= log.block_s - 1
    late = at >= 500  # of the first, which came at once, it was not known yet
    assert np.unique(window.blocks[late], return_counts=True)[1].max() <= 2
    assert 10 < log.testable() < len(np.unique(window.blocks))
    total = window.weights[late].sum()
    assert 0.9 * 2500 < total < 1.1 * 2500  # those that stay stand for all


def test_a_block_that_proves_longer_takes_those_that_were_drawn_for_shorter_ones_out(tmp_path):
    log = TrafficLog(tmp_path / "l", SHAPES, K, seed=0)
    blocks_are(log, 0.0)
    log.add(sample(role=None) for _ in range(400))
    assert log.testable() > 100
    blocks_are(log, 30.0)
    assert log.testable() == 0 and (log.window().roles != TEST).all()
    assert (log.window().roles == TRAIN).any()


def test_a_miss_that_nobody_chose_trains_only_where_its_neighbours_do(tmp_path):
    log = TrafficLog(tmp_path / "l", SHAPES, K, seed=0)
    blocks_are(log, 1.0)
    began = time.time() - 2000
    log.add(sample(value=i, at=began + i) for i in range(2000))
    log.add(sample(value=i, at=began + i, weight=0.0) for i in range(2000))
    window = log.window()
    at, chosen = window.features[1][:, 0], window.independent
    assert 300 < (~chosen).sum() < 900
    assert set(at[~chosen]) <= set(at[chosen & (window.roles == TRAIN)])


def test_the_budget_of_tests_is_whole_again_when_the_window_has_been_replaced(log):
    counts = []
    for _ in range(12):
        log.add(sample(value=1.0) for _ in range(25))  # a quarter of a window
        counts.append(log.tests)
        log.spend_test()
    assert counts == [0, 1, 2, *[3] * 9]
    log.end_window()
    assert log.tests == 0
    log.add([sample()])
    assert log.tests == 0
    log.spend_test()
    assert log.tests == 1
    log.delete_samples()
    log.add([sample()])
    assert log.tests == 0


@pytest.mark.parametrize("hits", [0.5, 0.8, 0.9])
def test_after_200_rounds_there_is_enough_to_test_on(tmp_path, monkeypatch, hits):
    """At 10 % sampling, a round after every quarter of a window, and every one spends a test."""
    monkeypatch.setattr(time, "time", lambda: 1.8e9)  # roles are drawn by the time of a sample
    newest, limits, limit = 1000, Limits(max_disagreement=0.05), 2**22
    log = TrafficLog(tmp_path / "l", SHAPES, K, window=newest, max_bytes=limit, seed=0)
    requests = int(newest / 4 / (0.1 + 0.9 * (1 - hits)))
    chosen, missed = int(0.1 * requests), int(0.9 * (1 - hits) * requests)
    now, possible, sizes = time.time() - 1e5, [], []
    for _ in range(200):
        now += 400
        log.add(sample(i % K, weight=10.0, at=now + i) for i in range(chosen))
        log.add(sample(i % K, weight=0.0, at=now + i) for i in range(missed))
        level = error_share(limits, log.tests + 1)
        possible.append(log.testable() >= min_samples(limits.max_disagreement, level))
        log.spend_test()
        log.tidy()
        sizes.append(log.count(build=False))
    # at times noise is taken for dependence, which passes with the window
    assert np.mean(possible[40:]) > 0.8 and any(possible[-20:])
    assert max(sizes) <= 2 * newest + K * sum(WANTED.values())
    assert (tmp_path / "l").stat().st_size <= limit
    assert len(log.state("tests")) <= 2 * newest / chosen


# --- crashes, and older files --------------------------------------------------------------------


def test_roles_and_state_survive_a_restart(tmp_path, log):
    log.add(sample(value=i) for i in range(50))
    log.set_state("watch", {"evidence": [1.5]})
    log.add_round('{"why": "test"}')
    before = log.window().roles
    again = TrafficLog(tmp_path / "log.sqlite", SHAPES, K, window=100)
    assert np.array_equal(again.window().roles, before)
    assert again.state("watch") == {"evidence": [1.5]}
    assert again.rounds() == [{"round": 1, "why": "test"}]


WRITER = """
import numpy as np, sys
from pathlib import Path
from cache_models.follow.traffic import Sample
from cache_models.follow.traffic_log import TrafficLog
log = TrafficLog(Path(sys.argv[1]), [(2, 3), (4,)], 3, window=100)
i = 0
while True:
    with log.transaction():
        log.add([Sample([np.full((2, 3), i), np.full(4, i)], np.eye(3)[0])])
        log.set_state("count", i + 1)
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
    log = TrafficLog(file, SHAPES, K, window=10_000)
    assert log.state("count") >= said
    assert log.count(build=False) == log.state("count")


def test_a_damaged_file_is_put_aside(tmp_path):
    file = tmp_path / "log.sqlite"
    file.write_bytes(b"not a database" * 1000)
    log = TrafficLog(file, SHAPES, K)
    assert log.count(build=False) == 0
    assert len(list(tmp_path.glob("log.sqlite.damaged-*"))) == 1


def test_samples_of_other_cut_points_are_forgotten(tmp_path, log):
    log.add([sample()])
    log.join(build_of(tmp_path / "store", [0], [TRAIN]))
    again = TrafficLog(tmp_path / "log.sqlite", [(5,)], K)
    assert (again.count(build=False), again.count(build=True)) == (0, 0)


OLDER = """
CREATE TABLE samples (
    id INTEGER PRIMARY KEY, at REAL, build INTEGER, role INTEGER, class INTEGER, priority REAL,
    independent INTEGER, weight REAL, probabilities BLOB, features BLOB);
CREATE INDEX by_stratum ON samples (class, role, priority);
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE rounds (number INTEGER PRIMARY KEY, record TEXT);
INSERT INTO state VALUES ('tests', '4'), ('layout', '{"shapes": [[2, 3], [4]], "classes": 3}');
"""


BEFORE_BLOCKS = OLDER.replace("build INTEGER", "build_row INTEGER")


def test_a_file_from_before_there_were_blocks_trains_on_and_tests_where_samples_are_alone(tmp_path):
    file = tmp_path / "log.sqlite"
    db = sqlite3.connect(file)
    db.executescript(BEFORE_BLOCKS)
    features, said = np.full(10, 2, np.float16), np.eye(K, dtype=np.float32)[1]
    for independent in (1, 1, 0):
        db.execute(
            "INSERT INTO samples VALUES (NULL, ?, NULL, 2, 1, 0.5, ?, 4.0, ?, ?)",
            (time.time(), independent, said.tobytes(), features.tobytes()),
        )
    db.commit()
    db.close()
    for _ in range(2):
        log = TrafficLog(file, SHAPES, K)
        assert log.window().weights.tolist() == [4, 4, 0] and log.tests == 4
        assert log.testable() == 0
    blocks_are(log, 0.0)
    assert log.testable() == 2
    log.add([sample()])
    assert log.count(build=False) == 4


def test_a_file_of_the_older_layout_keeps_the_traffic_and_the_tests_spent(tmp_path):
    file = tmp_path / "log.sqlite"
    db = sqlite3.connect(file)
    db.executescript(OLDER)
    for build in (1, 0, 0):
        features, said = np.full(10, 2, np.float16), np.eye(K, dtype=np.float32)[1]
        db.execute(
            "INSERT INTO samples VALUES (NULL, ?, ?, 2, 1, 0.5, 1, 1.0, ?, ?)",
            (time.time(), build, said.tobytes(), features.tobytes()),
        )
    db.commit()
    db.close()
    log = TrafficLog(file, SHAPES, K)
    assert (log.count(build=False), log.count(build=True), log.tests) == (2, 0, 4)
    assert (log.window().features[0] == 2).all()
    log.join(build_of(tmp_path / "store", [0], [TRAIN]))
    assert log.reservoir().roles.tolist() == [TRAIN]
