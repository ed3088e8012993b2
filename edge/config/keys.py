"""Which keys the daemon has, whom it lets in, and which socket has to have what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeAlias

from msgspec import Meta

from edge.address import is_local
from edge.config.base import Config

__all__ = ["FOR_SOCKETS", "KeysConfig", "reach_faults"]

FOR_SOCKETS = ("subscribers", "senders", "collector")

Place: TypeAlias = Annotated[str, Meta(min_length=1)]


class KeysConfig(Config, frozen=True):
    """CURVE keys, made by `edge-keys`. `own` is the device's NAME.secret.

    `subscribers` is a folder with the public keys of who may read decisions, `senders` of who may send verdicts;
    `collector` is the public key of the outbox's collector. The socket of each that is named is encrypted, on loopback
    too; an ipc path stays plain, its file permissions guard it.
    """

    own: Place
    subscribers: Place | None = None
    senders: Place | None = None
    collector: Place | None = None


def reach_faults(
    key: str, address: str, insecure: bool, encrypted: tuple[str, bool] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a socket: plain where others reach it, or told two things at once.

    `encrypted` is the name in `keys` that encrypts this socket and whether it is given; None where nothing can.
    """
    by, given = encrypted or ("", False)
    if given and address.startswith("ipc://"):
        yield key, f"an ipc path stays plain, but keys.{by} is given; take that away, or use tcp"
    elif given and insecure:
        yield key, f"`insecure: true`, but keys.{by} is given; keep one of the two"
    elif not given and not insecure and not is_local(address):
        found = f"{address} reaches beyond this machine, and what goes there is neither encrypted nor checked"
        mend = f"name keys.{by} (edge-keys makes keys), use 127.0.0.1" if by else "use 127.0.0.1"
        yield key, f"{found}; {mend}, or say `insecure: true` beside it"
