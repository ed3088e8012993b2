"""A CURVE key pair on the disk, writer and reader in one file: NAME.secret (mode 0600) and NAME.pub.

Both are certificates as ZeroMQ's own tools write them (ZPL, RFC 4; keys in Z85, RFC 32), so `zmq.auth.load_certificate`
and czmq read them too:

    curve
        public-key = "40 characters"
        secret-key = "40 characters"      only in NAME.secret

The name of a key is the name of its file; nothing inside says another one. A secret that others may read is refused,
and so are halves that do not belong together. Nothing is ever written over.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from edge.errors import InputError
from edge.writing import cannot_write

__all__ = [
    "PUBLIC",
    "SECRET",
    "KeyPair",
    "check_name",
    "fingerprint",
    "key_text",
    "make_pair",
    "read_pair",
    "read_public",
    "write_new",
]

PUBLIC, SECRET = ".pub", ".secret"
MAX_BYTES = 4_096
_AGAIN = "copy the file again or make a new pair"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LINE = re.compile(r'\s+(public-key|secret-key)\s*=\s*"([0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40})"\s*')


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both halves in Z85, 40 bytes each, and the name of their file. The secret is in no repr."""

    name: str
    public: bytes
    secret: bytes = field(repr=False)


def make_pair(name: str, folder: Path) -> KeyPair:
    """Draw a key pair and write NAME.secret and NAME.pub into `folder`; raises InputError where one of them is."""
    check_name(name)
    _refuse_without_curve()
    secret, public = folder / f"{name}{SECRET}", folder / f"{name}{PUBLIC}"
    for path in (secret, public):
        if os.path.lexists(path):
            raise InputError(f"{path}: is there already, and a key is never written over; choose another name")
    pair = KeyPair(name, *zmq.curve_keypair())
    write_new(secret, key_text(pair.public, pair.secret), 0o600)
    try:
        write_new(public, key_text(pair.public), 0o644)
    except BaseException:
        secret.unlink()
        raise
    return pair


def read_pair(path: Path) -> KeyPair:
    """Read a secret file; raises InputError for one that others may read, that is damaged, or that is no secret."""
    _refuse_without_curve()
    found, mode = _halves(path)
    if mode & 0o077:
        mend = f"run chmod 600 {path}; where others may have read it, make a new pair"
        raise InputError(f"{path}: mode {mode:04o}, so others may use this secret key; expected 0600: {mend}")
    if "secret-key" not in found:
        raise InputError(f"{path}: holds a public key alone, expected the secret file, NAME{SECRET}")
    if zmq.curve_public(found["secret-key"]) != found["public-key"]:
        raise InputError(
            f"{path}: public and secret key do not belong together; copy the file again or make a new pair"
        )
    return KeyPair(path.stem, found["public-key"], found["secret-key"])


def read_public(path: Path) -> bytes:
    """Return the public key in Z85; raises InputError for a file that is damaged, and for a secret one."""
    found, _ = _halves(path)
    if "secret-key" in found:
        raise InputError(f"{path}: is a secret key, which nobody else may have; expected its public half, NAME{PUBLIC}")
    return found["public-key"]


def fingerprint(public: bytes) -> str:
    """Return what people compare: the first 16 bytes of the SHA-256 of a public key given in Z85, in groups of four."""
    digits = hashlib.sha256(z85.decode(public)).hexdigest()[:32]
    return "-".join(digits[start : start + 4] for start in range(0, 32, 4))


def check_name(name: str) -> None:
    """Raise InputError for what cannot name a key."""
    if not _NAME.fullmatch(name):
        raise InputError(f"name {name!r}, expected letters, digits, dot, dash and underscore, at most 64")


def write_new(path: Path, text: str, mode: int) -> None:
    """Write a file that is not there yet, never with more rights than `mode`; raises InputError and PublishError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise InputError(f"{path}: is there already, and a key is never written over; choose another name") from None
    except OSError as error:
        raise cannot_write(path, error, "choose another folder") from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise cannot_write(path, error, "make room") from None


def key_text(public: bytes, secret: bytes | None = None) -> str:
    """Return what stands in the file of a public key, or with `secret` in that of a pair."""
    told = "public half: hand it to whom you speak with" if secret is None else "SECRET: give it to nobody"
    lines = [f"# CURVE key of ZeroMQ, {told}", "curve", f'    public-key = "{public.decode()}"']
    return "\n".join(lines if secret is None else [*lines, f'    secret-key = "{secret.decode()}"']) + "\n"


def _halves(path: Path) -> tuple[dict[str, bytes], int]:
    """Return the keys that a file holds, at least the public one, and its mode."""
    text, mode = _read(path)
    found: dict[str, bytes] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace():
            section = line.strip()
            continue
        if section != "curve":  # such as `metadata`, which other programs write
            continue
        match = _LINE.fullmatch(line)
        if match is None or match[1] in found or not _is_key(match[2].encode()):
            raise InputError(f'{path}:{number}: expected one line public-key = "..." of 40 characters; {_AGAIN}')
        found[match[1]] = match[2].encode()
    if "public-key" not in found:
        raise InputError(f"{path}: holds no public key, expected a file that edge-keys made; {_AGAIN}")
    return found, mode


def _read(path: Path) -> tuple[str, int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not hold us up
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; edge-keys make NAME makes NAME{SECRET} and NAME{PUBLIC}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a key file that this user may read") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise InputError(f"{path}: is no key file, expected at most {MAX_BYTES} bytes that edge-keys made")
        return os.read(descriptor, MAX_BYTES).decode("ascii"), stat.S_IMODE(status.st_mode)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {_AGAIN}") from None
    finally:
        os.close(descriptor)


def _is_key(text: bytes) -> bool:
    """Say whether 40 characters of Z85 are 32 bytes: five of them can say more than four bytes hold."""
    try:
        return z85.encode(z85.decode(text)) == text
    except Exception:  # noqa: BLE001  # struct.error, OverflowError, KeyError: pyzmq promises none of them
        return False


def _refuse_without_curve() -> None:
    if not zmq.has("curve"):
        raise InputError(
            f"libzmq {zmq.zmq_version()} was built without CURVE; install pyzmq as a wheel (pip install pyzmq)"
        )
