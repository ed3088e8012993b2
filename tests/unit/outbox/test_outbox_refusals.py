"""What a collector refuses: told, kept, out of the way of everything else, and sent again in time."""

from __future__ import annotations

import time

import pytest
import zmq
from background import until
from outbox_peer import answer, drained, put_many

from edge.outbox import courier as courier_module
from edge.outbox.courier import Courier
from edge.outbox.store import Store
from edge.outbox.wire import acknowledgement, refusal, row_of


@pytest.mark.parametrize("says_which", [True, False])
def test_what_is_refused_is_told_waits_and_comes_again_also_while_others_are_acknowledged(
    store: Store,
    collector: zmq.Socket,
    endpoint: str,
    says_which: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(courier_module, "RESEND_MS", 1_000)
    with Courier(store, endpoint, time.monotonic_ns) as courier:
        put_many(courier, 1)
        sender, row, _ = collector.recv_multipart()
        why, rows, end = refusal("not you,\x1b cart-8", [row_of(row)])
        collector.send_multipart([sender, why, *([rows] if says_which else []), end])
        until(lambda: courier.state().refused == "not you,? cart-8")
        assert courier.state().waiting == 1
        again, number = False, 1
        while not again:  # one a tenth of a second is acknowledged: silence is not what it waits for
            put_many(courier, 1, first=number)
            sender, row, payload = collector.recv_multipart()
            again, number = payload == b"0", number + 1
            collector.send_multipart([sender, acknowledgement([row_of(row)])])
            assert number < 100_000
        until(lambda: not drained(collector) and courier.state().waiting == 0)
        until(lambda: courier.state().refused == "")
    assert sum("the collector refuses: not you" in record.message for record in caplog.records) == 1


def test_what_is_refused_holds_up_nothing_behind_it_and_arrives_once_it_is_taken(
    store: Store, collector: zmq.Socket, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "RESEND_MS", 1_000)
    refused_rows = 2 * courier_module.WINDOW + 1
    with Courier(store, endpoint, time.monotonic_ns) as courier:
        old = put_many(courier, refused_rows)
        new = put_many(courier, 10, first=refused_rows)
        answer(collector, lambda payload: int(payload) >= refused_rows, until_taken=new)
        until(lambda: courier.state().delivered == len(new))
        assert courier.state().waiting == len(old), "nothing refused is given up"
        assert courier.state().refused == "not you"
        answer(collector, lambda _: True, until_taken=old)
        until(lambda: courier.state().waiting == 0)
        until(lambda: courier.state().refused == "")


@pytest.mark.parametrize(("rows", "waits_ms"), [(1, 100), (3, 100), (10, 250), (12, 300)])
def test_what_is_refused_costs_no_more_than_a_window_in_the_time_of_a_resend(
    store: Store, collector: zmq.Socket, endpoint: str, rows: int, waits_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "RESEND_MS", 100)
    monkeypatch.setattr(courier_module, "WINDOW", 4)
    now_ns = [0]
    with Courier(store, endpoint, lambda: now_ns[0]) as courier:
        put_many(courier, rows)
        for _ in range(3):
            answer(collector, lambda _: False, until_refused=rows)
            until(lambda: courier._refused_rows == rows and courier._refused_since == now_ns[0])
            assert courier._patience_ns() == waits_ms * 1_000_000
            now_ns[0] += waits_ms * 1_000_000 - 1
            assert not drained(collector), "not sooner"
            assert courier.state().refused == "not you", "also when it is long ago"
            now_ns[0] += 1
        answer(collector, lambda _: True, until_taken=[str(number).encode() for number in range(rows)])
        until(lambda: courier.state().waiting == 0)
