"""The trainer's file on a disk that fails, is full or flips bits, and by a clock that goes back:
what was written stays, what is damaged is kept aside, and every refusal says what to do."""

import random
import sqlite3

import numpy as np
import pytest

from cache_models.errors import ArtifactError
from cache_models.follow.traffic import Sample
from cache_models.follow.traffic_log import TrafficLog
from cache_models.store.secrets import make_once, secret
from tests.faults import ended_at, limited, out_of_room

SHAPES, K = [(2, 3), (4,)], 3
START = 1.7e9


def samples(count, first=0, at=START):
    """Those of numbers from `first` on, a second after each other."""
    for i in range(first, first + count):
        features = [np.full(shape, i, np.float16) for shape in SHAPES]
        yield Sample(features, np.eye(K)[i % K], agreement=i % 7 / 7, at=at + i)


def opened(file):
    log = TrafficLog(file, SHAPES, K, window=100, seed=0)
    log.set_state("roles", log.state("roles") | {"block_s": 0.0})
    return log


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "log.sqlite"
    log = opened(file)
    log.add(samples(30))
    log.add_round('{"decided": "nothing"}')
    log._database.close()
    return file


def kept(file):
    """Samples, of which none is half there."""
    log = opened(file)
    count = log.count(build=False)
    assert len(log.window().roles) == min(count, 100)
    assert not list(file.parent.glob("*damaged*"))
    log._database.close()
    return count


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "refused"])
def test_a_disk_that_is_full_at_any_byte_takes_nothing_that_was_written(file, killed):
    def add():
        log = opened(file)
        for first in (100, 200):
            log.add(samples(50, first))
            log.set_state("first", first)
            log._database.shrink()

    found, room = [], 1
    while out_of_room(room, add, killed):
        found.append(kept(file))
        assert (found[-1] - 30) % 50 == 0
        room += max(2_000, room // 8)
    assert found and found[0] == 30 and kept(file) >= 130


def test_what_is_killed_while_the_file_is_opened_loses_nothing(file):
    step = 1
    while ended_at(step, lambda: opened(file), None):
        assert kept(file) == 30
        step += 1
    assert step > 1


def test_a_full_disk_is_named_the_file_stays_and_later_all_goes_on(file):
    log = opened(file)
    (pages,) = log._db.execute("PRAGMA page_count").fetchone()
    log._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ArtifactError, match=r"disk is full\. Free space there") as error:
        log.add(samples(2_000, 100))
    assert str(file) in str(error.value) and "\n" not in str(error.value)
    assert log.count(build=False) == 30
    log.set_state("mode", "shadow")
    log._db.execute(f"PRAGMA max_page_count = {10 * pages}")
    log.add(samples(50, 100))
    assert kept(file) == 80 and opened(file).state("mode") == "shadow"


def test_a_full_disk_at_the_start_puts_no_good_file_aside(file):
    with limited(1_000), pytest.raises(ArtifactError, match=r"Free space there"):
        opened(file)
    assert kept(file) == 30


def test_a_commit_that_fails_leaves_no_transaction_open(file):
    log = opened(file)
    with limited(4_000), pytest.raises(ArtifactError):
        log.add(samples(300, 100))
    log.set_state("mode", "shadow")
    assert kept(file) == 30 and opened(file).state("mode") == "shadow"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numbers that no sample has
def test_whichever_bit_is_flipped_it_is_opened_and_used_or_put_aside(file, tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: START + 100)
    content, draw, aside = file.read_bytes(), random.Random(0), 0
    for i in range(150):
        flipped, at = bytearray(content), draw.randrange(len(content))
        flipped[at] ^= 1 << draw.randrange(8)
        copy = tmp_path / str(i) / "log.sqlite"
        copy.parent.mkdir()
        copy.write_bytes(flipped)
        log = opened(copy)
        log.add(samples(3, 50))
        log.window_and_reservoir()
        log.rounds()
        log.tidy()
        assert log.count(build=False) >= 3
        aside += bool(list(copy.parent.glob("*damaged*")))
        log._database.close()
    assert aside > 3


def test_damage_that_shows_while_it_is_open_says_that_a_restart_mends_it(file):
    log = opened(file)
    log._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"is damaged: .* Restart the application"):
        log.add(samples(3_000, 100))
        log.tidy()
    assert opened(file).count(build=False) == 0
    assert list(file.parent.glob("*damaged*"))


def test_by_a_clock_that_goes_back_a_window_that_has_ended_begins_anew(file, monkeypatch):
    log = opened(file)
    log.add(samples(10, 100))
    monkeypatch.setattr("time.time", lambda: START + 1_000)
    log.end_window()
    assert len(log.window().roles) == 0
    log.add(samples(20, 0, START - 86_400))
    assert len(log.window().roles) == 20
    log.spend_test()
    assert log.tests == 1


def test_by_a_clock_that_goes_back_samples_expire_all_the_same(file, monkeypatch):
    log = opened(file)
    log.add(samples(10, 0, START + 1e8))
    monkeypatch.setattr("time.time", lambda: START + 100)
    log.tidy()
    assert log.count(build=False) == 30


def test_an_older_file_whose_window_had_ended_by_the_clock_is_taken_over(file):
    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 0")
    db.execute("DELETE FROM state WHERE name = 'window_end'")
    db.execute("INSERT INTO state VALUES ('window_ended', ?)", (str(START + 19.5),))
    db.commit()
    db.close()
    assert len(opened(file).window().roles) == 10


def test_samples_of_another_base_dnn_are_not_learned_from(file):
    assert TrafficLog(file, SHAPES, K, fingerprint="ours").count(build=False) == 0


def test_a_secret_is_there_whole_or_not_at_all(tmp_path):
    step = 1
    while ended_at(step, lambda: make_once(tmp_path, "key", lambda: "x" * 40), None):
        if (tmp_path / "key").exists():
            assert secret(tmp_path, "key") == "x" * 40
            (tmp_path / "key").unlink()
        step += 1
    assert step > 3 and secret(tmp_path, "key") == "x" * 40
    with limited(10), pytest.raises(ArtifactError, match="Free space"):
        make_once(tmp_path, "other", lambda: "x" * 40)
    assert not (tmp_path / "other").exists()
