"""A camera in a process of its own: frames come through a shared-memory ring, and no call here can hang with it.

Whatever the capture process does (block in a driver, crash, be killed), `read` returns within its timeout. Two
deadlines run beside it: from start to first frame `open_timeout_ms`, between frames `read_timeout_ms`; when one passes,
the process is killed and CaptureFailure names the reason. A file that waits for the reader never stalls.

Frames that reached the ring are handed out before an end or a failure is told, but none of a source that does not wait
once it is older than `max_age_ms`. Nothing is copied: `Frame.image` is a
read-only view of the ring, valid until `release(frame)`, and the writer has one slot less until then. `reopen` starts a
live source again and a file from its beginning; frames that nobody read until then count as dropped. Backoff is left to
the caller (`edge.capture.backoff`). Cameras are started from the thread that lives longest: the kernel ends a capture
process together with the thread that started it.

A camera that `asks` takes memory for its frames, the first time and for larger ones, when it is granted, and fails
after ROOM_MS without; a live source is read on meanwhile.
"""

from __future__ import annotations

import select
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from edge.capture.address import parse_source
from edge.capture.camera import Camera, CameraState, nothing
from edge.capture.channel import Gone, Message
from edge.capture.drops import RING_REASONS, DropPolicy, DropReason, policy_of
from edge.capture.failure import CaptureReason, Outcome
from edge.capture.pace import Pace
from edge.capture.ring import Busy, Ring, Taken
from edge.capture.spawn import COMMAND, CaptureProcess
from edge.config import CameraConfig
from edge.errors import CaptureError
from edge.types import Frame

__all__ = ["ROOM_MS", "ProcessCamera"]

ROOM_MS = 60_000  # a wait for memory: the ladder takes half of that to close the last camera but one of four
_LOCK_WAIT_MS = 1  # the lock is held for microseconds; who cannot get it looks again instead of waiting
_MAX_MESSAGES = 256  # heard per look, so that a child that talks without end cannot hold the reader
_KEPT_WARNINGS = 8
_FILE_PATIENCE = 10  # times read_timeout_ms: a file is given up, for it cannot be opened again where it was
_TOLD = (
    CameraState.ENDED,
    CameraState.FAILED,
    CameraState.SHED,
)  # nothing comes before reopen()


class ProcessCamera(Camera):
    """One camera, file or folder, read by a child process. Entering it starts the process and does not wait."""

    def __init__(self, config: CameraConfig, command: Sequence[str] = COMMAND, asks: bool = False) -> None:
        """Check the source string (raises InputError); `command` starts another capture process, for tests."""
        self.camera_id = config.id
        self._asks = asks
        self._set_up(config)
        self._command = tuple(command)
        self._process: CaptureProcess | None = None
        self._rings: list[Ring] = []  # the one being read first, then its larger successors
        self._lent: dict[int, tuple[Ring, int]] = {}
        self._returned: list[tuple[Ring, int]] = []  # given back while the lock was not to be had
        self._outcome: Outcome | None = None
        self._entered = False
        self._gone = True  # the process ended or was killed; its channel stays open until that is told
        self._next_number = 0
        self._dropped_before: Counter[DropReason] = Counter()  # by the reader, and in rings that are gone
        self._ring_drops: list[tuple[int, ...]] = []  # as `drops` tells them
        self._pictures: list[int] = []  # checksums of the last pictures of the opening before
        self._count_drops()
        self._progress_ns = 0
        self._heard_ns = 0
        self._seen_number = 0
        self._pace = Pace()

    @property
    def pid(self) -> int | None:
        """The capture process, None when none runs."""
        return self._process.pid if self._process and not self._gone else None

    def release(self, frame: Frame) -> None:
        """Give the frame's slot back; harmless when repeated, after a reopening or after the end."""
        loan = self._lent.pop(frame.number, None)
        if loan is not None:
            self._returned.append(loan)
            self._give_back()

    def reopen(self) -> None:
        """Start the source again; frame numbers go on where they were.

        Returns at once after a failure; a running process is first given up to 0.6 s to end.
        """
        if not self._entered:
            raise CaptureError(f"camera {self.camera_id}: not open; enter it with `with` first")
        self._stop()
        self.reopened += 1
        self._open()

    def grant(self) -> None:
        """Let the process make the ring that it asks for."""
        if self.asked_bytes and self._process is not None and not self._gone:
            self.granted = True
            with suppress(Gone):  # the next look finds its end
                self._process.channel.send("grant", bytes=self.asked_bytes)

    def refuse(self, why: str) -> None:
        """Kill the process; frames that are in the ring come before the failure."""
        if self._entered:
            self._condemn(CaptureReason.UNFIT, why)

    def shed(self) -> None:
        """End the process and give back its memory; frames that nobody read count as dropped."""
        if self._entered:
            self._stop()
            self.state = CameraState.SHED

    def part(self) -> Callable[[], None]:
        """Let go of everything; what is returned gives the process up to 0.6 s to end."""
        ending = self._ending()
        self._process, self._gone, self._entered = None, True, False
        self.state = CameraState.OPENING
        self._let_go()
        return ending

    def change(self, config: CameraConfig) -> None:
        """Start again with another source or other limits; as `reopen`, frame numbers go on where they were."""
        if config.id != self.camera_id:
            raise CaptureError(f"camera {self.camera_id}: cannot be changed to {config.id}")
        if self._entered:
            self._stop()
        self._set_up(config)
        self.reopened += 1
        self._open()

    def _set_up(self, config: CameraConfig) -> None:
        self.is_live = parse_source(config.source).is_live
        self._policy = policy_of(config.when_full, self.is_live)
        self._config = config

    def hunger(self) -> None:
        """Have the next frame decoded, whatever was wanted."""
        self._pace.hunger()
        for ring in self._rings[-1:]:
            ring.hunger()

    def fileno(self) -> int:
        """Return the channel's descriptor; -1 outside `with` and once the outcome was told. `reopen` changes it."""
        return self._process.channel.fileno() if self._process else -1

    def deadline_ns(self) -> int | None:
        """Return when the process is overdue, None when none runs or an outcome is known already."""
        if self._process is None or self._gone or self._outcome is not None:
            return None
        room_ns = self._heard_ns + ROOM_MS * 1_000_000
        opening = self.state is CameraState.OPENING
        due_ns = self._progress_ns + (self._config.open_timeout_ms if opening else self._read_limit_ms) * 1_000_000
        if not self.asked_bytes:
            return due_ns
        return room_ns if opening or self._policy is DropPolicy.WAIT else min(due_ns, room_ns)

    def ready(self) -> bool:
        """Whether a frame, the end or a failure is there that was not told yet."""
        if not self._entered or self.state in _TOLD:
            return False
        self._give_back()
        self._hear()
        try:
            if self._unread():
                return True
        except Busy:
            self._judge_time()
            return True  # nobody can tell now; read() will
        self._judge_time()
        return self._outcome is not None

    def _open(self) -> None:
        self._entered = True
        self.state = CameraState.OPENING
        self._outcome = None
        self._ask(0)
        self._progress_ns = time.monotonic_ns()
        self._seen_number, self._pace = self._next_number, Pace()
        config = self._config
        self._read_limit_ms = config.read_timeout_ms * (1 if self.is_live else _FILE_PATIENCE)
        try:
            self._process = CaptureProcess(self._command, config.read_timeout_ms)
        except OSError as error:
            return self._bury(f"the capture process cannot be started ({error})")
        self._gone = False
        with suppress(Gone):  # it died at once: the next look finds its end and says how
            self._process.channel.send(
                "open",
                source=config.source,
                loop=config.loop,
                realtime=config.realtime,
                slots=config.ring_slots,
                open_timeout_ms=config.open_timeout_ms,
                read_timeout_ms=config.read_timeout_ms,
                first_number=self._next_number,
                when_full=self._policy.value,
                frozen_after_ms=config.frozen_after_ms,
                pictures=self._pictures,
                asks=self._asks,
            )
        return None

    def _close(self) -> None:
        if self._entered:
            self._stop()
            self._entered = False

    def _read(self, timeout_ms: int) -> Frame | None:
        if not self._entered:
            raise CaptureError(f"camera {self.camera_id}: not open; enter it with `with` first")
        give_up_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        while True:
            pause_ns = give_up_ns - time.monotonic_ns()
            try:
                frame = self._look()
            except Busy:
                frame, pause_ns = None, min(pause_ns, 1_000_000)  # no wake-up was armed: look again soon
            if frame is not None or time.monotonic_ns() >= give_up_ns:
                return frame
            self.hunger()
            self._sleep(pause_ns)

    def _look(self) -> Frame | None:
        """Return a frame if one is there; raise the outcome if it is due; raise Busy if nobody can tell now."""
        self._give_back()
        self._hear()
        try:
            while self.state not in _TOLD and self._unread():
                newest = self._policy is DropPolicy.DROP_OLDEST and self._pace.is_behind
                taken = self._rings[0].take(_LOCK_WAIT_MS, newest)
                if taken is not None and not self._pass_over(taken, time.monotonic_ns()):
                    return self._lend(taken)
        except Busy:
            self._judge_time()  # a process that was stopped inside the lock is overdue too
            if not self._gone:
                raise
        except ValueError as error:
            self._condemn(CaptureReason.PROCESS_DIED, f"the capture process wrote nonsense ({error})")
        self._judge_time()
        if self._outcome is not None:
            if self.state not in _TOLD and self._outcome.reason is not None:
                reason = self._outcome.reason.value
                self.failures = {**self.failures, reason: self.failures.get(reason, 0) + 1}
                self.fault = reason
            self.state = CameraState.ENDED if self._outcome.reason is None else CameraState.FAILED
            self._ask(0)
            if self._process is not None:
                self._process.channel.close()
            raise self._outcome.told(self.camera_id)
        return None

    def _unread(self) -> bool:
        """Whether a frame is ready, going on to the next ring when one is read out; arms the wake-up if not."""
        while self._rings:
            if self._rings[0].ready(_LOCK_WAIT_MS):
                return True
            if len(self._rings) == 1:
                return False
            self._retire(self._rings[0])
        return False

    def _pass_over(self, taken: Taken, now_ns: int) -> bool:
        """Give a frame back unseen that is too old to be decided on, or one too many; a source that waits has none."""
        too_old = now_ns - taken.stamp.captured_ns > self._config.max_age_ms * 1_000_000
        if self._policy is DropPolicy.WAIT or not (too_old or taken.number % self.every):
            return False
        self.state = CameraState.RUNNING
        self._progress_ns = now_ns
        self._dropped_before[DropReason.TOO_OLD if too_old else DropReason.THINNED] += 1
        self._returned.append((self._rings[0], taken.slot))
        self._give_back()
        self._count_drops()
        return True

    def _lend(self, taken: Taken) -> Frame:
        self._lent[taken.number] = (self._rings[0], taken.slot)
        self.state, self.fault = CameraState.RUNNING, ""
        self.delivered += 1
        self.last_taken_ns = self._progress_ns = time.monotonic_ns()
        stamp = taken.stamp
        wanted_ns = self._pace.take(taken.number, stamp.captured_ns, self.every, self.last_taken_ns)
        self._rings[-1].want(self.every, wanted_ns if self._policy is DropPolicy.DROP_OLDEST else 0)
        times = stamp.captured_ns, stamp.captured_wall_ns
        return Frame(self.camera_id, taken.number, taken.image, *times, self.reopened)

    def _give_back(self) -> None:
        """Free the returned slots and wake a writer that waits for one; what the lock refuses is tried again later."""
        while self._returned:
            ring, slot = self._returned[-1]
            if ring in self._rings:  # a retired ring has no writer any more
                try:
                    writer_waits = ring.give_back(slot, _LOCK_WAIT_MS)
                except Busy:
                    return
                if writer_waits:
                    self._progress_ns = time.monotonic_ns()
                    if self._process is not None and not self._gone:
                        with suppress(Gone):  # the next look finds its end
                            self._process.channel.nudge()
            self._returned.pop()

    def _hear(self) -> None:
        """Read what the process said and counted."""
        drops = [ring.drops for ring in self._rings]
        if drops != self._ring_drops:
            self._ring_drops = drops
            self._count_drops()
        for _ in range(_MAX_MESSAGES):
            if self._process is None or self._gone:
                return
            try:
                message = self._process.channel.receive()
                if message is None:
                    return
                self._heed(message)
            except Gone:
                self._bury(self._process.epitaph())
            except (ValueError, KeyError, OSError) as error:
                self._condemn(CaptureReason.PROCESS_DIED, f"the capture process spoke nonsense ({error!r})")

    def _heed(self, message: Message) -> None:
        if message.kind == "ask":
            self._ask(int(message.fields["bytes"]), int(message.fields["since_ns"]))
        elif message.kind == "ring":
            self._ask(0)
            self._rings.append(Ring.attach(message.descriptor))
        elif message.kind == "warning":
            self.warnings += 1
            self.recent_warnings = (*self.recent_warnings, str(message.fields["text"]))[-_KEPT_WARNINGS:]
        elif message.kind == "failed":
            self._outcome = Outcome(CaptureReason(message.fields["reason"]), str(message.fields["text"]))
        elif message.kind == "ended" and self.is_live:
            self._outcome = Outcome(CaptureReason.ENDED, "the source ended the stream")
        elif message.kind == "ended":
            self._outcome = Outcome(None, "all frames were read")
        if message.kind != "nudge" and not (self.is_live and message.kind == "warning"):  # damage is no progress
            self._progress_ns = time.monotonic_ns()

    def _ask(self, wanted_bytes: int, since_ns: int = 0) -> None:
        """Take note of what the process waits for, 0 for nothing; nothing of it is granted yet."""
        if not self.asked_bytes:
            self._heard_ns = time.monotonic_ns()  # nobody could have granted it before
        self.asked_bytes, self.asked_ns, self.granted = wanted_bytes, since_ns, False

    def _bury(self, epitaph: str) -> None:
        """The process is gone: keep what it said last, or say how it died."""
        self._gone = True
        self._ask(0)
        if self._outcome is None:
            self._outcome = Outcome(CaptureReason.PROCESS_DIED, epitaph)

    def _judge_time(self) -> None:
        """Kill a process that is overdue. Called when there is nothing to hand out."""
        if self._rings:
            number = self._rings[-1].next_number
            if number != self._seen_number or self._rings[-1].writer_waits:
                self._seen_number = number
                self._progress_ns = time.monotonic_ns()
        deadline_ns = self.deadline_ns()
        if deadline_ns is None or time.monotonic_ns() < deadline_ns:
            return
        if self.asked_bytes and deadline_ns >= self._heard_ns + ROOM_MS * 1_000_000:
            found = f"no room for {self.asked_bytes / (1 << 20):.2g} MiB of frames within {ROOM_MS} ms"
            self._condemn(CaptureReason.MEMORY, found)
        elif self.state is CameraState.OPENING:
            self._condemn(CaptureReason.TIMEOUT, f"no frame within {self._config.open_timeout_ms} ms of opening")
        else:
            self._condemn(CaptureReason.STALLED, f"no frame for {self._read_limit_ms} ms")

    def _condemn(self, reason: CaptureReason, what: str) -> None:
        """Kill the process and say why."""
        if self._process is not None:
            self._process.kill()
        self._gone = True
        self._ask(0)
        self._outcome = Outcome(reason, f"{what}; the capture process was killed")

    def _sleep(self, longest_ns: int) -> None:
        deadline_ns = self.deadline_ns()
        if deadline_ns is not None:
            longest_ns = min(longest_ns, deadline_ns - time.monotonic_ns())
        poller = select.poll()
        if self.fileno() >= 0:
            poller.register(self.fileno(), select.POLLIN)
        poller.poll(max(0, -(-longest_ns // 1_000_000)))

    def _count_drops(self) -> None:
        counts = self._dropped_before.copy()
        for ring in self._rings:
            counts.update(_by_reason(ring))
        self.drops = {reason.value: counts[reason] for reason in DropReason}

    def _retire(self, ring: Ring) -> None:
        self._rings.remove(ring)
        self._dropped_before.update(_by_reason(ring))
        self._pictures = ring.pictures
        ring.close()

    def _stop(self) -> None:
        """End the process and let go of the rings; frames that are still lent stay readable."""
        if self._process is not None:
            self._ending()()
            self._process = None
            self._gone = True
        self._let_go()

    def _ending(self) -> Callable[[], None]:
        """Return what ends the process: with patience where it works, at once where it failed."""
        if self._process is None:
            return nothing
        return self._process.discard if self.state is CameraState.FAILED else self._process.stop

    def _let_go(self) -> None:
        self._ask(0)
        self._next_number = max([self._next_number, *(ring.next_number for ring in self._rings)])
        for ring in list(self._rings):
            self._retire(ring)
        self._lent.clear()
        self._returned.clear()
        known = self.delivered + self._dropped_before.total()
        self._dropped_before[DropReason.UNREAD] += self._next_number - known  # every frame is accounted for
        self._count_drops()


def _by_reason(ring: Ring) -> dict[DropReason, int]:
    return dict(zip(RING_REASONS, ring.drops, strict=True))
