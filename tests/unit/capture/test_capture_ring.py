"""The ring against a plain model, its lock against another process, its memory against misuse."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.capture.drops import DropPolicy, DropReason
from edge.capture.ring import Busy, Ring, Stamp, Taken

HEIGHT, WIDTH = 4, 6
SLOT_BYTES = HEIGHT * WIDTH * 3


@contextmanager
def ring_pair(slots: int, first_number: int = 0) -> Iterator[tuple[Ring, Ring]]:
    """Two mappings of one ring. In one process the lock excludes nobody, which is all a sequential test needs."""
    writer = Ring.create(slots, SLOT_BYTES, first_number)
    reader = Ring.attach(os.dup(writer.descriptor))
    try:
        yield writer, reader
    finally:
        reader.close()
        writer.close()


def write(writer: Ring, slot: int, level: int) -> bool:
    writer.pixels(slot, HEIGHT, WIDTH)[:] = level
    return writer.publish(slot, HEIGHT, WIDTH, Stamp(level, 2 * level), 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.booleans(), st.lists(st.sampled_from(["write", "take", "give"]), max_size=60))
def test_the_ring_behaves_like_a_bounded_queue(slots: int, live: bool, steps: list[str]) -> None:
    ready: list[int] = []
    lent: list[Taken] = []
    number = dropped = 0
    with ring_pair(slots) as (writer, reader):
        for step in steps:
            if step == "write":
                slot = writer.claim(DropPolicy.DROP_OLDEST if live else DropPolicy.WAIT, 0)
                if len(ready) + len(lent) == slots and live and ready:
                    ready.pop(0)
                    dropped += 1
                if slot is None:
                    assert len(lent) + (0 if live else len(ready)) == slots
                    if live:
                        writer.skip(DropReason.NO_SLOT, 0)
                        number, dropped = number + 1, dropped + 1
                    continue
                write(writer, slot, number % 200)
                ready.append(number)
                number += 1
            elif step == "take":
                taken = reader.take(0)
                assert (taken.number if taken else None) == (ready.pop(0) if ready else None)
                if taken is not None:
                    lent.append(taken)
            elif lent:
                reader.give_back(lent.pop(0).slot, 0)
            assert (reader.next_number, sum(reader.drops)) == (number, dropped)
            assert all((loan.image == loan.number % 200).all() for loan in lent)
            assert all(loan.stamp == Stamp(loan.number % 200, 2 * (loan.number % 200)) for loan in lent)


def test_each_side_is_woken_once_and_only_when_it_waits() -> None:
    with ring_pair(2) as (writer, reader):
        assert write(writer, 0, 1) is False  # nobody waits yet
        assert reader.ready(0)
        first = reader.take(0)
        assert first is not None
        assert reader.take(0) is None  # asks for a nudge
        assert write(writer, 1, 2) is True
        second = reader.take(0)
        assert second is not None
        assert reader.give_back(first.slot, 0) is False
        assert write(writer, first.slot, 3) is False
        assert writer.claim(DropPolicy.WAIT, wait_ms=0) is None  # asks for a nudge
        assert reader.writer_waits
        assert reader.give_back(second.slot, 0) is True
        assert not reader.writer_waits


def test_a_smaller_frame_uses_the_start_of_its_slot_and_a_larger_one_is_refused() -> None:
    with ring_pair(2, first_number=7) as (writer, reader):
        writer.pixels(1, 2, 3)[:] = 9
        writer.publish(1, 2, 3, Stamp(1, 2), 0)
        taken = reader.take(0)
        assert taken is not None
        assert (taken.number, taken.image.shape, taken.image.min()) == (7, (2, 3, 3), 9)
        assert not taken.image.flags.writeable
        with pytest.raises(ValueError, match="does not fit"):
            writer.pixels(0, HEIGHT + 1, WIDTH)
        writer.publish(0, HEIGHT * 100, WIDTH, Stamp(1, 2), 0)  # a writer gone mad
        with pytest.raises(ValueError, match="does not fit"):
            reader.take(0)


def test_the_lock_is_not_waited_for_without_end_and_dies_with_its_holder() -> None:
    with ring_pair(2) as (writer, reader):
        code = (
            "import fcntl, sys\n"
            "fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX, 1)\n"
            "print('held', flush=True)\n"
            "sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(writer.descriptor)],
            pass_fds=(writer.descriptor,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            for call in (lambda: reader.take(2), lambda: reader.ready(0), lambda: reader.give_back(0, 0)):
                with pytest.raises(Busy):
                    call()
            holder.kill()
        assert reader.ready(0) is False


def test_memory_that_was_never_written_to_counts_as_taken() -> None:
    """It is: the ladder holds what processes take against their limit. In a process that does nothing else."""
    code = (
        "from edge.capture.ring import Ring; from edge.machine import used_bytes\n"
        "before = used_bytes(['self']); ring = Ring.create(4, 8 << 20); print(used_bytes(['self']) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 31 << 20


def test_the_memory_has_no_name_and_cannot_be_shrunk() -> None:
    before = os.listdir("/dev/shm")
    with ring_pair(2) as (writer, reader):
        assert os.listdir("/dev/shm") == before
        for size in (0, 1 << 20):
            with pytest.raises(PermissionError):
                os.ftruncate(reader.descriptor, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(writer.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


@pytest.mark.parametrize("content", [b"", b"x" * 10, bytes(48), np.array([2, -1, 0, 0, 0, 0]).tobytes() * 100])
def test_memory_that_is_no_ring_is_refused_and_closed(content: bytes) -> None:
    descriptor = os.memfd_create("no ring")
    os.write(descriptor, content)
    with pytest.raises(ValueError, match=r"."):
        Ring.attach(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_next_number_survives_a_writer_killed_between_its_two_writes() -> None:
    with ring_pair(2) as (writer, reader):
        write(writer, 0, 1)
        writer._header["next_number"] = 0  # as if killed after the slot became ready
        assert reader.next_number == 1
