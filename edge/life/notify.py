"""sd_notify: what the daemon tells the supervisor that started it, in the standard library.

One datagram of `KEY=value` lines to the socket that `$NOTIFY_SOCKET` names, a path or an abstract name behind `@`.
Without that variable nothing is sent: started by hand, everything here does nothing. Sending never blocks and never
fails the caller: a supervisor that does not read misses a line, and the next one comes.
Specification: sd_notify(3), the protocol that systemd promises to keep.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

__all__ = ["Notifier"]

MAX_STATUS = 300  # characters


class Notifier:
    """Speaks to the supervisor inside `with`. `watchdog_us` is how long it waits for a `beat`, None for ever."""

    def __init__(self, environment: Mapping[str, str] = os.environ, pid: int | None = None) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._socket: socket.socket | None = None
        self.watchdog_us = _watchdog_us(environment, os.getpid() if pid is None else pid)
        self._next_beat_ns = 0

    def __enter__(self) -> Notifier:
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self, status: str) -> None:
        """Say that the work goes on: after the start, and after every `reloading`."""
        self._send("READY=1", _status(status))

    def status(self, status: str) -> None:
        """Say what goes on, in one line for a person."""
        self._send(_status(status))

    def reloading(self) -> None:
        """Say that the configuration is read again; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1", _status("stopping"))

    def beat(self, now_ns: int) -> None:
        """Feed the watchdog where it wants to be fed, twice in the time that it waits; call it as often as you like."""
        if self.watchdog_us is not None and now_ns >= self._next_beat_ns:
            self._next_beat_ns = now_ns + self.watchdog_us * 1000 // 2
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._socket is not None and self._address is not None:
            with suppress(OSError):  # full, or gone with its supervisor: there is nobody to tell
                self._socket.sendto("\n".join(lines).encode(), self._address)


def _address(name: str) -> str | bytes | None:
    """Return where to send; None for nothing, and for what no AF_UNIX socket can be (`vsock:`)."""
    if name.startswith("@"):
        return b"\0" + os.fsencode(name[1:])
    return name if name.startswith("/") else None


def _watchdog_us(environment: Mapping[str, str], pid: int) -> int | None:
    """Return the time that the watchdog waits, None where there is none or where it is meant for another process."""
    wanted, owner = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if owner and owner != str(pid):
        return None
    return int(wanted) if wanted.isascii() and wanted.isdigit() and int(wanted) > 0 else None


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:MAX_STATUS]
