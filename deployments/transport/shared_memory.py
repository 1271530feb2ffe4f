"""Large arrays between processes of one node: in memory that both see, not through a socket.

Whoever sends an array writes it to a ring buffer of its own, an anonymous file (memfd), and sends
where it lies. Whoever receives that has an array that is *lent*: it can be passed on unread, and to
read it makes a copy. So an activation waits where its partition has put it; the router, which asks
a lookup meanwhile and on a miss the next partition, knows its place alone, and a hit moves none of
it.

A place stays as it is until the message that it belongs to has been answered; that of a reply for a
while, longer than a lookup may take. Then it may be written anew. Each has a number, which is
written with it, so that who reads too late knows. Where there is no room the array goes by the
socket.
"""

import itertools
import math
import mmap
import os
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple, Self, TypeVar

import numpy as np

from cache_models.network.stages import Activation, Reply
from deployments.transport.errors import Gone, Lost, Unshared

LEAST_BYTES = 32_768
"""Of an array; a smaller one is sooner there by the socket."""
NAME = "gati"
ALIGNED = 64


T = TypeVar("T", bound=tuple)


class Slot(NamedTuple):
    """Where an array lies.

    Attributes:
        process, file: whose ring it is, and which of that process's files.
        ring: the ring's number, at its beginning.
        start: of the array's number, in bytes; the array follows `ALIGNED` bytes later.
        number: of the array.
    """

    process: int
    file: int
    ring: int
    start: int
    number: int


class Ring:
    """What this process lends.

    Args:
        size: in bytes. Memory is taken as it is written to, from the beginning on, so that who
            lends little has little.
        hold_s: for which a place stays as it is.
        clock: in seconds.
    """

    def __init__(self, size: int, hold_s: float, clock: Callable[[], float] = time.monotonic):
        self._size, self._hold_s, self._clock = size, hold_s, clock
        self._file = os.memfd_create(NAME, os.MFD_CLOEXEC)
        os.ftruncate(self._file, size)
        self._memory = np.frombuffer(mmap.mmap(self._file, size), np.uint8)
        self._number = secrets.randbits(62)
        self._numbers = itertools.count(secrets.randbits(62))
        self._set(0, self._number)
        self._held: dict[int, tuple[int, int, float]] = {}  # start, end, until; oldest first
        self._end = ALIGNED

    @classmethod
    def of(cls, size: int, hold_s: float) -> Self | None:
        """A ring, or None where there is to be none, or this system has no such files."""
        return cls(size, hold_s) if size and hasattr(os, "memfd_create") else None

    def lend(self, array: np.ndarray) -> Slot | None:
        """Write an array; None where there is no room for it now."""
        now = self._clock()
        while self._held and (oldest := next(iter(self._held))) and self._held[oldest][2] < now:
            del self._held[oldest]
        length = ALIGNED + array.nbytes
        length += -length % ALIGNED
        if (start := self._room(length)) is None:
            return None
        number = next(self._numbers)
        self._set(start, 0)  # nobody takes it for whole while it is written
        begin = start + ALIGNED
        there = self._memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
        np.copyto(there, array)
        self._set(start, number)
        self._end = start + length
        self._held[number] = start, self._end, now + self._hold_s
        return Slot(os.getpid(), self._file, self._number, start, number)

    def free(self, slot: Slot) -> None:
        """Whoever it was for has read it."""
        if slot.number in self._held:
            start, end, _ = self._held[slot.number]
            self._held[slot.number] = start, end, -math.inf

    @property
    def held_s(self) -> float:
        """How long somebody may still come to read."""
        latest = max((until for _, _, until in self._held.values()), default=-math.inf)
        return max(0.0, latest - self._clock())

    def close(self) -> None:
        """Lend nothing more; who sees this memory already can still read it."""
        if self._size:
            os.close(self._file)
            self._size = 0

    def _room(self, length: int) -> int | None:
        """Where so many bytes are free."""
        if not self._held:
            return ALIGNED if ALIGNED + length <= self._size else None
        first, last = next(iter(self._held.values()))[0], self._end
        if last <= first:  # what is held goes round the end
            return last if last + length <= first else None
        if last + length <= self._size:
            return last
        return ALIGNED if ALIGNED + length <= first else None

    def _set(self, start: int, number: int) -> None:
        self._memory[start : start + 8].view(np.int64)[0] = number


class Loan:
    """What one message lends.

    Args:
        ring: None where the other end does not see it.
    """

    def __init__(self, ring: Ring | None):
        self._ring = ring
        self._slots: list[Slot] = []

    @property
    def possible(self) -> bool:
        return self._ring is not None

    def lend(self, array: np.ndarray) -> Slot | None:
        """As of `Ring`; None, too, of a small array."""
        if self._ring is None or array.nbytes < LEAST_BYTES:
            return None
        if (slot := self._ring.lend(array)) is not None:
            self._slots.append(slot)
        return slot

    def end(self) -> None:
        """It has been read."""
        for slot in self._slots:
            assert self._ring is not None
            self._ring.free(slot)


class Lent:
    """An array that lies in another process's ring; like an array, where it is passed on."""

    def __init__(self, slot: Slot, dtype: np.dtype, shape: tuple[int, ...]):
        self.slot, self.dtype, self.shape = slot, dtype, shape
        self.nbytes = dtype.itemsize * math.prod(shape)

    def see(self) -> None:
        """Map the memory, so that it can be read though its process ends.

        Raises:
            Lost, Unshared: as of `read`.
        """
        _mapped(self.slot)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        return self.read()[rows]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.read(), dtype)

    def read(self) -> np.ndarray:
        """A copy.

        Raises:
            Gone: it has been written over.
            Lost: whoever lent it has ended.
            Unshared: this process cannot see the other's memory.
        """
        memory, start = _mapped(self.slot), self.slot.start
        begin = start + ALIGNED
        if start < ALIGNED or start % ALIGNED or begin + self.nbytes > len(memory):
            raise Lost("what was lent lies outside its ring")
        number = memory[start : start + 8].view(np.int64)
        copy = memory[begin : begin + self.nbytes].copy().view(self.dtype).reshape(self.shape)
        if number[0] != self.slot.number:  # now, so that it was there all the time
            raise Gone("what was lent has been written over: its reader was too late")
        return copy


def owned(message: T) -> T:
    """A message, or a reply, with copies of what is lent in it.

    Raises:
        Gone, Lost, Unshared: as of `Lent.read`.
    """
    if not any(isinstance(value, Lent) for value in message):
        return message
    values = (value.read() if isinstance(value, Lent) else value for value in message)
    return type(message)(*values)


def received(reply: Reply) -> Reply:
    """A reply as a router keeps it: activations stay where they are, the rest it has itself.

    Raises:
        Gone, Lost, Unshared: as of `Lent.read`.
    """
    if not isinstance(reply, Activation):
        return owned(reply)
    for value in reply:
        if isinstance(value, Lent):
            value.see()
    return reply


_rings: dict[tuple[int, int], np.ndarray] = {}
"""Of other processes, that this one has mapped."""


def _mapped(slot: Slot) -> np.ndarray:
    memory = _rings.get(slot[:2])
    if memory is None or memory[:8].view(np.int64)[0] != slot.ring:
        for gone in [key for key in _rings if not os.path.exists(_path(*key))]:
            del _rings[gone]
        memory = _rings[slot[:2]] = _map(slot)
    return memory


def _map(slot: Slot) -> np.ndarray:
    path = _path(*slot[:2])
    try:
        if not os.readlink(path).startswith(f"/memfd:{NAME} "):
            raise FileNotFoundError(path)
        with open(path, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise Lost("the process that lent it has ended") from error
    except (OSError, ValueError) as error:
        raise Unshared(f"{path} cannot be read: {error}") from error
    memory = np.frombuffer(mapped, np.uint8)
    if memory[:8].view(np.int64)[0] != slot.ring:
        raise Lost("the process that lent it has ended, and another has its number")
    return memory


def _path(process: int, file: int) -> str:
    return f"/proc/{process}/fd/{file}"
