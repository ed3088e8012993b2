"""The capture process of one camera: `python -m edge.capture.child DESCRIPTOR PARENT_PID`, started by `spawn`.

It opens the source, decodes frames into the ring and tells the parent what happens. It lives no longer than its
parent: the kernel kills it when the parent dies (PR_SET_PDEATHSIG), and the end of the channel ends it too. What to
open comes over the channel, never on the command line, where every user of the machine could read a password.

What the reader does not want is grabbed, so that the source goes on, and not decoded (`edge.capture.pace`). When the
ring is full, `when_full` says who gives way (`edge.capture.drops`). A picture that a live camera gives again
goes no further, and a camera that gives nothing else has failed (`edge.capture.frozen`). When a picture does
not fit into the ring, a larger ring is announced: the parent reads the old one to its end first. A parent that wants to
be asked grants the memory of each ring before it is made: a file waits for that, anything else is read on, counted and
not kept. Imports numpy and cv2 and nothing else that is large.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence

import cv2
import numpy as np

from edge.capture.address import Address, SourceKind, parse_source
from edge.capture.channel import Channel, Gone, Message
from edge.capture.complaints import Complaints
from edge.capture.drops import DropPolicy, DropReason
from edge.capture.failure import CaptureReason, SourceFailure
from edge.capture.frozen import Pictures
from edge.capture.opening import Source, open_source
from edge.capture.pace import LEAST_RATE_NS
from edge.capture.ring import Ring, Stamp
from edge.errors import ShelfedgeError
from edge.types import Image

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_LOCK_WAIT_MS = 1_000  # a parent that is stopped for longer inside the lock is a reason to end
_MAX_TEXT = 500  # characters of a text for the parent
_DECODING = 2  # pictures of memory that are held beside the ring while one is decoded: measured
_MAX_SKIPS_TOLD = 8  # per pass of a file; the rest is told by the sum at its end, which a live source has not


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one camera until it ends, fails or the parent goes; the parent judges by the messages, not by the code."""
    descriptor, parent = (int(argument) for argument in (sys.argv[1:] if arguments is None else arguments))
    _die_with(parent)
    complaints = Complaints()
    cv2.setNumThreads(1)
    channel = Channel(socket.socket(fileno=descriptor))
    try:
        try:
            _Feed(channel, _order(channel), complaints).run()
        except SourceFailure as failure:
            _tell(channel, failure)
        except (ShelfedgeError, OSError, ValueError, cv2.error, MemoryError) as error:
            text = f"the capture process met {type(error).__name__}: {error}"
            channel.send("failed", reason=CaptureReason.PROCESS_DIED.value, text=text[:_MAX_TEXT])
    except Gone:
        return 0
    return 0


class _Feed:
    """From the source to the ring."""

    def __init__(self, channel: Channel, order: Message, complaints: Complaints) -> None:
        self._channel = channel
        self._complaints = complaints
        self._address: Address = parse_source(order.fields["source"])
        self._loop = bool(order.fields["loop"]) and not self._address.is_live
        self._realtime = bool(order.fields["realtime"]) and not self._address.is_live
        self._slots = int(order.fields["slots"])
        self._open_timeout_ms = int(order.fields["open_timeout_ms"])
        self._read_timeout_ms = int(order.fields["read_timeout_ms"])
        self._first_number = int(order.fields["first_number"])
        self._policy = DropPolicy(order.fields["when_full"])
        self._pictures = Pictures(order.fields["pictures"], int(order.fields["frozen_after_ms"]))
        self._can_freeze = self._address.is_live and self._address.kind is not SourceKind.SYNTHETIC
        self._asks = bool(order.fields["asks"])
        self._asked_bytes = 0  # until it is taken
        self._granted = False
        self._ring: Ring | None = None
        self._shape = (0, 0)
        self._skips_told = 0

    def run(self) -> None:
        """Go through the source once, or without end when it loops; raises Gone, and SourceFailure from opening."""
        while True:
            source = open_source(self._address, self._open_timeout_ms, self._read_timeout_ms, self._complaints)
            try:
                frames = self._pass(source)
                complaint = source.complaint(frames)
            except SourceFailure as failure:
                _tell(self._channel, failure)  # before closing: a driver that stalls may hang there
                return
            finally:
                source.close()
            if complaint:
                self._warn(complaint)
            if not frames:
                raise SourceFailure(CaptureReason.CODEC, f"{self._address.target}: not one frame could be decoded")
            if not self._loop:
                self._channel.send("ended")
                return

    def _pass(self, source: Source) -> int:
        """Deliver every frame of the source and return how many could be decoded."""
        frames, self._skips_told, index = 0, 0, 0
        due_ns = time.monotonic_ns()
        while True:
            self._hear()
            self._complaints.take()  # what was said beside the pictures must not pile up
            if self._realtime:
                self._pause_until(due_ns)
                due_ns = max(due_ns, time.monotonic_ns()) + round(source.interval_ms() * 1_000_000)
            began_ns = time.monotonic_ns()
            grabbed = source.grab()
            if not grabbed or frames:
                self._refuse_stall(began_ns)
            if not grabbed:
                return frames
            now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
            taken_ns = source.taken_ns(now_ns)
            stamp = Stamp(taken_ns, wall_ns - (now_ns - taken_ns))
            if self._deliver(source, stamp):
                frames += 1
            else:
                self._pass_over(source.place(index))
            index += 1

    def _pass_over(self, place: str) -> None:
        """Tell of a damaged picture; a live camera's is counted as well."""
        if self._address.is_live and self._ring is not None:
            self._ring.skip(DropReason.DAMAGED, _LOCK_WAIT_MS)
        if self._address.is_live or self._skips_told < _MAX_SKIPS_TOLD:
            self._skips_told += 1
            self._warn(f"{self._address.target}: {place} is unreadable, skipped")

    def _deliver(self, source: Source, stamp: Stamp) -> bool:
        """Decode the grabbed frame into a slot; False when it is damaged. One without a slot or unwanted is counted."""
        image: Image | None = None
        if self._ring is None:  # the first frame tells how large a slot must be
            image = source.retrieve(None)
            if image is None:
                return False
            if not self._has_room(image):
                return True
            self._announce(image)
        assert self._ring is not None
        if image is None and self._policy is not DropPolicy.WAIT:
            unwanted = self._ring.unwanted(stamp.captured_ns, LEAST_RATE_NS)
            if unwanted is not None:
                self._ring.skip(unwanted, _LOCK_WAIT_MS)
                return True
        slot = self._claim(self._ring)
        if slot is None:
            self._ring.skip(DropReason.NO_SLOT, _LOCK_WAIT_MS)
            return True
        view = self._ring.pixels(slot, *self._shape)
        if image is None:
            image = source.retrieve(view)
            if image is None:
                return False
        if not self._can_freeze or self._is_new(self._ring, image, stamp.captured_ns):
            self._publish(slot, view, image, stamp)
        return True

    def _is_new(self, ring: Ring, image: Image, captured_ns: int) -> bool:
        """Whether a live camera shows something new; a repeat is counted, and too many raise SourceFailure."""
        if not self._pictures.repeats(image, captured_ns):
            ring.remember(self._pictures.recent)
            return True
        ring.skip(DropReason.REPEATED, _LOCK_WAIT_MS)
        frozen_ms = self._pictures.frozen_ms(captured_ns)
        if frozen_ms is not None:
            raise SourceFailure(CaptureReason.FROZEN, f"no new picture for {frozen_ms} ms, the last ones came again")
        return False

    def _publish(self, slot: int, view: Image, image: Image, stamp: Stamp) -> None:
        assert self._ring is not None
        if image is not view:  # the first frame, a picture of a folder, or a change of size: copied once
            if not self._has_room(image):
                self._ring.skip(DropReason.NO_SLOT, _LOCK_WAIT_MS)
                return
            if image.nbytes > self._ring.slot_bytes:
                self._announce(image)
                slot = 0  # all slots of a new ring are free
            self._shape = (image.shape[0], image.shape[1])
            np.copyto(self._ring.pixels(slot, *self._shape), image)
        if self._ring.publish(slot, *self._shape, stamp, _LOCK_WAIT_MS):
            self._channel.nudge()

    def _claim(self, ring: Ring) -> int | None:
        while True:
            slot = ring.claim(self._policy, _LOCK_WAIT_MS)
            if slot is not None or self._policy is not DropPolicy.WAIT:
                return slot
            self._channel.wait()
            self._hear()

    def _has_room(self, image: Image) -> bool:
        """Whether there is a ring for `image`, or memory for one; asks for that, and takes a question back that has
        become needless. A source that waits is given it here, or ends with the parent.
        """
        fits = self._ring is not None and image.nbytes <= self._ring.slot_bytes
        wanted_bytes = 0 if fits or not self._asks else (self._slots + _DECODING) * image.nbytes
        if wanted_bytes != self._asked_bytes:
            self._asked_bytes, self._granted = wanted_bytes, False
            self._channel.send("ask", bytes=wanted_bytes, since_ns=time.monotonic_ns())
        while wanted_bytes and not self._granted and self._policy is DropPolicy.WAIT:
            self._channel.wait()
            self._hear()
        return self._granted or not wanted_bytes

    def _hear(self) -> None:
        """Heed what the parent grants and read nudges away; raises Gone when the parent closed the channel or died."""
        while (message := self._channel.receive()) is not None:
            if message.kind == "grant":  # perhaps of what was asked for before
                self._granted = message.fields["bytes"] == self._asked_bytes

    def _announce(self, image: Image) -> None:
        """Make a ring whose slots hold `image` and hand it to the parent; the one before gets no more frames."""
        number = self._first_number if self._ring is None else self._ring.next_number
        ring = Ring.create(self._slots, image.nbytes, number)
        ring.remember(self._pictures.recent)
        self._channel.send("ring", descriptor=ring.descriptor)
        self._asked_bytes, self._granted = 0, False
        if self._ring is not None:
            self._ring.close()
        self._ring = ring
        self._shape = (image.shape[0], image.shape[1])

    def _refuse_stall(self, began_ns: int) -> None:
        """Raise SourceFailure where the backend waited in vain; the time tells.

        It says "no frame" then as it does at the end of a stream, or gives the last picture that its parser held back,
        which is as old as the wait. Before the first picture a wait for a key frame is no stall.
        """
        waited_ms = (time.monotonic_ns() - began_ns) // 1_000_000
        if self._address.is_live and waited_ms >= self._read_timeout_ms * 0.9:
            raise SourceFailure(CaptureReason.STALLED, f"no frame for {waited_ms} ms")

    def _pause_until(self, moment_ns: int) -> None:
        """Sleep: a clip in real time has nothing else to do. Between slow frames it says that it does not hang."""
        while (left_ns := moment_ns - time.monotonic_ns()) > 0:
            time.sleep(min(left_ns / 1_000_000_000, self._read_timeout_ms / 3_000))
            if time.monotonic_ns() < moment_ns:
                self._channel.send("pausing")

    def _warn(self, text: str) -> None:
        self._channel.send("warning", text=text[:_MAX_TEXT])


def _tell(channel: Channel, failure: SourceFailure) -> None:
    channel.send("failed", reason=failure.reason.value, text=failure.detail[:_MAX_TEXT])


def _order(channel: Channel) -> Message:
    """Wait for the message that says what to open."""
    while True:
        message = channel.receive()
        if message is not None and message.kind == "open":
            return message
        channel.wait()


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process with the thread that started it; end now when that is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
