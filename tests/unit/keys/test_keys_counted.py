"""Who was refused is on the heartbeat and on the page for Prometheus, by socket and reason; in the log now and then."""

from __future__ import annotations

import logging
import socket
import urllib.request

import pytest

from edge import messages
from edge.config import MetricsConfig
from edge.health import Health
from edge.logs import PERIOD_S, TEMPLATES
from edge.metrics import MetricsServer
from edge.telling import Telling

REFUSED = {"publish": {"plain": 2, "not_listed": 5}, "feedback": {"plain": 0, "not_listed": 1}}


def test_refusals_are_told_where_everything_else_is() -> None:
    health = Health(0, refused=lambda: REFUSED)
    message = health.message(messages.Origin("cart-1", "epoch", "bundle"), [], now_ns=1)
    assert message.refused == REFUSED
    assert messages.decode(messages.encode(message, "msgpack")) == message
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    with (
        MetricsServer(MetricsConfig(listen=listen), health, [], lambda: 1),
        urllib.request.urlopen(f"http://{listen}/metrics", timeout=10) as page,
    ):
        text = page.read().decode()
    assert 'edge_connections_refused_total{reason="not_listed",socket="publish"} 5.0' in text
    assert 'reason="plain",socket="feedback"' not in text, "a series from the first one on"


def test_a_daemon_without_keys_tells_of_none() -> None:
    assert Health(0).message(messages.Origin("cart-1", "epoch", "bundle"), [], now_ns=1).refused == {}


def test_a_word_comes_once_a_minute_with_how_often_it_was_meant(caplog: pytest.LogCaptureFixture) -> None:
    now_ns = 0
    telling = Telling(logging.getLogger("test"), lambda: now_ns)
    for _ in range(100):
        telling.warning("plain", "refused a peer without keys")
    telling.warning("not_listed", "refused a key")
    now_ns = round(PERIOD_S * 1e9)
    telling.warning("plain", "refused a peer without keys")
    assert [record.getMessage() for record in caplog.records] == [
        "refused a peer without keys",
        "refused a key",
        "refused a peer without keys (100 since the last word)",
    ]


def test_what_was_not_said_again_is_told_with_the_next_word(caplog: pytest.LogCaptureFixture) -> None:
    now_ns = 0
    telling = Telling(logging.getLogger("test"), lambda: now_ns)
    for _ in range(3):
        telling.warning("plain", "refused a peer without keys")
    now_ns = round(PERIOD_S * 1e9)
    telling.warning("not_listed", "refused a key")
    assert [record.getMessage() for record in caplog.records][1:] == [
        "plain: 2 more since the last word",
        "refused a key",
    ]


def test_kinds_without_end_take_no_memory_without_end() -> None:
    telling = Telling(logging.getLogger("test"), lambda: 0)
    for number in range(3 * TEMPLATES):
        telling.warning(str(number), "x")
    assert len(telling._limiter._seen) == TEMPLATES
