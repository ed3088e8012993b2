"""What may change while a daemon runs, and what needs a restart: a table, and one line for what was refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edge.config.daemon import DaemonConfig
from edge.errors import ConfigError

__all__ = ["LIVE", "changed_keys", "refuse_fixed"]

# Sockets, files on the disk and the name of the device are those of the process. Everything not named here is refused.
LIVE = frozenset(
    {
        "bundle",
        "cameras",
        "engine",
        "self_test",
        "feedback.audit_share",
        "feedback.accuracy",
        "feedback.accept_error",
        "feedback.unknown_rate",
        "feedback.new_products",
    }
)


def changed_keys(old: DaemonConfig, new: DaemonConfig) -> list[str]:
    """Return what differs: a key of a part where both have the part, else the part."""
    return sorted(_differences(msgspec.to_builtins(old), msgspec.to_builtins(new)))


def refuse_fixed(path: Path, old: DaemonConfig, new: DaemonConfig) -> None:
    """Raise ConfigError naming every changed key that only a restart can change."""
    fixed = [key for key in changed_keys(old, new) if key not in LIVE and key.partition(".")[0] not in LIVE]
    if fixed:
        found = f"{', '.join(fixed)} changed, which a running daemon cannot take over"
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
