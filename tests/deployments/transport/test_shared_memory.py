"""What is lent is read as it was written, or known to be gone; it is never something else."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_models.network.stages import Activation, Run
from deployments.transport import shared_memory
from deployments.transport.errors import Gone, Lost, Unshared
from deployments.transport.frames import from_frames, to_frames
from deployments.transport.shared_memory import LEAST_BYTES, Lent, Loan, Ring, Slot, owned

ROOM = 4 * (LEAST_BYTES + 64)
LARGE = np.arange(LEAST_BYTES // 2, dtype=np.float16).reshape(2, -1)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def lent(slot, array):
    return Lent(slot, array.dtype, array.shape)


def test_a_large_array_is_lent_and_a_small_one_is_sent():
    small = np.ones(3, np.float32)
    frames = to_frames([LARGE, small, "text"], Loan(Ring(ROOM, 1.0)))
    assert sum(len(bytes(frame)) for frame in frames) < 500
    arrived = from_frames([bytes(frame) for frame in frames])
    assert isinstance(arrived[0], Lent) and len(arrived[0]) == 2
    assert np.array_equal(arrived[0].read(), LARGE) and arrived[0].dtype == LARGE.dtype
    assert np.array_equal(arrived[0][[1]], LARGE[[1]])
    assert np.array_equal(np.asarray(arrived[0]), LARGE)
    assert np.array_equal(arrived[1], small) and arrived[2] == "text"


def test_what_is_lent_is_passed_on_unread_and_to_another_node_read():
    ring = Ring(ROOM, 1.0)
    (found,) = from_frames(to_frames([LARGE], Loan(ring)))
    (again,) = from_frames(to_frames([found], Loan(Ring(ROOM, 1.0))))
    assert isinstance(again, Lent) and again.slot == found.slot
    (elsewhere,) = from_frames(to_frames([found]))
    assert isinstance(elsewhere, np.ndarray) and np.array_equal(elsewhere, LARGE)


def test_a_message_of_ones_own_has_copies():
    ring = Ring(ROOM, 1.0)
    (found,) = from_frames(to_frames([LARGE], Loan(ring)))
    message = owned(Run(found, True))
    assert isinstance(message.batch, np.ndarray) and message.resized
    reply = owned(Activation(LARGE[:, :2], found))
    assert np.array_equal(reply.activation, LARGE) and reply.queued_ms is None


def test_a_ring_without_room_lends_nothing_until_it_is_free_again():
    clock = Clock()
    ring = Ring(ROOM, 1.0, clock)
    slots = [ring.lend(LARGE) for _ in range(4)]
    assert slots[2] is not None and slots[3] is None
    (sent,) = from_frames(to_frames([LARGE], Loan(ring)))
    assert isinstance(sent, np.ndarray)  # by the socket
    assert ring.lend(np.zeros(ROOM, np.uint8)) is None
    ring.free(slots[1])
    assert ring.lend(LARGE) is None  # the one before it is still to be read
    ring.free(slots[0])
    assert ring.lend(LARGE) is not None
    clock.now = 1.5
    assert ring.held_s == 0 and ring.lend(LARGE) is not None
    assert ring.held_s == 1.0


def test_a_loan_is_free_when_it_has_ended():
    ring = Ring(ROOM, 1e6)
    for i in range(100):
        loan = Loan(ring)
        slot = loan.lend(LARGE + i)
        assert slot is not None and np.array_equal(lent(slot, LARGE).read(), LARGE + i)
        loan.end()


steps = st.lists(
    st.tuples(
        st.sampled_from(["lend", "free", "wait"]),
        st.integers(0, 5),
        st.sampled_from([64, 100, 1000, 3000]),
    ),
    max_size=60,
)


@given(steps)
def test_whoever_reads_gets_what_was_lent_or_knows_that_it_is_gone(taken):
    clock = Clock()
    ring = Ring(8192, 1.0, clock)
    all_lent = []  # the slot, what it holds, and until when
    for n, (what, which, size) in enumerate(taken):
        if what == "lend":
            array = np.full(size, n, np.uint8)
            if (slot := ring.lend(array)) is not None:
                all_lent.append([slot, array, clock.now + 1.0])
        elif what == "free" and all_lent:
            chosen = all_lent[which % len(all_lent)]
            ring.free(chosen[0])
            chosen[2] = -1.0
        elif what == "wait":
            clock.now += which / 4
        for slot, array, until in all_lent:
            try:
                assert np.array_equal(lent(slot, array).read(), array)
            except Gone:
                assert until < clock.now


LENDER = """
import sys
import numpy as np
from deployments.transport.shared_memory import Ring
ring = Ring(2**20, 1e6)
print(*ring.lend(np.arange(20_000)), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("seen", [True, False])
def test_another_process_reads_it_also_when_the_first_has_ended_if_it_had_seen_it(seen):
    command = [sys.executable, "-c", LENDER]
    lender = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        found = Lent(Slot(*map(int, lender.stdout.readline().split())), np.dtype(int), (20_000,))
        if seen:
            found.see()
    finally:
        lender.communicate()
    if seen:
        assert np.array_equal(found.read(), np.arange(20_000))
    else:
        with pytest.raises(Lost, match="has ended"):
            found.read()


@pytest.mark.parametrize(
    "changes",
    [
        {"start": -64},
        {"start": 1},
        {"start": 64 * 10**6},
        {"start": 0},
        {"number": 1},
        {"ring": 1},
        {"file": 0},
        {"file": 10**30},
        {"process": 1, "file": 10**6},
    ],
)
def test_a_place_where_nothing_was_lent_is_not_read(changes):
    slot = Ring(ROOM, 1.0).lend(LARGE)
    with pytest.raises((Gone, Lost, Unshared)):
        lent(slot._replace(**changes), LARGE).read()


def test_memory_of_a_process_that_may_not_be_looked_into_is_known_to_be_so(monkeypatch):
    def refuse(path):
        raise PermissionError(path)

    slot = Ring(ROOM, 1.0).lend(LARGE)
    monkeypatch.setattr(shared_memory.os, "readlink", refuse)
    with pytest.raises(Unshared):
        lent(slot._replace(ring=5), LARGE).read()


def test_there_is_no_ring_where_none_is_wanted():
    assert Ring.of(0, 1.0) is None
