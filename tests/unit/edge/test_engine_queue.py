"""Runs of the engine that frames share: who shares one, in which order, and what becomes of a failure."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from edge.batching import LEAST
from edge.engine_queue import IN_FLIGHT, EngineQueue
from edge.errors import EngineError
from edge.pipeline import Batch

LIMIT = 4


class Gate:
    """An engine that names the crops of each run and waits for leave before it ends one."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.leave = threading.Semaphore(0)
        self.threads: set[int] = set()
        self.fails = False

    def __call__(self, batches: Sequence[Batch]) -> np.ndarray:
        names = [int(crop[0, 0, 0]) for batch in batches for crop in batch.crops]
        self.runs.append(names)
        self.threads.add(threading.get_ident())
        assert self.leave.acquire(timeout=30)
        if self.fails:
            raise EngineError("told to fail")
        return np.array(names, np.float32)[:, None]


@pytest.fixture
def engine() -> Gate:
    return Gate()


@pytest.fixture
def queue(engine: Gate) -> Iterator[EngineQueue]:
    """Where a run of any size takes as long as one of one crop."""
    with EngineQueue(engine, time.monotonic_ns) as queue:
        for crops in range(1, LIMIT + 1):
            for _ in range(LEAST):
                queue.times.note(crops, 1_000_000)
        yield queue
        engine.leave.release(100)


def batch(*names: int) -> Batch:
    crops = np.zeros((len(names), 2, 2, 3), np.uint8)
    crops[:] = np.array(names, np.uint8)[:, None, None, None]
    return Batch(crops, (2,) * len(names), (1.0,) * len(names))


def until_begun(engine: Gate, runs: int) -> None:
    give_up = time.monotonic() + 30
    while len(engine.runs) < runs:
        assert time.monotonic() < give_up
        time.sleep(0.001)


def test_what_comes_while_the_engine_works_shares_the_next_run_up_to_the_limit(
    queue: EngineQueue, engine: Gate
) -> None:
    tickets = [queue.put(batch(1), LIMIT, 0)]
    assert queue.held == 1
    queue.go()
    until_begun(engine, 1)
    tickets += [queue.put(batch(*names), LIMIT, 0) for names in ((2,), (3, 4), (5,), (6,))]
    assert not queue.held, "the engine takes it when it is free"
    assert not queue.has_room(1, 0)
    assert queue.has_room(LIMIT, 0), "the last run has"
    engine.leave.release(3)
    assert [ticket.rows()[:, 0].tolist() for ticket in tickets] == [[1], [2], [3, 4], [5], [6]]
    assert engine.runs == [[1], [2, 3, 4, 5], [6]]
    assert all(ticket.is_done for ticket in tickets)
    queue.reap()
    assert queue.is_idle


def test_a_run_that_is_held_takes_what_comes_and_begins_when_it_is_let_go(queue: EngineQueue, engine: Gate) -> None:
    first = queue.put(batch(1), LIMIT, 0)
    second = queue.put(batch(2, 3), LIMIT, 0)
    assert (queue.held, queue.is_idle, first.is_done) == (3, True, False)
    engine.leave.release()
    queue.go_here()
    assert engine.threads == {threading.get_ident()}
    assert second.rows()[:, 0].tolist() == [2, 3]
    assert select.select([queue], [], [], 0)[0], "it wakes whoever waits"
    queue.reap()
    assert not select.select([queue], [], [], 0)[0]


def test_nothing_is_joined_that_has_begun(queue: EngineQueue, engine: Gate) -> None:
    queue.put(batch(1), LIMIT, 0)
    queue.go()
    until_begun(engine, 1)
    late = queue.put(batch(2), LIMIT, 0)
    engine.leave.release(2)
    assert late.rows()[:, 0].tolist() == [2]
    assert engine.runs == [[1], [2]]


def test_where_sharing_saves_nothing_each_goes_by_itself_and_the_queue_is_soon_full(engine: Gate) -> None:
    with EngineQueue(engine, time.monotonic_ns) as queue:
        for crops in range(1, LIMIT + 1):
            for _ in range(LEAST):
                queue.times.note(crops, 1_000_000 * crops)
        tickets = []
        for name in range(IN_FLIGHT):
            assert queue.has_room(LIMIT, 0)
            tickets.append(queue.put(batch(name), LIMIT, 0))
            queue.go()
        assert not queue.has_room(LIMIT, 0)
        engine.leave.release(IN_FLIGHT)
        assert [ticket.rows()[:, 0].tolist() for ticket in tickets] == [[0], [1]]
    assert engine.runs == [[0], [1]]


def test_a_failure_is_raised_to_everyone_who_shared_the_run(queue: EngineQueue, engine: Gate) -> None:
    engine.fails = True
    tickets = [queue.put(batch(1), LIMIT, 0), queue.put(batch(2), LIMIT, 0)]
    queue.go()
    engine.leave.release()
    for ticket in tickets:
        with pytest.raises(EngineError, match="told to fail"):
            ticket.rows()
    queue.reap()
    assert queue.is_idle
