"""Doors and callers made from what the configuration names; every key file is read here, before anything is opened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.config import KeysConfig
from edge.errors import InputError
from edge.keys.allowed import AllowList
from edge.keys.door import Door
from edge.keys.line import Caller
from edge.keys.pair import KeyPair, read_pair, read_public

__all__ = ["Keys", "caller_again", "door_of", "keys_of"]

log = logging.getLogger("edge.keys")


@dataclass(frozen=True, slots=True)
class Keys:
    """What guards the sockets of a daemon, None where one is plain; `own` is the pair that they were bound with."""

    publish: Door | None = None
    feedback: Door | None = None
    outbox: Caller | None = None
    own: KeyPair | None = None

    def refused(self) -> dict[str, dict[str, int]]:
        """Return how many connections were refused, by socket and reason."""
        return {door.name: door.refused() for door in (self.publish, self.feedback) if door is not None}


def keys_of(config: KeysConfig | None, clock_ns: Callable[[], int]) -> Keys:
    """Return what the configuration names; raises InputError for a key or a folder that cannot be used."""
    if config is None:
        return Keys()
    own = read_pair(Path(config.own))
    return Keys(
        own=own,
        publish=door_of("publish", own, config.subscribers, clock_ns),
        feedback=door_of("feedback", own, config.senders, clock_ns),
        outbox=Caller(own, read_public(Path(config.collector))) if config.collector else None,
    )


def caller_again(config: KeysConfig | None, keys: Keys) -> Caller | None:
    """Return with whose key to go on calling the collector, read again beside all other keys; None where it is plain.

    Raises InputError for a key or a list that cannot be used, and for a renewed pair of our own: every socket that is
    bound has the old one, and so have all who call it.
    """
    if config is None:
        return None
    own = read_pair(Path(config.own))
    if own != keys.own:
        found = "holds another pair than the one that this daemon's sockets were bound with"
        mend = "start the daemon again, what waits in an outbox survives it; or put the old pair back"
        raise InputError(f"keys.own: {config.own}: {found}; {mend}")
    for folder in (config.subscribers, config.senders):
        if folder is not None:
            AllowList(Path(folder))
    return Caller(own, read_public(Path(config.collector))) if config.collector else None


def door_of(name: str, own: KeyPair, folder: str | Path | None, clock_ns: Callable[[], int]) -> Door | None:
    """Return the door of a socket, None without a folder; raises InputError for one that cannot be used."""
    if folder is None:
        return None
    allowed = AllowList(Path(folder))
    if not len(allowed):
        log.warning("%s: %s is empty, so nobody is let in until edge-keys allow adds a key", name, folder)
    return Door(name, own, allowed, clock_ns)
