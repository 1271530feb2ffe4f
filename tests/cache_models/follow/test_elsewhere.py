"""The trainer's file outlives its node: samples as of the last copy, what operators and alarms said
and tests that were spent as of now."""

import time

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from cache_models.errors import ArtifactError
from cache_models.follow.elsewhere import COPIES, TOLD, KeptElsewhere, read_told, restore
from cache_models.follow.traffic import Sample
from cache_models.follow.traffic_log import TrafficLog
from cache_models.store.remote import Remote
from cache_models.store.versions import Store
from tests.cache_models.store.test_elsewhere import Stopped, elsewhere, stopping_at

NEVER_S = 1e6
URL = "memory://bucket/store"


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    yield URL if request.param == "memory" else f"file://{tmp_path}/shared"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture
def starts(url, tmp_path, monkeypatch):
    """The trainer starts on a node, and has this log."""

    def on(node, store=url):
        monkeypatch.setenv("GATI_HOME", str(tmp_path / node))
        store = Store(store)
        file = store.folder / "traffic.sqlite"
        restore(store, file)
        log = TrafficLog(file, [(2,)], 3)
        if store.mirror is not None:
            log.elsewhere = KeptElsewhere(store, log, file, NEVER_S)
            log.elsewhere.save()  # as its thread does when nothing is there
        return log

    return on


def add(log, count):
    log.add(Sample([np.zeros(2, np.float16)], np.eye(3, dtype=np.float32)[0]) for _ in range(count))


def held(log):
    return log.count(build=False)


def files(url):
    system, path = elsewhere(url, COPIES)
    return system.find(path)


def test_another_node_goes_on_from_the_last_copy_and_what_was_told_since(starts, url):
    log = starts("a")
    add(log, 5)
    log.set_state("mode", "shadow")
    log.elsewhere.save()
    add(log, 2)  # which are lost with the node
    log.set_state("mode", "off")
    log.tell()
    log.set_state("watch", "told with the next copy")
    other = starts("b")
    assert held(other) == 5
    assert other.state("mode") == "off" and other.state("watch") is None
    assert other.states().keys() == log.states().keys() - {"watch"}


def test_the_same_node_goes_on_from_its_own_file(starts):
    log = starts("a")
    add(log, 5)
    log.elsewhere.save()
    add(log, 2)
    assert held(starts("a")) == 7


def test_a_node_that_the_trainer_comes_back_to_takes_what_came_on_others(starts):
    add(starts("a"), 5)
    log = starts("b")
    add(log, 3)
    log.elsewhere.save()
    assert held(starts("a")) == 3


def test_a_test_is_told_before_it_reads_a_sample_and_counts_elsewhere(starts, url, monkeypatch):
    log = starts("a")
    add(log, 50)
    log.elsewhere.save()
    add(log, 10)
    log.spend_test()
    other = starts("b")
    assert held(other) == 50 and other.tests == 1
    monkeypatch.setattr(type(fsspec.url_to_fs(url)[0]), "cat_file", None)
    with pytest.raises(ArtifactError, match="cannot be reached"):
        other.spend_test()
    assert other.tests == 2


def test_whose_place_another_has_taken_writes_no_more(starts):
    lost = starts("a")
    add(lost, 5)
    lost.elsewhere.save()
    log = starts("b")  # from which moment on
    add(lost, 5)
    for write in (lost.tell, lost.elsewhere.save, lost.spend_test):
        with pytest.raises(ArtifactError, match="another trainer keeps its file"):
            write()
    log.set_state("mode", "off")
    log.tell()
    other = starts("c")
    assert held(other) == 5 and other.state("mode") == "off" and not other.tests


def test_deleted_samples_are_deleted_elsewhere_and_copies_do_not_gather(starts, url):
    log = starts("a")
    for _ in range(3):
        add(log, 5)
        log.elsewhere.save()
        assert len(files(url)) == 1
    (before,) = files(url)
    log.delete_samples()
    (now,) = files(url)
    assert now != before and held(starts("b")) == 0


def test_two_trainers_on_one_node_as_in_an_update_leave_the_last_copy(starts, url):
    first, second = starts("a"), starts("a")
    for log in (first, second, first):
        add(log, 5)
        log.elsewhere.save()
    second.tell()
    assert len(files(url)) == 1 and held(starts("b")) == 15


def test_nothing_new_is_not_copied_again_and_a_round_is_at_once(starts, url):
    log = starts("a")
    add(log, 5)
    log.elsewhere.save()
    (before,) = files(url)
    log.elsewhere.save()
    assert files(url) == [before]
    log.add_round("{}")
    remote, deadline = Store(url).mirror.remote, time.monotonic() + 30
    while read_told(remote).copy_of_file.name in before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert starts("b").count_rounds() == 1


@pytest.mark.parametrize("error", [Stopped(), OSError("no more")], ids=["killed", "refused"])
def test_a_copy_that_ends_at_any_write_leaves_one_whole(starts, url, error):
    log, step = starts("a"), 1
    while True:
        add(log, 1)
        with pytest.MonkeyPatch.context() as patch:
            stopping_at(step, url, patch, error)
            try:
                log.elsewhere.save()
                break
            except (Stopped, ArtifactError):
                pass
        other = Store(url).mirror.remote
        assert other.read(TOLD)
        step += 1
    assert step > 3
    assert held(starts("b")) == held(log)


def test_a_damaged_copy_costs_samples_and_nothing_else(starts, url, caplog):
    log = starts("a")
    add(log, 5)
    log.spend_test()
    log.set_state("mode", "off")
    log.elsewhere.save()
    (file,) = files(url)
    elsewhere(url, "")[0].pipe_file(file, b"altered")
    other = starts("b")
    assert held(other) == 0 and other.state("mode") == "off"
    assert other.tests == 0  # no sample is there that it read
    assert "missing or damaged" in caplog.text


@pytest.mark.parametrize("told", [b"", b"{", b'{"format": 2}'])
def test_what_is_altered_is_named_and_deleting_it_begins_anew(starts, url, told):
    log = starts("a")
    add(log, 5)
    log.elsewhere.save()
    system, path = elsewhere(url, TOLD)
    system.pipe_file(path, told)
    for node in "ab":
        with pytest.raises(ArtifactError, match=r"trainer\.json is altered"):
            starts(node)
    system.rm(path)
    assert held(starts("a")) == 0


def test_whichever_bit_of_what_is_told_is_flipped_it_is_right_or_refused_in_one_line(starts, url):
    log = starts("a")
    log.spend_test()
    log.set_state("mode", "off")
    log.elsewhere.tell()
    remote, (system, path) = Remote(url), elsewhere(url, TOLD)
    content, right = system.cat_file(path), read_told(Remote(url))
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        system.pipe_file(path, bytes(flipped))
        try:
            told = read_told(remote)
        except ArtifactError as error:
            assert "is altered" in str(error) and len(str(error).splitlines()) == 1
        else:
            assert told.model_copy(update={"checksum": right.checksum}) == right


def test_a_folder_goes_to_several_nodes_and_back(starts, tmp_path):
    folder = tmp_path / "folder"
    log = starts("a", folder)
    add(log, 5)  # some are in the log beside the file, as after a kill
    several = starts("a", f"file://{folder}")
    assert held(several) == 5
    add(several, 2)
    several.elsewhere.save()
    one = starts("a", folder)
    assert held(one) == 7
    add(one, 1)
    assert held(starts("b", f"file://{folder}")) == 8
    assert held(starts("a", f"file://{folder}")) == 8


def test_copies_of_the_traffic_are_for_their_owner_alone(starts, tmp_path):
    log = starts("a", f"file://{tmp_path}/store")
    add(log, 5)
    log.elsewhere.save()
    files = [*(tmp_path / "store" / COPIES).iterdir(), *tmp_path.rglob("traffic.sqlite")]
    assert len(files) == 2
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
