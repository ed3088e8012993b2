"""What may change while a daemon runs, and what needs a restart: two tables, and one line for what was refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edge.config.daemon import DaemonConfig
from edge.errors import ConfigError

__all__ = ["FIXED", "LIVE", "changed_keys", "refuse_fixed"]

# A part, or a key of one: these change between two frames.
LIVE = frozenset(
    {
        "bundle",
        "cameras",
        "degrade",  # the ladder keeps its step, and calm is counted anew
        "engine",
        "feedback.accept_error",
        "feedback.accuracy",
        "feedback.audit_share",
        "feedback.max_decisions",
        "feedback.new_products",
        "feedback.unknown_rate",
        "feedback.window_verdicts",
        "log",
        "metrics.max_classes",
        "outbox.max_mib",
        "outbox.max_rows",
        "publish.format",  # the first byte of a message tells which it is
        "self_test",
    }
)

_BOUND = "a socket that is bound"
_FILE = "a file that is open"
_PERMISSION = "it allowed what a socket does already"

# The same, and why it is the process's own. What is in neither table is refused too.
FIXED: dict[str, str] = {
    "device_id": "it is in the number of every decision",
    "feedback": "a file and a socket",
    "feedback.insecure": _PERMISSION,
    "feedback.listen": _BOUND,
    "feedback.path": _FILE,
    "keys": "a socket is encrypted or plain from its beginning",
    "keys.collector": "another file; what stands in the one that is named may change",
    "keys.own": "all who call this device have its public half",
    "keys.senders": "another folder; the list in the one that is named may change",
    "keys.subscribers": "another folder; the list in the one that is named may change",
    "metrics": "a socket",
    "metrics.insecure": _PERMISSION,
    "metrics.listen": _BOUND,
    "outbox": "a file and a line",
    "outbox.collector": "the line that rows are on their way through",
    "outbox.insecure": _PERMISSION,
    "outbox.path": _FILE,
    "publish.decisions": _BOUND,
    "publish.high_water_mark": "a bound socket gives the old one to all who connect later",
    "publish.insecure": _PERMISSION,
}


def changed_keys(old: DaemonConfig, new: DaemonConfig) -> list[str]:
    """Return what differs: a key of a part where both have the part, else the part."""
    return sorted(_differences(msgspec.to_builtins(old), msgspec.to_builtins(new)))


def refuse_fixed(path: Path, old: DaemonConfig, new: DaemonConfig) -> None:
    """Raise ConfigError naming every changed key that only a restart can change, and why."""
    fixed = [key for key in changed_keys(old, new) if key not in LIVE and key.partition(".")[0] not in LIVE]
    if fixed:
        why = "; ".join(f"{key}: {FIXED.get(key, 'of the process')}" for key in fixed)
        found = f"{', '.join(fixed)} changed, which a running daemon cannot take over ({why})"
        raise ConfigError(f"{path}: {found}; put back what was there, or start the daemon again")


def _differences(old: dict[str, Any], new: dict[str, Any], above: str = "") -> Iterator[str]:
    for key in old.keys() | new.keys():
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if not above and isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, f"{key}.")
        else:
            yield f"{above}{key}"
