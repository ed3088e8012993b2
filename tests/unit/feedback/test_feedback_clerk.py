"""The clerk on a real socket: every message is answered, none ends it, and the frame loop never waits."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import pytest
import zmq
from background import until
from feedback_parts import DEVICE, EPOCH, catalogue, decided

from edge import durable
from edge.config import FeedbackConfig
from edge.errors import InputError, PublishError
from edge.feedback import clerk as clerk_module
from edge.feedback.clerk import QUEUE, Clerk, Parts
from edge.feedback.judge import Judge
from edge.feedback.ledger import Ledger
from edge.feedback.state import Decided
from edge.feedback.store import Store
from edge.feedback.wire import RESULTS, decode
from edge.health import resident_mib
from edge.types import Route

WAIT_MS = 20_000


@contextmanager
def working(path: Path, endpoint: str, window: int = 1000, new: int = 0) -> Iterator[Clerk]:
    config, of = FeedbackConfig(path=str(path), window_verdicts=window), catalogue(new)
    with Store(path, config.max_decisions) as store:
        judge = Judge(config, of)
        ledger = Ledger(store, judge, of, DEVICE, window)
        with Clerk(Parts(store, judge, ledger), endpoint, window, time.monotonic_ns) as clerk:
            yield clerk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "feedback.sqlite"


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/truth"


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    with zmq.Context() as context:
        yield context


def socket_to(context: zmq.Context, endpoint: str, kind: int) -> zmq.Socket:
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, WAIT_MS)
    socket.connect(endpoint)
    return socket


def verdict(seq: int, sku: str = "sku-1") -> bytes:
    told = {"decision_id": f"{DEVICE}:{EPOCH}:{seq}", "true_sku": sku, "source": "barcode"}
    return json.dumps(told).encode()


def test_req_and_dealer_are_answered_and_what_was_answered_is_on_the_disk(
    path: Path, endpoint: str, context: zmq.Context
) -> None:
    with working(path, endpoint) as clerk:
        assert clerk.put(decided(1, Route.VERIFY))
        with socket_to(context, endpoint, zmq.REQ) as socket:
            socket.send(verdict(1))
            assert json.loads(socket.recv()) == {"decision_id": f"{DEVICE}:{EPOCH}:1", "result": "taken", "why": ""}
        with socket_to(context, endpoint, zmq.DEALER) as socket:
            for seq in (1, 2):
                socket.send(verdict(seq))
            assert [json.loads(socket.recv())["result"] for _ in range(2)] == ["again", "unknown_decision"]
        until(lambda: clerk.state().verdicts.get("unknown_decision") == 1)
    with working(path, endpoint) as clerk, socket_to(context, endpoint, zmq.REQ) as socket:
        socket.send(verdict(1))
        assert json.loads(socket.recv())["result"] == "again"


def test_a_flood_is_answered_a_few_at_a_time_with_rests_between(
    path: Path, endpoint: str, context: zmq.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shares the interpreter with the frame loop: yesterday's reviews at once must not hold that up."""
    did: list[str] = []
    monkeypatch.setattr(clerk_module, "decode", lambda payload: did.append("verdict") or decode(payload))
    monkeypatch.setattr(clerk_module, "time", SimpleNamespace(sleep=lambda _: did.append("rest")))
    flood = 10 * clerk_module.BATCH
    with working(path, endpoint), socket_to(context, endpoint, zmq.DEALER) as socket:
        for number in range(flood):
            socket.send(b"?" if number % 2 else verdict(number))
        for _ in range(flood):
            socket.recv()
    runs = [len(list(some)) for what, some in groupby(did) if what == "verdict"]
    assert sum(runs) == flood
    assert len(runs) >= 5, "not all at once"


def mutated(generator: random.Random) -> bytes:
    """Return a verdict with bytes, keys or values that it should not have."""
    payload = bytearray(verdict(generator.randrange(10), generator.choice(["sku-1", "unknown", "\u00e9", ""])))
    kind = generator.randrange(6)
    if kind == 0:
        return bytes(payload[: generator.randrange(len(payload))])
    if kind == 1:
        return generator.randbytes(generator.randrange(200))
    if kind == 2:
        value = generator.choice([None, 1, [], {}, "x" * 5000, True, -1.5, "cart-7:epoch1:" + "9" * 30, "a\x00b"])
        key = generator.choice(["decision_id", "true_sku", "source", "more"])
        return json.dumps({**json.loads(payload), key: value}).encode()
    if kind == 3:
        return b"[" * generator.randrange(1, 4000)
    for _ in range(generator.randrange(1, 8)):
        payload[generator.randrange(len(payload))] = generator.randrange(256)
    return bytes(payload)


def test_ten_thousand_mutated_messages_are_each_answered_with_a_result(
    path: Path, endpoint: str, context: zmq.Context
) -> None:
    generator = random.Random(5)
    with working(path, endpoint) as clerk, socket_to(context, endpoint, zmq.DEALER) as socket:
        for seq in range(10):
            clerk.put(decided(seq))
        before_mib = resident_mib()
        found: Counter[str] = Counter()
        for _ in range(100):
            for _ in range(100):
                socket.send(mutated(generator))
            found.update(json.loads(socket.recv())["result"] for _ in range(100))
        assert sum(found.values()) == 10_000
        assert set(found) <= set(RESULTS)
        assert found["malformed"] > 5000
        assert found["taken"] <= 10
        assert resident_mib() - before_mib < 50
        until(lambda: sum(clerk.state().verdicts.values()) == 10_000)
        assert clerk.state().verdicts == {**dict.fromkeys(RESULTS, 0), **found}


def test_odd_frames_and_a_message_that_is_too_large_end_nothing(
    path: Path, endpoint: str, context: zmq.Context
) -> None:
    with working(path, endpoint):
        with socket_to(context, endpoint, zmq.DEALER) as socket:
            for frames in ([b"", b"x", verdict(1)], [b""], [b"", b""], [b"a"] * 50):
                socket.send_multipart(frames)
                assert json.loads(socket.recv_multipart()[-1])["result"] == "malformed"
            socket.send(b"x" * 100_000)  # libzmq ends the connection
        with socket_to(context, endpoint, zmq.DEALER) as socket:
            socket.send(verdict(1))
            assert json.loads(socket.recv())["result"] == "unknown_decision"


def test_the_accuracy_of_the_last_window_can_be_asked_for(path: Path, endpoint: str, context: zmq.Context) -> None:
    with working(path, endpoint, window=10) as clerk, socket_to(context, endpoint, zmq.DEALER) as socket:
        socket.send(b'{"ask": "accuracy"}')
        assert json.loads(socket.recv()) == []
        for seq in range(20):
            clerk.put(decided(seq, Route.VERIFY))
        for seq in range(10):
            socket.send(verdict(seq, "sku-1" if seq else "sku-2"))
        assert [json.loads(socket.recv())["result"] for _ in range(10)] == ["taken"] * 10
        until(lambda: bool(clerk.state().accuracy))
        socket.send(b'{"ask": "accuracy"}')
        rows = {(row["scale"], row["name"]): row for row in json.loads(socket.recv())}
        assert rows["product", "sku-1"]["asked"]["right"] == 9
        assert rows["product", "sku-2"]["asked"]["value"] == 0.0
        assert rows["all", ""]["asked"]["checked"] == 10
        assert {row.scale for row in clerk.state().accuracy} == {"all", "tier"}, "the heartbeat stays small"


def test_an_event_waits_until_it_is_published_and_keeps_its_id(path: Path, endpoint: str) -> None:
    with working(path, endpoint, new=1) as clerk:
        first = clerk.next_event()
        assert first is not None
        assert first.finding.event == "new_products"
    with working(path, endpoint, new=1) as clerk:
        again = clerk.next_event()
        assert again is not None
        assert again == first
        clerk.sent()
        clerk.published(again.row)
        assert clerk.next_event() is None
    with working(path, endpoint, new=1) as clerk:
        assert clerk.next_event() is None
        assert clerk.state().events == {"new_products": 1}


def test_a_disk_that_refuses_is_told_to_the_sender_and_ends_nothing(
    path: Path, endpoint: str, context: zmq.Context
) -> None:
    with working(path, endpoint) as clerk, socket_to(context, endpoint, zmq.REQ) as socket:
        clerk.put(decided(1))
        until(lambda: clerk.state().remembered == 1)
        database = clerk._parts.store._opened()
        database.execute(f"PRAGMA max_page_count={database.execute('PRAGMA page_count').fetchone()[0]}")
        for seq in range(2, 3000):
            clerk.put(decided(seq))
        socket.send(verdict(1))
        answer = json.loads(socket.recv())
        assert answer["result"] == "not_kept"
        assert "full" in answer["why"]
        while all(clerk.put(decided(seq)) for seq in range(3000, 3000 + 2 * QUEUE)):
            pass
        database.execute("PRAGMA max_page_count=1000000")
        socket.send(verdict(1))
        assert json.loads(socket.recv())["result"] == "taken"
        until(lambda: clerk.state().dropped > 0)


def test_a_taken_place_is_one_clear_error(path: Path, tmp_path: Path, endpoint: str) -> None:
    with working(path, endpoint), pytest.raises(PublishError, match="another process does"):
        working(tmp_path / "other.sqlite", endpoint).__enter__()
    file = tmp_path / "precious"
    file.write_text("mine")
    with pytest.raises(InputError, match=r"a file or a folder stands there, .*; change feedback\.listen"):
        working(tmp_path / "third.sqlite", f"ipc://{file}").__enter__()
    assert file.read_text() == "mine"
    with pytest.raises(PublishError, match=r"cannot listen on tcp://192\.0\.2\.1:9"):
        working(tmp_path / "fourth.sqlite", "tcp://192.0.2.1:9").__enter__()


def test_the_decoder_names_what_is_wrong() -> None:
    with pytest.raises(InputError, match="missing required field `true_sku`"):
        decode(b'{"decision_id": "a:b:1", "source": "barcode"}')
    with pytest.raises(InputError, match="unknown field `price`"):
        decode(b'{"decision_id": "a:b:1", "true_sku": "x", "source": "barcode", "price": 1}')
    with pytest.raises(InputError, match="5000 bytes, expected at most 4096"):
        decode(b"x" * 5000)


def test_another_bundle_begins_with_the_next_decision_and_verdicts_find_both(
    path: Path, endpoint: str, context: zmq.Context
) -> None:
    config = FeedbackConfig(path=str(path))
    with working(path, endpoint) as clerk, socket_to(context, endpoint, zmq.REQ) as socket:
        for seq in range(5):
            clerk.put(decided(seq, audited=True))
        after = catalogue(bundle_id="b2")
        clerk.follow(Judge(config, after), after)
        for seq in range(5, 8):
            clerk.put(decided(seq, audited=True))
        for seq in (7, 0):
            socket.send(verdict(seq, "sku-2"))
            assert json.loads(socket.recv())["result"] == "taken"
        watching = clerk._parts.judge.watching
        assert (watching.bundle_id, watching.before) == ("b2", 5)
        assert watching.doubt is not None
        assert watching.doubt.checked == 1, "the audit of before is not held against the new bundle"


def test_another_bundle_that_comes_while_the_queue_is_read_begins_all_the_same(
    path: Path, endpoint: str, context: zmq.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    after, config = catalogue(bundle_id="b2"), FeedbackConfig(path=str(path))
    with working(path, endpoint) as clerk, socket_to(context, endpoint, zmq.REQ) as socket:
        take = clerk._queue.get_nowait

        def meanwhile() -> Decided:  # what the frame loop may do between two decisions that the clerk takes
            monkeypatch.setattr(clerk._queue, "get_nowait", take)
            clerk.put(decided(1))
            clerk.follow(Judge(config, after), after)
            clerk.put(decided(2))
            return take()

        monkeypatch.setattr(clerk._queue, "get_nowait", meanwhile)
        clerk.put(decided(0))
        until(lambda: clerk._queue.get_nowait is not meanwhile)
        for seq in (2, 0):
            socket.send(verdict(seq))
            assert json.loads(socket.recv())["result"] == "taken"
        watching = clerk._parts.judge.watching
        assert (watching.bundle_id, watching.before) == ("b2", 2)


def test_the_file_is_not_closed_while_the_thread_still_writes(
    path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, done = threading.Event(), threading.Event()

    def slow(_: Ledger) -> None:
        release.wait(10)
        done.set()

    monkeypatch.setattr(durable, "JOIN_S", 0.01)
    monkeypatch.setattr(Ledger, "finish", slow)
    timer = threading.Timer(0.3, release.set)
    with working(path, endpoint):
        timer.start()
    assert done.is_set()
    timer.join()
