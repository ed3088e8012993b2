"""What may change while a daemon runs: every key of the configuration is on one side of the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from edge.config import (
    CameraConfig,
    DaemonConfig,
    EngineConfig,
    FeedbackConfig,
    OutboxConfig,
    PublishConfig,
    SelfTestConfig,
)
from edge.config.changes import LIVE, changed_keys, refuse_fixed
from edge.errors import ConfigError

CONFIG = DaemonConfig(
    device_id="cart-7",
    bundle="v1",
    cameras=(CameraConfig(id="basket", source="0"),),
    publish=PublishConfig(decisions="ipc:///a"),
    feedback=FeedbackConfig(path="f"),
)


def test_the_table_names_keys_that_there_are() -> None:
    known = {field.name for field in structs.fields(DaemonConfig)}
    known |= {f"feedback.{field.name}" for field in structs.fields(FeedbackConfig)}
    assert known >= LIVE


@pytest.mark.parametrize(
    "change",
    [
        {"bundle": "v2"},
        {"cameras": (CameraConfig(id="shelf", source="1"),)},
        {"engine": EngineConfig(threads=2)},
        {"self_test": None},
        {"self_test": SelfTestConfig(every_s=5)},
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
        ({"outbox": OutboxConfig(path="o")}, "outbox"),
        ({"feedback": None}, "feedback"),
        ({"feedback": structs.replace(CONFIG.feedback, path="g")}, "feedback.path"),
    ],
)
def test_what_is_fixed_is_refused_by_its_key(change: dict[str, object], key: str) -> None:
    new = structs.replace(CONFIG, bundle="v2", **change)
    with pytest.raises(ConfigError, match=rf"cart\.yaml: {key} changed, .* start the daemon again"):
        refuse_fixed(Path("cart.yaml"), CONFIG, new)
