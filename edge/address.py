"""Which ZeroMQ endpoints stay on this machine."""

from __future__ import annotations

import ipaddress

__all__ = ["is_local"]


def is_local(endpoint: str) -> bool:
    """Say whether only this machine can reach a ZeroMQ endpoint: ipc, or tcp on a loopback address or `localhost`."""
    scheme, _, rest = endpoint.partition("://")
    if scheme in ("ipc", "inproc"):
        return True
    host = rest.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
