"""The courier with real sockets: everything arrives, also where the collector is late, forgetful or killed."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import pytest
import watch_messages
import zmq
from background import until
from outbox_peer import WAIT_MS, collecting, drained, put_many, take

from edge import durable, messages
from edge.errors import PublishError
from edge.keys import line
from edge.keys.allowed import AllowList
from edge.keys.door import Door
from edge.keys.pair import key_text, make_pair, write_new
from edge.outbox import courier as courier_module
from edge.outbox.courier import Courier
from edge.outbox.state import EVENT
from edge.outbox.store import Entry, Limits, Store
from edge.outbox.wire import acknowledgement, row_frame, row_of
from edge.types import Route


def test_everything_arrives_in_order_and_leaves_the_disk(store: Store, collector: zmq.Socket, endpoint: str) -> None:
    with Courier(store, endpoint, time.monotonic_ns) as courier:
        sent = put_many(courier, 3 * courier_module.WINDOW)
        assert take(collector, len(sent)) == sent
        until(lambda: courier.state().waiting == 0)
        assert courier.state().delivered == len(sent)
        assert sum(courier.state().lost.values()) == 0


def test_what_nobody_took_waits_for_the_next_start(store: Store, tmp_path: Path, endpoint: str) -> None:
    with Courier(store, endpoint, time.monotonic_ns) as courier:
        sent = put_many(courier, 100)
    assert store.rows == 100
    with collecting(endpoint) as late, Courier(store, endpoint, time.monotonic_ns) as courier:
        assert take(late, 100) == sent
        until(lambda: courier.state().waiting == 0)


def test_what_was_not_acknowledged_is_sent_again(
    store: Store, collector: zmq.Socket, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Courier(store, endpoint, time.monotonic_ns) as courier:
        sent = put_many(courier, 20)
        assert take(collector, 20, answer=False) == sent
        monkeypatch.setattr(courier_module, "RESEND_MS", 200)  # not sooner: a slow disk may take longer for the first
        assert set(take(collector, 20)) <= set(sent)
        until(lambda: not drained(collector) and courier.state().waiting == 0)


def test_what_was_lost_on_its_way_comes_again_while_others_are_acknowledged(
    store: Store, collector: zmq.Socket, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a collector was stopped with messages in its hands, and another took its place at once."""
    monkeypatch.setattr(courier_module, "RESEND_MS", 1_000)
    with Courier(store, endpoint, time.monotonic_ns) as courier:
        put_many(courier, 1)
        take(collector, 1, answer=False)
        got, number = b"", 1
        while got != b"0":
            put_many(courier, 1, first=number)
            (got,), number = take(collector, 1), number + 1
            assert number < 100_000
        until(lambda: not drained(collector) and courier.state().waiting == 0)


def test_another_limit_holds_from_the_next_commit_on(store: Store, endpoint: str) -> None:
    with Courier(store, endpoint, time.monotonic_ns) as courier:
        put_many(courier, 100)
        until(lambda: courier.state().waiting == 100)
        courier.limit(Limits(110, 1 << 20))
        put_many(courier, 50, first=100)
        until(lambda: sum(courier.state().lost.values()) >= 40)
        assert courier.state().waiting <= 110
        courier.limit(Limits(1_000, 1 << 20))
        put_many(courier, 50, first=200)
        until(lambda: courier.state().waiting > 110)


def test_no_more_than_a_window_is_on_its_way(store: Store, collector: zmq.Socket, endpoint: str) -> None:
    with Courier(store, endpoint, time.monotonic_ns) as courier:
        sent = put_many(courier, courier_module.WINDOW + 50)
        assert take(collector, courier_module.WINDOW, answer=False) == sent[: courier_module.WINDOW]
        assert collector.poll(300) == 0
        assert courier.state().waiting == len(sent), "it is all on the disk"


@pytest.mark.parametrize(("coming", "going"), [(0, courier_module.ROWS), (20, 5 * 20)])
def test_a_backlog_goes_a_few_rows_at_a_time_five_for_each_that_comes_and_rests_between(
    coming: int, going: int, store: Store, collector: zmq.Socket, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shares the interpreter with the frame loop: what waited for a day must not hold that up, and must shrink."""
    backlog = 20 * courier_module.ROWS
    store.keep([Entry(Route.ACCEPT, str(number).encode()) for number in range(backlog)])
    courier, did = Courier(store, endpoint, time.monotonic_ns), []

    def rest(_: float) -> None:
        did.append("rest")
        if store.rows >= backlog // 2:
            put_many(courier, coming, first=backlog)

    monkeypatch.setattr(courier_module, "time", SimpleNamespace(sleep=rest))
    monkeypatch.setattr(courier_module, "row_frame", lambda row: did.append("row") or row_frame(row))
    with courier:
        take(collector, backlog)
        until(lambda: not drained(collector) and courier.state().waiting == 0)
    runs = [len(list(some)) for what, some in groupby(did) if what == "row"]
    assert sum(runs) >= backlog
    assert max(runs) == going


def test_nonsense_in_answer_is_survived(store: Store, collector: zmq.Socket, endpoint: str) -> None:
    with Courier(store, endpoint, time.monotonic_ns) as courier:
        put_many(courier, 1)
        sender, row, _ = collector.recv_multipart()
        for nonsense in (b"", b"1234567", b"x" * 17, acknowledgement([-5, 2**62, row_of(row) + 1])):
            collector.send_multipart([sender, nonsense])
        put_many(courier, 1, first=1)
        take(collector, 1)
        until(lambda: courier.state().waiting == 1)
        collector.send_multipart([sender, row])
        until(lambda: courier.state().waiting == 0)


def test_the_frame_loop_never_waits_and_what_has_no_room_is_counted(
    store: Store, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "QUEUE", 3)
    courier = Courier(store, endpoint, time.monotonic_ns)  # its thread has not begun: the disk takes nothing
    assert [courier.put(Route.REVIEW, b"x") for _ in range(5)] == [True] * 3 + [False] * 2
    assert courier.state().lost[Route.REVIEW] == 2
    with courier:
        until(lambda: courier.state().waiting == 3)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_courier_that_broke_down_is_not_fed_in_silence(
    store: Store, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(store, "waiting", broken)
    with Courier(store, endpoint, time.monotonic_ns) as courier:
        courier._thread.join(WAIT_MS / 1000)
        with pytest.raises(PublishError, match="start the daemon again"):
            courier.put(Route.ACCEPT, b"x")


def test_the_file_is_not_closed_while_the_thread_still_writes(
    store: Store, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, done = threading.Event(), threading.Event()

    def slow(*_: object) -> None:
        release.wait(10)
        done.set()

    monkeypatch.setattr(durable, "JOIN_S", 0.01)
    monkeypatch.setattr(Courier, "_finish", slow)
    timer = threading.Timer(0.3, release.set)
    with Courier(store, endpoint, time.monotonic_ns):
        timer.start()
    assert done.is_set()
    timer.join()


def test_a_collector_that_gets_its_keys_later_is_found_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libzmq alone would never dial again after it met a plain collector."""
    monkeypatch.setattr(line, "REDIAL_NS", 200_000_000)
    cart, own = make_pair("cart-1", tmp_path), make_pair("collector", tmp_path)
    write_new(tmp_path / "carts" / "cart-1.pub", key_text(cart.public), 0o644)
    door = Door("collect", own, AllowList(tmp_path / "carts"), time.monotonic_ns)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as plain:
        port = plain.bind_to_random_port("tcp://127.0.0.1")
        with Courier(store, f"tcp://127.0.0.1:{port}", time.monotonic_ns, line.Caller(cart, own.public)) as courier:
            sent = put_many(courier, 20)
            assert plain.poll(500) == 0, "nothing goes out in the clear"
            plain.close(0)
            context.term()
            with zmq.Context() as second, second.socket(zmq.ROUTER) as guarded, closing(door):
                guarded.setsockopt(zmq.RCVTIMEO, WAIT_MS)
                guarded.setsockopt(zmq.LINGER, 0)
                door.guard(second, guarded)
                guarded.bind(f"tcp://127.0.0.1:{port}")
                assert take(guarded, 20) == sent
                until(lambda: courier.state().waiting == 0)


def decided(captured_ns: int, captured_utc: str) -> bytes:
    message = messages.decode(watch_messages.decision(1, captured_monotonic_ns=captured_ns, captured_utc=captured_utc))
    return messages.encode(message, "json")


def test_the_age_of_the_oldest_is_told_by_the_clock_that_knows_it(store: Store, endpoint: str) -> None:
    """That of this start by the monotonic clock; that of an earlier one, perhaps before a reboot, by the day's."""
    second = 1_000_000_000
    with Courier(store, endpoint, lambda: 50 * second) as courier:
        courier.put(Route.ACCEPT, decided(20 * second, "1970-01-01T00:00:00+00:00"))
        until(lambda: courier.state().oldest_s == 30)
    wall_ns = 1_000_000 * second
    with Courier(store, endpoint, lambda: 5 * second, wall_ns=lambda: wall_ns) as courier:
        until(lambda: courier.state().oldest_s == 1_000_000)
        courier.put(Route.ACCEPT, decided(4 * second, "1970-01-01T00:00:00+00:00"))
        until(lambda: courier.state().waiting == 2)
        assert courier.state().oldest_s == 1_000_000
        assert not courier.state().refusing


def test_a_row_that_no_version_here_can_read_waits_from_now_on(
    store: Store, collector: zmq.Socket, endpoint: str
) -> None:
    now_ns = [0]
    with Courier(store, endpoint, lambda: now_ns[0]) as courier:
        courier.put(Route.ACCEPT, b"?")
        until(lambda: courier.state().waiting == 1 and courier._oldest is not None)
        now_ns[0] = 3_000_000_000
        assert courier.state().oldest_s == 3
        take(collector, 1)
        until(lambda: courier.state().waiting == 0)
        until(lambda: courier.state().oldest_s == 0)


def test_an_event_is_told_as_kept_once_it_is_on_the_disk_and_survives_a_full_outbox(
    tmp_path: Path, endpoint: str
) -> None:
    kept = threading.Event()
    with Store(tmp_path / "small.sqlite", Limits(20, 1 << 20)) as small:
        with Courier(small, endpoint, time.monotonic_ns) as courier:
            assert courier.put(EVENT, b"event", kept.set)
            assert kept.wait(20)
            assert small.rows == 1
            put_many(courier, 100)
        assert b"event" in [payload for _, payload in small.waiting(0, 100)]
        assert courier.state().lost[EVENT] == 0


def test_an_event_that_finds_no_room_is_not_told_as_kept(tmp_path: Path, endpoint: str) -> None:
    kept = threading.Event()
    with Store(tmp_path / "small.sqlite", Limits(20, 1 << 20)) as small:
        with Courier(small, endpoint, time.monotonic_ns) as courier:
            assert all(courier.put(Route.REVIEW, b"review") for _ in range(20))
            assert courier.put(EVENT, b"event", kept.set)
        assert courier.state().lost[EVENT] == 1
        assert not kept.is_set(), "it is on no disk: who found it must tell of it again"


def test_a_file_that_was_deleted_is_told_and_what_waits_in_it_still_arrives(
    store: Store, tmp_path: Path, endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Courier(store, endpoint, time.monotonic_ns) as courier:
        sent = put_many(courier, 3)
        until(lambda: courier.state().waiting == 3)
        assert not courier.state().refusing
        (tmp_path / "outbox.sqlite").unlink()
        until(lambda: courier.state().refusing)
        with collecting(endpoint) as late:
            sent += put_many(courier, 1, first=3)
            assert take(late, 4) == sent
            until(lambda: courier.state().waiting == 0)
    (told,) = [record.message for record in caplog.records]
    assert "moved or deleted while it was in use" in told
