from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from watch_messages import decision, event, health

from edge.messages import CameraHealth, OutboxHealth
from edge.watch.lines import line, summary
from edge.watch.state import (
    KEPT_DECISIONS,
    KEPT_DEVICES,
    KEPT_EVENTS,
    MAX_COUNT,
    MAX_TEXT,
    OTHER,
    OutboxView,
    WatchState,
)


def fed(*payloads: bytes) -> WatchState:
    state = WatchState()
    for payload in payloads:
        state.take(payload, now_ns=0)
    return state


def counts(state: WatchState) -> dict[str, int]:
    return {share.route: share.count for share in state.view(0).routes}


def test_nothing_heard_shows_nothing() -> None:
    view = WatchState().view(5)
    assert view.heard_ago_s is None
    assert view.decisions == 0
    assert view.decisions_per_s is None
    assert {share.share for share in view.routes} == {0.0}


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_a_decision_becomes_the_newest_row(form: str) -> None:
    state = fed(decision(0, form=form), decision(1, form=form, route="review", sku=None, name=None))
    rows = state.view(0).newest
    assert [row.seq for row in rows] == [1, 0]
    assert (rows[1].route, rows[1].camera, rows[1].latency_ms) == ("accept", "left", 41.25)
    assert (rows[0].sku, rows[0].name) == (None, None)


def test_counts_are_those_of_the_daemon_and_what_came_after_its_heartbeat() -> None:
    state = fed(decision(8), health(9, routes={"accept": 70, "review": 30}), decision(10, route="review"))
    assert counts(state) == {"accept": 70, "verify": 0, "review": 31, "unknown": 0}
    assert state.view(0).decisions == 101
    assert sum(share.share for share in state.view(0).routes) == pytest.approx(1.0)


def test_a_gap_in_seq_is_counted_on_all_topics_and_a_late_start_is_none() -> None:
    state = fed(decision(5), health(6), decision(7), decision(11), health(14))
    assert state.missed == 3 + 2
    assert state.view(0).newest[0].missed_before == 3


def test_a_repeated_or_older_number_is_no_gap() -> None:
    assert fed(decision(5), decision(5), decision(4), decision(6)).missed == 0


def test_a_restart_counts_from_its_own_first_message() -> None:
    state = fed(decision(500), health(501, routes={"accept": 400}), decision(0, epoch="e2"), decision(2, epoch="e2"))
    assert (state.restarts, state.missed) == (1, 1)
    assert counts(state)["accept"] == 2
    assert state.view(0).decisions_per_s is None


def test_several_devices_are_added_up_and_do_not_disturb_each_other() -> None:
    state = fed(
        health(4, routes={"accept": 1}, latency_p99_ms=70.0),
        health(90, routes={"accept": 2}, device_id="cart-08", epoch="e7"),
        decision(5),
        decision(91, device_id="cart-08", epoch="e7"),
    )
    view = state.view(0)
    assert (view.devices, view.missed, view.restarts) == (("cart-07", "cart-08"), 0, 0)
    assert (view.decisions, view.decisions_per_s, view.resident_mib) == (5, 30.0, 284.0)
    assert view.latency_p99_ms == 70.0
    assert len(view.cameras) == 2


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "cannot be read"),
        (b"{nonsense", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"type": "decision"}', "missing required field"),
        (decision(3, schema=2), "schema 2"),
        (decision(3).replace(b"0.987", b"1.987"), "confidence"),
        (b"{" + b" " * (1 << 20), "bytes"),
    ],
)
def test_a_malformed_message_is_counted_and_not_fatal(payload: bytes, why: str) -> None:
    state = fed(decision(0), payload, decision(1))
    view = state.view(0)
    assert (view.malformed, state.received, view.missed) == (1, 2, 0)
    assert why in view.last_malformed


def test_routes_of_a_newer_publisher_are_shown_as_other() -> None:
    state = fed(health(0, routes={"accept": 1, "ask_again": 4}), decision(1, route="ask_again"))
    assert counts(state)[OTHER] == 5


def test_memory_stays_bounded() -> None:
    state = WatchState()
    for seq in range(KEPT_DECISIONS + 50):
        state.take(decision(seq, name="n" * 5000, device_id=f"cart-{seq}"), now_ns=seq)
    view = state.view(0)
    assert len(view.newest) == KEPT_DECISIONS
    assert len(view.devices) == KEPT_DEVICES
    assert view.devices[-1] == f"cart-{KEPT_DECISIONS + 49}"
    assert len(view.newest[0].name or "") == MAX_TEXT


@given(st.text(), st.text(), st.lists(st.text(), max_size=12))
def test_no_text_reaches_the_terminal_as_a_control_character(name: str, sku: str, reasons: list[str]) -> None:
    row = fed(decision(0, name=name, sku=sku, reasons=tuple(reasons), route=name, captured_utc=sku)).view(0).newest[0]
    shown = line(row)
    assert shown.count("\t") == 7
    assert shown.replace("\t", "").isprintable()


@given(st.binary(max_size=200) | st.recursive(st.none() | st.booleans(), st.lists).map(msgspec.msgpack.encode))
def test_no_payload_raises(payload: bytes) -> None:
    state = fed(payload)
    assert state.malformed == 1


@given(st.sampled_from(["json", "msgpack"]), st.integers(0, 10_000), st.integers(0, 255))
def test_no_damaged_payload_raises(form: str, place: int, byte: int) -> None:
    payload = bytearray(decision(3, form=form))
    payload[place % len(payload)] = byte
    state = fed(bytes(payload))
    assert state.malformed + state.received == 1
    assert len(state.view(0).newest) == state.received


def test_absurd_numbers_are_kept_within_what_can_be_shown() -> None:
    huge = 10**30
    view = fed(decision(0), health(huge, routes={"accept": huge, "verify": -huge}, publish_dropped=huge)).view(0)
    assert view.malformed == 0
    assert (view.decisions, view.missed, view.publish_dropped) == (MAX_COUNT, MAX_COUNT - 1, MAX_COUNT)


def test_the_age_of_the_last_message_is_that_of_any_topic() -> None:
    state = WatchState()
    state.take(health(0), now_ns=1_000_000_000)
    assert state.view(3_500_000_000).heard_ago_s == 2.5


def test_a_line_has_eight_fields() -> None:
    state = fed(decision(0), decision(1, sku=None, name=None, reasons=("ood", "blurred"), route="unknown"))
    newest, first = (line(row).split("\t") for row in state.view(0).newest)
    product = ["accept", "4006381333931", "0.987", "certified", "41.2", "Haselnuss-Schnitten 250 g"]
    assert first == ["2026-11-21T12:00:00.000000+00:00", "left", *product]
    assert newest[2:] == ["unknown", "-", "0.987", "ood,blurred", "41.2", "-"]


def test_the_summary_names_what_was_not_readable() -> None:
    state = fed(decision(0), b"nonsense")
    assert summary(state.received, state.view(0)).startswith("1 decisions, 0 messages missed, 1 malformed (last: ")


def test_a_camera_shows_what_is_wrong_with_it() -> None:
    broken = CameraHealth(id="left", state="failed", frames=1, dropped=0, reopened=0, fault="process_died")
    assert fed(health(0, cameras=(broken,))).view(0).cameras[0].state == "process_died"


def test_an_event_counts_once_however_often_it_comes_and_only_the_last_are_kept() -> None:
    state = WatchState()
    for seq in range(3):
        state.take(event(seq, "a:1"), 0)
    assert len(state.view(0).events) == 1
    assert [one.event for one in state.new_events()] == ["low_accuracy"]
    assert state.new_events() == []
    for number in range(3 * KEPT_EVENTS):
        state.take(event(3 + number, f"b:{number}", summary=f"number {number}"), 0)
    events = state.view(0).events
    assert len(events) == KEPT_EVENTS
    assert events[0].summary == f"number {3 * KEPT_EVENTS - 1}"
    assert len(state.new_events()) == KEPT_EVENTS


def test_of_several_devices_the_slowest_stage_and_all_that_waits() -> None:
    state = WatchState()
    for name, engine, oldest_s in (("a", 9.0, 4.0), ("b", 12.0, 2.0)):
        outbox = OutboxHealth(waiting=5, waiting_bytes=9, delivered=0, lost={"accept": 1}, oldest_s=oldest_s)
        state.take(health(0, device_id=name, outbox=outbox, stages_p99_ms={"engine": engine}), 0)
    view = state.view(0)
    assert view.stages == (("engine", 12.0),)
    assert view.outbox == OutboxView(waiting=10, oldest_s=4.0, lost=2, refusing=False, refused="")
