"""A ring of frames in anonymous shared memory, between one writer process and one reader process.

The memory is a memfd: it has no name, so a crash of either side leaves nothing behind, and it is sealed against
shrinking, so neither side can make the other fault. Layout: header, one record per slot, padding to a page, then the
pixels, `slot_bytes` for each slot.

A slot is free (the writer may fill it), ready (filled, unread) or reading (lent to the reader). The writer fills a
slot while it is still free: a writer killed half way leaves a free slot, never a torn frame.

Every change of state happens under a POSIX record lock (fcntl) on the memfd. Such locks belong to a process: they
exclude the writer process from the reader process, not threads of one process from each other (each side uses the ring
from one thread), and the kernel drops them when the process dies. No wait for the lock is unbounded: `Busy` is raised.
The lock is also the memory barrier between the two sides.

Numbers: the writer numbers every frame that the source gave, also those that were dropped; so a gap in the numbers that
the reader sees is exactly what `drops` counts, by reason. `reader_waits` and `writer_waits` say who must be woken: they
are set under the lock by the side that found nothing, and the other side then sends one nudge. No polling, no lost
wake-up.

The reader says what it wants: one frame in `every`, none before `wanted_ns`, all while it is `hungry`.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from edge.capture.drops import RING_REASONS, DropPolicy, DropReason
from edge.capture.frozen import RECENT
from edge.types import Image

__all__ = ["Busy", "Ring", "Stamp", "Taken"]

_FREE, _READY, _READING = 0, 1, 2
_MAX_SLOTS = 64
_HEADER = np.dtype(
    [
        ("slots", "<i8"),
        ("slot_bytes", "<i8"),
        ("next_number", "<i8"),
        ("reader_waits", "<i8"),
        ("writer_waits", "<i8"),
        ("every", "<i8"),
        ("wanted_ns", "<i8"),
        ("hungry", "<i8"),
        ("drops", "<i8", (len(RING_REASONS),)),
        ("pictures", "<i8", (RECENT,)),  # checksums of the last pictures, -1 where there are fewer
    ]
)
_SLOT = np.dtype(
    [
        ("state", "<i8"),
        ("number", "<i8"),
        ("height", "<i8"),
        ("width", "<i8"),
        ("captured_ns", "<i8"),
        ("captured_wall_ns", "<i8"),
    ]
)
_LOCK_PAUSE_S = 50e-6  # the lock is held for microseconds; only a process stopped in that moment is waited for longer
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Busy(Exception):  # noqa: N818  # not a failure: come back later
    """The other process did not let go of the lock in time."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a frame was captured: CLOCK_MONOTONIC, which both processes share, and UTC since 1970."""

    captured_ns: int
    captured_wall_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A frame lent to the reader: `image` is a read-only view of the slot, valid until the slot is given back."""

    slot: int
    number: int
    image: Image
    stamp: Stamp


class Ring:
    """One mapping of the memory; `create` in the writer, `attach` in the reader."""

    def __init__(self, descriptor: int, flags: int = mmap.MAP_SHARED) -> None:
        """Map `descriptor` and own it. Raises ValueError when the memory is not a ring."""
        size = os.fstat(descriptor).st_size
        memory = mmap.mmap(descriptor, size, flags)
        header = np.frombuffer(memory, _HEADER, 1)[0]
        slots, slot_bytes = int(header["slots"]), int(header["slot_bytes"])
        if not (2 <= slots <= _MAX_SLOTS and slot_bytes > 0 and size == _pixels_offset(slots) + slots * slot_bytes):
            raise ValueError(f"{size} bytes of shared memory are not a ring of {slots} slots of {slot_bytes} bytes")
        self.descriptor = descriptor
        self.slot_bytes = slot_bytes
        self._header = header
        self._drops = header["drops"]
        self._slots = np.frombuffer(memory, _SLOT, slots, offset=_HEADER.itemsize)
        self._states = self._slots["state"]
        self._numbers = self._slots["number"]
        pixels = np.frombuffer(memory, np.uint8, slots * slot_bytes, offset=_pixels_offset(slots))
        self._pixels = pixels.reshape(slots, slot_bytes)
        self._published_ns = 0
        self._lent = self._pixels.view()
        self._lent.flags.writeable = False

    @classmethod
    def create(cls, slots: int, slot_bytes: int, first_number: int = 0) -> Ring:
        """Make the memory: `slots` frames of at most `slot_bytes` bytes; the first frame gets `first_number`."""
        header = np.array([(slots, slot_bytes, first_number, 0, 0, 1, 0, 1, 0, -1)], _HEADER)
        mapped = mmap.MAP_SHARED | mmap.MAP_POPULATE  # what no process has touched is missing in accounts of processes
        descriptor = os.memfd_create("shelfedge-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            # Allocated now, so that a machine without memory fails here with an error and not later with SIGBUS.
            os.posix_fallocate(descriptor, 0, _pixels_offset(slots) + slots * slot_bytes)
            os.pwrite(descriptor, header.tobytes(), 0)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        except BaseException:
            os.close(descriptor)
            raise
        return cls.attach(descriptor, mapped)

    @classmethod
    def attach(cls, descriptor: int, flags: int = mmap.MAP_SHARED) -> Ring:
        """Map a ring that the other process made. Raises ValueError, and closes `descriptor`, when it is not one."""
        if descriptor < 0:
            raise ValueError("no shared memory came with the message")
        try:
            return cls(descriptor, flags)
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Give back the descriptor, and with it the lock. The memory itself lives as long as a view of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    # The numbers below may be read without the lock: one aligned word each, at worst a moment old.

    @property
    def next_number(self) -> int:
        """The number that the next frame of the source gets, one above every frame in the slots."""
        return max(
            int(self._header["next_number"]), int(self._numbers.max(initial=-1, where=self._states != _FREE)) + 1
        )

    @property
    def drops(self) -> tuple[int, ...]:
        """How many frames of the source passed by this ring without ever being lent, for each of RING_REASONS."""
        return tuple(self._drops.tolist())

    @property
    def pictures(self) -> list[int]:
        """Checksums of the last pictures, oldest first: what the next opening of the camera must not repeat."""
        return [picture for picture in self._header["pictures"].tolist() if picture >= 0]

    @property
    def writer_waits(self) -> bool:
        """Whether the writer sleeps until a slot is given back."""
        return bool(self._header["writer_waits"])

    # The writer's side.

    def claim(self, policy: DropPolicy, wait_ms: int) -> int | None:
        """Return a slot to fill, or None when there is none.

        With DROP_OLDEST the oldest unread frame gives way and is counted. With WAIT the reader is asked to send a nudge
        when it gives a slot back.
        """
        with self._locked(wait_ms):
            free = np.flatnonzero(self._states == _FREE)
            if len(free):
                return int(free[0])
            if policy is not DropPolicy.DROP_OLDEST:
                self._header["writer_waits"] = int(policy is DropPolicy.WAIT)
                return None
            oldest = self._oldest_ready()
            if oldest is not None:
                self._states[oldest] = _FREE
                self._count(DropReason.NEWER_FRAME)
            return oldest

    def publish(self, slot: int, height: int, width: int, stamp: Stamp, wait_ms: int) -> bool:
        """Number the frame in `slot` and make it ready; True when the reader waits for a nudge."""
        with self._locked(wait_ms):
            number = int(self._header["next_number"])
            self._slots[slot] = (_FREE, number, height, width, stamp.captured_ns, stamp.captured_wall_ns)
            self._states[slot] = _READY
            self._published_ns = stamp.captured_ns
            self._header["next_number"] = number + 1
            waits = bool(self._header["reader_waits"])
            self._header["reader_waits"] = 0
            return waits

    def skip(self, reason: DropReason, wait_ms: int) -> None:
        """Number and count a frame of the source that is not published."""
        with self._locked(wait_ms):
            self._count(reason)
            self._header["next_number"] += 1

    def remember(self, pictures: Iterable[int]) -> None:
        """Keep the checksums of the last pictures, oldest first, where they outlive this process."""
        kept = list(pictures)
        self._header["pictures"] = kept + [-1] * (RECENT - len(kept))

    def unwanted(self, captured_ns: int, least_rate_ns: int) -> DropReason | None:
        """Return why the reader does not want the frame that comes next, None where it does.

        One that is as late as `least_rate_ns` after the last published one is wanted whatever it says.
        """
        header = self._header
        if int(header["next_number"]) % max(1, int(header["every"])):
            return DropReason.THINNED
        early = captured_ns < int(header["wanted_ns"]) and captured_ns - self._published_ns < least_rate_ns
        return DropReason.UNASKED if early and not header["hungry"] else None

    def pixels(self, slot: int, height: int, width: int) -> Image:
        """Return the writable (height, width, 3) view at the start of `slot`."""
        return self._shaped(self._pixels, slot, height, width)

    # The reader's side.

    def ready(self, wait_ms: int) -> bool:
        """Whether a frame is ready; when none is, the writer is asked to send a nudge with the next one."""
        with self._locked(wait_ms):
            oldest = self._oldest_ready()
            self._header["reader_waits"] = int(oldest is None)
            return oldest is not None

    def want(self, every: int, wanted_ns: int) -> None:
        """Ask for one frame in `every`, and for none that is captured before `wanted_ns`; nobody is hungry any more."""
        self._header["every"], self._header["wanted_ns"], self._header["hungry"] = every, wanted_ns, 0

    def hunger(self) -> None:
        """Ask for any frame until the next `want`."""
        self._header["hungry"] = 1

    def take(self, wait_ms: int, newest: bool = False) -> Taken | None:
        """Borrow the oldest ready frame; None when there is none, and then a nudge is asked for as in `ready`.

        With `newest` all others give way to the newest one and are counted. Raises ValueError when the writer wrote a
        size that its slot cannot hold.
        """
        with self._locked(wait_ms):
            slot = self._oldest_ready()
            while newest and slot is not None and np.count_nonzero(self._states == _READY) > 1:
                self._states[slot] = _FREE
                self._count(DropReason.NEWER_FRAME)
                slot = self._oldest_ready()
            self._header["reader_waits"] = int(slot is None)
            if slot is None:
                return None
            self._states[slot] = _READING
            _, number, height, width, captured_ns, captured_wall_ns = self._slots[slot].item()
        image = self._shaped(self._lent, slot, height, width)
        return Taken(slot, number, image, Stamp(captured_ns, captured_wall_ns))

    def give_back(self, slot: int, wait_ms: int) -> bool:
        """End the loan of `slot`; True when the writer waits for a nudge."""
        with self._locked(wait_ms):
            self._states[slot] = _FREE
            waits = bool(self._header["writer_waits"])
            self._header["writer_waits"] = 0
            return waits

    def _count(self, reason: DropReason) -> None:
        self._drops[RING_REASONS.index(reason)] += 1

    def _oldest_ready(self) -> int | None:
        ready = np.flatnonzero(self._states == _READY)
        return int(ready[np.argmin(self._numbers[ready])]) if len(ready) else None

    def _shaped(self, pixels: Image, slot: int, height: int, width: int) -> Image:
        if min(height, width) < 1 or height * width * 3 > self.slot_bytes:
            raise ValueError(f"a frame of {width}x{height} does not fit into a slot of {self.slot_bytes} bytes")
        return pixels[slot, : height * width * 3].reshape(height, width, 3)

    @contextmanager
    def _locked(self, wait_ms: int) -> Iterator[None]:
        give_up_ns = time.monotonic_ns() + wait_ms * 1_000_000
        while True:
            try:
                fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
                break
            except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: the other process holds it
                if time.monotonic_ns() >= give_up_ns:
                    raise Busy(f"the other process kept the ring locked for {wait_ms} ms") from None
                time.sleep(_LOCK_PAUSE_S)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1)


def _pixels_offset(slots: int) -> int:
    records = _HEADER.itemsize + slots * _SLOT.itemsize
    return -(-records // mmap.PAGESIZE) * mmap.PAGESIZE
