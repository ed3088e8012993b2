"""SIGHUP on a running daemon: settings of parts that stay take effect at once, or are refused and change nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import zmq
from test_keys import Shop, collect, ended, free_ports
from test_reload import Cart, running

from edge import messages
from edge.keys.cli import main as edge_keys

CRITICAL = "degrade: {memory: [1.3, 1.2, 1.1], calm_s: 0.5}\n"  # no machine has more available than it has
LIVE = "id: basket, source: 'synthetic: 64x48'"


@pytest.fixture
def cart(tmp_path: Path, endpoint: str, subscriber: zmq.Socket) -> Cart:
    return Cart(tmp_path, endpoint, subscriber)


def change(cart: Cart, more: str, *cameras: str) -> messages.EventMessage:
    """Write another configuration, ask for it, and return the event that says that it took over."""
    cart.write(*cameras, more=more)
    cart.hang_up()
    return cart.until_event("reloaded")[1]


def refused(cart: Cart, more: str, *cameras: str) -> str:
    cart.write(*cameras, more=more)
    cart.hang_up()
    return cart.until_event("reload_failed")[1].summary


def beats(cart: Cart) -> Iterator[messages.HealthMessage]:
    while True:
        yield cart.beat()


def test_marks_of_the_ladder_change_and_a_step_down_stays_until_it_is_calm_by_them(cart: Cart) -> None:
    cart.write(LIVE, more="degrade: {memory: [0.0003, 0.0002, 0.0001]}\n")
    with running(cart):
        assert not any(decision.degraded for decision in cart.decisions(20))
        event = change(cart, CRITICAL, LIVE)
        _, moved = cart.until_event("ladder_moved")
        assert "step 3, skip_still (memory" in moved.summary
        assert event.summary == "reload done: degrade.calm_s, degrade.memory"
        change(cart, "degrade: {memory: [0.0003, 0.0002, 0.0001], calm_s: 3600}\n", LIVE)
        told = [cart.beat() for _ in range(4)]
        assert {beat.ladder.step for beat in told if beat.ladder} == {3}, "relaxed by these marks, and not for an hour"
        assert all(decision.degraded for decision in cart.decisions(5))
        change(cart, "degrade: {memory: [0.0003, 0.0002, 0.0001], calm_s: 0.5}\n", LIVE)
        steps = [cart.until_event("ladder_moved")[1].evidence["step"] for _ in range(3)]
        assert steps == [2, 1, 0]
        while cart.decisions(1)[0].degraded:
            pass


def test_the_ladder_is_switched_off_step_by_step_and_on_again(cart: Cart) -> None:
    cart.write(LIVE, more=CRITICAL)
    with running(cart):
        cart.until_event("ladder_moved")
        assert change(cart, "degrade: null\n", LIVE).summary == "reload done: degrade"
        steps = [cart.until_event("ladder_moved")[1].evidence["step"] for _ in range(3)]
        assert steps == [2, 1, 0]
        assert next(beat for beat in beats(cart) if beat.ladder is None)
        while cart.decisions(1)[0].degraded:
            pass
        change(cart, CRITICAL, LIVE)
        assert cart.until_event("ladder_moved")[1].evidence["step"] == 3


def test_form_level_and_rate_of_the_log_change(cart: Cart) -> None:
    with running(cart):
        cart.decisions(2)
        change(cart, "log: {format: json, most_a_minute: 1}\n")
        for _ in range(2):
            refused(cart, "log: {format: json, most_a_minute: 1}\nextra: 1\n")
        change(cart, "log: {format: json, level: error, most_a_minute: 1}\n")
        change(cart, "log: {format: text, level: info}\n")
    lines = cart.errors.splitlines()
    done = [line for line in lines if "reload done" in line]
    assert json.loads(done[0])["message"] == "reload done: log.format, log.most_a_minute"
    assert done[1].endswith('"reload done: log.format, log.level, log.most_a_minute"'), "of level error none was said"
    assert len(done) == 2
    assert sum("reload failed" in line for line in lines) == 2, "one, and how many were held back"
    assert "held back: reload failed" in cart.errors


def first_byte(cart: Cart) -> bytes:
    """Take the next message, which has the next number, and return how its payload begins."""
    payload = cart.subscriber.recv_multipart()[1]
    assert cart.last_seq is not None
    cart.last_seq += 1
    assert messages.decode(payload).seq == cart.last_seq
    return bytes(payload[:1])


def test_the_form_of_messages_changes_and_no_number_is_missing(cart: Cart) -> None:
    with running(cart):
        cart.decisions(2)
        text = cart.config.read_text()
        cart.config.write_text(text.replace("publish: {", "publish: {format: msgpack, "))
        cart.hang_up()
        cart.until_event("reloaded")
        assert first_byte(cart) != b"{"
        cart.config.write_text(text)
        cart.hang_up()
        assert cart.until_event("reloaded")[1].summary == "reload done: publish.format"
        assert first_byte(cart) == b"{"


def outbox(cart: Cart, more: str = "") -> str:
    return f"outbox: {{path: {cart.folder}/outbox.sqlite, collector: 'ipc://{cart.folder}/nobody'{more}}}\n"


def test_a_limit_of_the_outbox_changes_and_what_waits_is_never_thrown_away_by_it(cart: Cart) -> None:
    cart.write(more=outbox(cart))
    with running(cart):
        while (waits := cart.beat().outbox) is not None and waits.waiting < 30:
            pass
        said = refused(cart, outbox(cart, ", max_rows: 5"))
        assert "outbox.max_rows is 5, but " in said
        before = cart.beat().outbox
        assert before is not None
        assert before.waiting >= 30
        assert not any(before.lost.values())
        limit = before.waiting + 60
        change(cart, outbox(cart, f", max_rows: {limit}"))
        while (full := cart.beat().outbox) is None or not full.lost["accept"]:
            assert full is None or full.waiting <= limit
        change(cart, outbox(cart, f", max_rows: {limit + 100}, max_mib: 8"))
        while (more := cart.beat().outbox) is None or more.waiting <= limit:
            pass


def test_bounds_of_feedback_change_and_what_is_remembered_is_not_forgotten_by_it(cart: Cart) -> None:
    def feedback(more: str) -> str:
        return f"feedback: {{path: {cart.folder}/fb.sqlite, listen: 'ipc://{cart.folder}/truth'{more}}}\n"

    cart.write(more=feedback(""))
    with running(cart):
        while (state := cart.beat().feedback) is None or state.remembered < 110:
            pass
        assert state.window_of == 1_000
        assert "feedback.max_decisions is 100, but " in refused(cart, feedback(", max_decisions: 100"))
        while True:  # what a heartbeat says was committed a while ago, and more is remembered by now
            state = cart.beat().feedback
            assert state is not None
            limit = state.remembered + 120
            cart.write(more=feedback(f", max_decisions: {limit}, window_verdicts: 20"))
            cart.hang_up()
            event = next(message for message in cart.heard() if isinstance(message, messages.EventMessage))
            if event.event == "reloaded":
                break
            assert f"feedback.max_decisions is {limit}, but " in event.summary
        assert event.summary == "reload done: feedback.max_decisions, feedback.window_verdicts"
        while (state := cart.beat().feedback) is None or state.window_of != 20:
            pass
        seen = len(cart.seen)
        cart.decisions(300)
        assert len(cart.seen) > seen
        after = cart.beat().feedback
        assert after is not None
        assert after.remembered <= limit


def test_as_many_products_are_shown_as_are_asked_for_now(cart: Cart) -> None:
    (port,) = free_ports(1)

    def shown() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics/classes", timeout=20) as page:
            return str(page.read().decode())

    cart.write(more=f"metrics: {{listen: '127.0.0.1:{port}'}}\n")
    with running(cart):
        cart.decisions(60)
        assert "edge_class_decisions_total{" in shown()
        change(cart, f"metrics: {{listen: '127.0.0.1:{port}', max_classes: 0}}\n")
        assert "edge_class_decisions_total{" not in shown()


@pytest.fixture
def shop(cart: Cart) -> Shop:
    """Keys of the cart and of its collector, and an outbox that needs them."""
    keys = cart.folder / "keys"
    for name in ("cart-7", "collector", "newer"):
        assert edge_keys(["make", name, "--dir", str(keys)]) == 0
    assert edge_keys(["allow", str(keys / "cart-7.pub"), "--in", str(keys / "carts")]) == 0
    assert edge_keys(["allow", str(keys / "cart-7.pub"), "--in", str(keys / "senders"), "--name", "till"]) == 0
    truth, collector = (f"tcp://127.0.0.1:{port}" for port in free_ports(2))
    return Shop(cart.folder, cart.config, cart.endpoint, truth, collector)


def with_keys(shop: Shop) -> str:
    keys = shop.folder / "keys"
    return (
        f"outbox: {{path: {shop.folder}/outbox.sqlite, collector: '{shop.collector}'}}\n"
        f"feedback: {{path: {shop.folder}/feedback.sqlite, listen: '{shop.truth}'}}\n"
        f"keys: {{own: {keys}/cart-7.secret, senders: {keys}/senders, collector: {keys}/collector.pub}}\n"
    )


def test_a_renewed_key_of_the_collector_takes_over_and_nothing_is_lost(cart: Cart, shop: Shop) -> None:
    def collected() -> set[int]:
        with closing(sqlite3.connect(shop.folder / "decisions.sqlite")) as database:
            return {row[0] for row in database.execute("SELECT seq FROM decisions")}

    cart.write(more=with_keys(shop))
    keys = shop.folder / "keys"
    with running(cart):
        with collect(shop, "collector") as old:
            while (state := cart.beat().outbox) is None or state.delivered < 10:
                pass
            ended(old)
        with collect(shop, "newer") as new:
            shutil.copy(keys / "newer.pub", keys / "collector.pub")
            cart.hang_up()
            _, event = cart.until_event("reloaded")
            assert event.summary == "reload done: the key in keys.collector"
            before = {one.seq for one in cart.seen}
            while not before <= collected():  # also what was on its way to the old one, while newer ones are taken
                cart.beat()
            ended(new)
    assert max(collected()) > event.seq


def test_a_renewed_pair_of_our_own_and_a_damaged_list_are_refused_and_change_nothing(cart: Cart, shop: Shop) -> None:
    cart.write(more=with_keys(shop))
    keys = shop.folder / "keys"
    first = cart.point_to("v1")
    with running(cart), collect(shop, "collector"):
        cart.decisions(2)
        kept = (keys / "cart-7.secret").read_bytes()
        (keys / "cart-7.secret").write_bytes((keys / "newer.secret").read_bytes())
        cart.point_to("v2")
        said = refused(cart, with_keys(shop))
        assert "keys.own: " in said
        assert "holds another pair than the one that this daemon's sockets were bound with" in said
        assert "start the daemon again" in said
        (keys / "cart-7.secret").write_bytes(kept)
        (keys / "senders" / "other.pub").write_text("nonsense")
        assert "other.pub" in refused(cart, with_keys(shop))
        assert {decision.bundle_id for decision in cart.decisions(4)} == {first}
        delivered = 0
        while (state := cart.beat().outbox) is None or state.delivered < delivered + 10:
            delivered = delivered or (state.delivered if state else 0)
        (keys / "senders" / "other.pub").unlink()
        assert "bundle " in change(cart, with_keys(shop)).summary
