"""What may change while a daemon runs: every key of the configuration is on one side of the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec import structs

from edge.config import (
    CameraConfig,
    DaemonConfig,
    DegradeConfig,
    EngineConfig,
    FeedbackConfig,
    KeysConfig,
    LogConfig,
    MetricsConfig,
    OutboxConfig,
    PublishConfig,
    SelfTestConfig,
)
from edge.config.changes import FIXED, LIVE, changed_keys, refuse_fixed
from edge.errors import ConfigError

CONFIG = DaemonConfig(
    device_id="cart-7",
    bundle="v1",
    cameras=(CameraConfig(id="basket", source="0"),),
    publish=PublishConfig(decisions="ipc:///a"),
    outbox=OutboxConfig(path="o"),
    feedback=FeedbackConfig(path="f"),
    metrics=MetricsConfig(listen="127.0.0.1:1"),
    keys=KeysConfig(own="k/cart-7.secret", subscribers="k/subscribers", senders="k/senders", collector="k/c.pub"),
)


PARTS = {"publish": PublishConfig, "outbox": OutboxConfig, "feedback": FeedbackConfig, "metrics": MetricsConfig}
PARTS |= {"keys": KeysConfig, "degrade": DegradeConfig, "log": LogConfig, "engine": EngineConfig}


def test_every_key_is_in_one_of_the_tables_and_no_other_is() -> None:
    top = {field.name for field in structs.fields(DaemonConfig)}
    below = {f"{part}.{field.name}" for part, struct in PARTS.items() for field in structs.fields(struct)}
    assert not LIVE & FIXED.keys()
    assert top | below >= LIVE | FIXED.keys()
    assert {key for key in below if key.partition(".")[0] not in LIVE} <= LIVE | FIXED.keys()
    assert top - {"publish"} <= LIVE | FIXED.keys(), "publish is always there: only its keys differ"


@pytest.mark.parametrize(
    "change",
    [
        {"bundle": "v2"},
        {"cameras": (CameraConfig(id="shelf", source="1"),)},
        {"engine": EngineConfig(threads=2)},
        {"self_test": None},
        {"self_test": SelfTestConfig(every_s=5)},
        {"degrade": None},
        {"degrade": DegradeConfig(temperature_c=(50.0, 60.0, 70.0), calm_s=5.0)},
        {"log": LogConfig(format="json", level="debug", most_a_minute=3)},
        {"publish": PublishConfig(decisions="ipc:///a", format="msgpack")},
        {"outbox": OutboxConfig(path="o", max_rows=7, max_mib=8)},
        {"metrics": MetricsConfig(listen="127.0.0.1:1", max_classes=3)},
        {"feedback": structs.replace(CONFIG.feedback, max_decisions=500, window_verdicts=20)},
        {"feedback": structs.replace(CONFIG.feedback, audit_share=0.5, accuracy=None)},
    ],
)
def test_what_is_live_is_taken(change: dict[str, object]) -> None:
    new = structs.replace(CONFIG, **change)
    assert changed_keys(CONFIG, new)
    refuse_fixed(Path("cart.yaml"), CONFIG, new)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"device_id": "cart-8"}, "device_id"),
        ({"publish": PublishConfig(decisions="ipc:///b")}, "publish.decisions"),
        ({"publish": PublishConfig(decisions="ipc:///a", high_water_mark=2)}, "publish.high_water_mark"),
        ({"publish": PublishConfig(decisions="ipc:///a", insecure=True)}, "publish.insecure"),
        ({"outbox": None}, "outbox"),
        ({"outbox": OutboxConfig(path="p")}, "outbox.path"),
        ({"outbox": OutboxConfig(path="o", collector="ipc:///b")}, "outbox.collector"),
        ({"outbox": OutboxConfig(path="o", insecure=True)}, "outbox.insecure"),
        ({"metrics": None}, "metrics"),
        ({"metrics": MetricsConfig(listen="127.0.0.1:2")}, "metrics.listen"),
        ({"metrics": MetricsConfig(listen="127.0.0.1:1", insecure=True)}, "metrics.insecure"),
        ({"keys": None}, "keys"),
        ({"keys": structs.replace(CONFIG.keys, own="k/cart-8.secret")}, "keys.own"),
        ({"keys": structs.replace(CONFIG.keys, subscribers="k/others")}, "keys.subscribers"),
        ({"keys": structs.replace(CONFIG.keys, senders=None)}, "keys.senders"),
        ({"keys": structs.replace(CONFIG.keys, collector="k/d.pub")}, "keys.collector"),
        ({"feedback": structs.replace(CONFIG.feedback, listen="ipc:///b")}, "feedback.listen"),
        ({"feedback": structs.replace(CONFIG.feedback, insecure=True)}, "feedback.insecure"),
        ({"feedback": None}, "feedback"),
        ({"feedback": structs.replace(CONFIG.feedback, path="g")}, "feedback.path"),
    ],
)
def test_what_is_fixed_is_refused_by_its_key(change: dict[str, object], key: str) -> None:
    new = structs.replace(CONFIG, bundle="v2", **change)
    why = re.escape(FIXED[key])
    said = rf"cart\.yaml: {key} changed, .* \({key}: {why}\); .* start the daemon again"
    with pytest.raises(ConfigError, match=said):
        refuse_fixed(Path("cart.yaml"), CONFIG, new)
