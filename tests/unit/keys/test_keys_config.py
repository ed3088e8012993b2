"""Which sockets need keys: one table of what may stand beside what."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import DaemonConfig, load_daemon_config
from edge.errors import ConfigError

BASE = "device_id: cart-7\nbundle: bundle\ncameras:\n  - {id: basket, source: /dev/video0}\n"
FAR = "tcp://10.0.0.3:5560"


def load(tmp_path: Path, *lines: str) -> DaemonConfig:
    path = tmp_path / "cart.yaml"
    path.write_text(BASE + "\n".join(lines) + "\n")
    return load_daemon_config(path)


def publish(where: str = "tcp://0.0.0.0:5556", more: str = "") -> str:
    return f"publish: {{decisions: '{where}'{more}}}"


def keys(more: str) -> str:
    return f"keys: {{own: a.secret, {more}}}"


@pytest.mark.parametrize(
    "lines",
    [
        [publish(), keys("subscribers: s")],
        [publish("tcp://127.0.0.1:5556"), keys("subscribers: s")],  # on loopback too, if one likes
        [publish("tcp://127.0.0.1:5556")],
        [publish(more=", insecure: true")],
        [publish("ipc:///run/d"), f"outbox: {{path: o, collector: '{FAR}'}}", keys("collector: c.pub")],
        [publish("ipc:///run/d"), "feedback: {path: f, listen: 'tcp://*:5562'}", keys("senders: s")],
        [publish("ipc:///run/d"), "metrics: {listen: 0.0.0.0:9108, insecure: true}"],
    ],
)
def test_what_is_guarded_or_meant_is_taken(tmp_path: Path, lines: list[str]) -> None:
    assert load(tmp_path, *lines).device_id == "cart-7"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([publish()], r"publish\.decisions: .*name keys\.subscribers .*or say `insecure: true`"),
        ([publish(), keys("senders: s")], r"publish\.decisions: .*name keys\.subscribers"),
        ([publish("ipc:///d"), f"outbox: {{path: o, collector: '{FAR}'}}"], r"outbox\.collector: .*keys\.collector"),
        ([publish("ipc:///d"), "feedback: {path: f, listen: 'tcp://*:5562'}"], r"feedback\.listen: .*keys\.senders"),
        ([publish("ipc:///d"), "metrics: {listen: 0.0.0.0:9108}"], r"metrics\.listen: .*use 127\.0\.0\.1, or say"),
        ([publish("ipc:///d"), keys("subscribers: s")], r"publish\.decisions: an ipc path stays plain"),
        ([publish(more=", insecure: true"), keys("subscribers: s")], r"publish\.decisions: .*keep one of the two"),
        ([publish(), keys("subscribers: s, senders: t")], r"keys\.senders: given, but the part of the daemon"),
        ([publish(), keys("subscribers: ''")], r"keys\.subscribers"),
        ([publish(), keys("subscribers: s, secret: x")], r"keys\.secret: unknown key"),
        ([publish(), "keys: {subscribers: s}"], r"keys: the key `own` is missing"),
    ],
)
def test_what_is_plain_where_others_reach_it_or_told_twice_is_refused(
    tmp_path: Path, lines: list[str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, *lines)
