"""With keys a device delivers in its own name alone: carts with valid keys and false names, and lists that change."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import watch_messages
import zmq
from test_keys import Shop, collect, ended, free_ports
from test_reload import Cart, running

from edge.keys.cli import main as edge_keys
from edge.keys.line import Caller
from edge.keys.pair import read_pair, read_public
from edge.outbox.wire import acknowledged, refused, row_frame

WAIT_MS = 20_000


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A collector that has two carts on its list."""
    keys = tmp_path / "keys"
    for name in ("collector", "cart-7", "cart-8"):
        assert edge_keys(["make", name, "--dir", str(keys)]) == 0
    for name in ("cart-7", "cart-8"):
        assert edge_keys(["allow", str(keys / f"{name}.pub"), "--in", str(keys / "carts")]) == 0
    decisions = f"ipc://{tmp_path}/decisions"
    return Shop(tmp_path, tmp_path / "cart.yaml", decisions, "", f"tcp://127.0.0.1:{free_ports(1)[0]}")


def listed_as(shop: Shop, name: str, old: str) -> None:
    """Let the key of cart-7 be on the list under another name, as the README says."""
    carts = str(shop.folder / "keys" / "carts")
    assert edge_keys(["remove", old, "--in", carts]) == 0
    assert edge_keys(["allow", str(shop.folder / "keys" / "cart-7.pub"), "--in", carts, "--name", name]) == 0


class Outbox:
    """An outbox by hand: one connection that says what it likes, and what it was answered."""

    def __init__(self, socket: zmq.Socket) -> None:
        self.socket = socket
        self.rows = 0

    def says(self, payload: bytes) -> str:
        """Deliver; return why it was refused, "" where it was acknowledged."""
        self.rows += 1
        self.socket.send_multipart([row_frame(self.rows), payload])
        frames = self.socket.recv_multipart()
        refusal = refused(frames)
        if refusal is not None:
            assert len(frames[-1]) == 0, "no acknowledgement to an outbox of before"
            assert refusal.rows == [self.rows]
            return refusal.why
        assert acknowledged(frames[-1]) == [self.rows]
        return ""


@contextmanager
def outbox(shop: Shop, who: str) -> Iterator[Outbox]:
    keys = shop.folder / "keys"
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, WAIT_MS)
        Caller(read_pair(keys / f"{who}.secret"), read_public(keys / "collector.pub")).secure(socket)
        socket.connect(shop.collector)
        yield Outbox(socket)


def decision(device_id: str, seq: int, **changes: object) -> bytes:
    return watch_messages.decision(seq, **{"device_id": device_id, "decision_id": f"{device_id}:e1:{seq}", **changes})


def rows(shop: Shop, query: str) -> list[Any]:
    with closing(sqlite3.connect(shop.folder / "decisions.sqlite")) as database:
        return database.execute(query).fetchall()


FALSE: list[Callable[[str], bytes]] = [
    lambda other: decision(other, 1),
    lambda other: decision("cart-8", 1, decision_id=f"{other}:e1:1"),
    lambda other: decision(other, 1, decision_id="cart-8:e1:1"),
    lambda other: watch_messages.event(1, f"{other}:ab:1", device_id=other),
    lambda other: watch_messages.event(1, f"{other}:ab:1", device_id="cart-8"),
    lambda other: watch_messages.decision(1, form="msgpack", device_id=other, decision_id=f"{other}:e1:1"),
]


def test_a_valid_key_speaks_for_no_other_device(shop: Shop) -> None:
    with collect(shop, "collector") as collector, outbox(shop, "cart-8") as eight, outbox(shop, "cart-7") as seven:
        for say in FALSE:
            assert "takes nothing of device cart-7 from the key that it knows as cart-8" in eight.says(say("cart-7"))
        assert eight.says(decision("cart-8", 2)) == "", "what it says of itself is taken all the same"
        assert seven.says(decision("cart-7", 1)) == "", "nothing false stands in its place"
        assert eight.says(watch_messages.event(1, "cart-8:ab:1", device_id="cart-8")) == ""
        out, err = ended(collector)
    assert f"refused and not acknowledged: {len(FALSE)}" in out
    assert "2 decisions written, 0 came again, 0 rejected; 1 events written" in out
    said = [line for line in err.splitlines() if "level=warning" in line]
    assert len(said) == 1, "one line a minute and key"
    assert "takes nothing of device cart-7 from the key that it knows as cart-8" in said[0]
    assert rows(shop, "SELECT device_id, seq FROM decisions ORDER BY device_id") == [("cart-7", 1), ("cart-8", 2)]
    assert rows(shop, "SELECT event_id FROM events") == [("cart-8:ab:1",)]


def test_the_list_of_this_moment_counts_also_for_who_is_in(shop: Shop) -> None:
    with collect(shop, "collector") as collector, outbox(shop, "cart-7") as seven:
        assert seven.says(decision("cart-7", 1)) == ""
        listed_as(shop, "cart-9", "cart-7")
        assert "from the key that it knows as cart-9" in seven.says(decision("cart-7", 2))
        assert seven.says(decision("cart-9", 3)) == ""
        listed_as(shop, "cart-7", "cart-9")
        assert seven.says(decision("cart-7", 2)) == ""
        assert edge_keys(["remove", "cart-7", "--in", str(shop.folder / "keys" / "carts")]) == 0
        assert "is not on its list any more" in seven.says(decision("cart-7", 4))
        shutil.move(shop.folder / "keys" / "carts", shop.folder / "keys" / "gone")
        assert "cannot read its list of keys" in seven.says(decision("cart-7", 4))
        shutil.move(shop.folder / "keys" / "gone", shop.folder / "keys" / "carts")
        assert (
            edge_keys(["allow", str(shop.folder / "keys" / "cart-7.pub"), "--in", str(shop.folder / "keys" / "carts")])
            == 0
        )
        assert seven.says(decision("cart-7", 4)) == ""
        ended(collector)
    assert rows(shop, "SELECT device_id, seq FROM decisions ORDER BY seq") == [
        ("cart-7", 1),
        ("cart-7", 2),
        ("cart-9", 3),
        ("cart-7", 4),
    ]


def test_without_keys_everybody_is_believed(shop: Shop) -> None:
    code = "import sys; from edge.collect.cli import main; sys.exit(main())"
    options = ["--out", str(shop.folder / "decisions.sqlite"), "--listen", shop.collector]
    with subprocess.Popen([sys.executable, "-c", code, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on ")
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVTIMEO, WAIT_MS)
            socket.connect(shop.collector)
            assert Outbox(socket).says(decision("anybody", 1)) == ""
        process.kill()


def test_a_daemon_under_a_false_name_says_so_loses_nothing_and_delivers_once_the_list_is_right(
    shop: Shop, tmp_path: Path, endpoint: str, subscriber: zmq.Socket
) -> None:
    cart = Cart(tmp_path, endpoint, subscriber)
    keys = tmp_path / "keys"
    cart.write(
        more=f"outbox: {{path: {tmp_path}/outbox.sqlite, collector: '{shop.collector}'}}\n"
        f"keys: {{own: {keys}/cart-7.secret, collector: {keys}/collector.pub}}\n"
    )
    listed_as(shop, "trolley", "cart-7")
    with collect(shop, "collector") as collector:
        with running(cart):
            while (state := cart.beat().outbox) is None or not state.refused:
                pass
            assert "takes nothing of device cart-7 from the key that it knows as trolley" in state.refused
            assert (state.delivered, any(state.lost.values())) == (0, False)
            listed_as(shop, "cart-7", "trolley")
            while (state := cart.beat().outbox) is None or state.refused or state.waiting > 20:
                pass
            assert state.delivered > 20
        out, err = ended(collector)
    assert "the collector refuses: it takes nothing of device cart-7" in cart.errors
    assert "takes nothing of device cart-7 from the key that it knows as trolley" in err
    assert "refused and not acknowledged" in out
    collected = {row[0] for row in rows(shop, "SELECT seq FROM decisions")}
    assert {one.seq for one in cart.seen if one.seq <= max(collected)} <= collected, "from the first one on"


def test_a_verdict_reaches_the_device_that_decided_and_no_other(
    tmp_path: Path, endpoint: str, subscriber: zmq.Socket
) -> None:
    cart = Cart(tmp_path, endpoint, subscriber)
    cart.write(more=f"feedback: {{path: {tmp_path}/fb.sqlite, listen: 'ipc://{tmp_path}/truth'}}\n")
    with running(cart), zmq.Context() as context, context.socket(zmq.REQ) as till:
        till.setsockopt(zmq.LINGER, 0)
        till.setsockopt(zmq.RCVTIMEO, WAIT_MS)
        till.connect(f"ipc://{tmp_path}/truth")
        own = cart.decisions(1)[0]
        for decision_id, result in (
            (own.decision_id.replace("cart-7", "cart-8"), "unknown_decision"),
            (own.decision_id, "taken"),
        ):
            till.send(json.dumps({"decision_id": decision_id, "true_sku": "unknown", "source": "cashier"}).encode())
            assert json.loads(till.recv())["result"] == result
