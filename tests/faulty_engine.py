"""Engines that go wrong in a real process, from the moment that a file appears; and loading that waits for one.

python -c "..." FAULT FILE [arguments of edge-daemon]     see `faulty`
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
LOOK_S = 0.005


def faulty(fault: str, file: Path, *arguments: object) -> list[str]:
    """Return the command of a daemon whose engine, or whose loading beside a running one, has this fault.

    Engine faults begin when `file` is there: drift, raise, segfault, hang. `slow` is one from the start, of 150 ms an
    inference. `load_waits` holds the loading of another bundle until `file` is there; `file`.waits says that it waits.
    """
    code = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r}); import faulty_engine;"
        f" faulty_engine.install({fault!r}, {str(file)!r}); from edge.cli.daemon import main; sys.exit(main())"
    )
    return [sys.executable, "-c", code, *map(str, arguments)]


def install(fault: str, file: str) -> None:
    """Put the fault in place; in the process of the daemon."""
    if fault == "load_waits":
        from edge.life import candidate

        load = candidate.load

        def waiting(*given: Any) -> Any:
            Path(f"{file}.waits").touch()
            _wait_for(Path(file))
            return load(*given)

        candidate.load = waiting
        return
    from edge.engines.ort import OrtEngine

    embed, wrong = OrtEngine._embed, _FAULTS[fault]

    def broken(engine: OrtEngine, crops: Any) -> Any:
        rows = embed(engine, crops)
        return wrong(rows) if fault == "slow" or os.path.exists(file) else rows

    OrtEngine._embed = broken  # type: ignore[method-assign]


def _wait_for(file: Path) -> None:
    while not file.exists():
        threading.Event().wait(LOOK_S)


def _raise(rows: Any) -> Any:
    raise RuntimeError("told to fail")


def _segfault(rows: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)
    return rows


def _hang(rows: Any) -> Any:
    threading.Event().wait()
    return rows


def _slow(rows: Any) -> Any:
    threading.Event().wait(0.15)
    return rows


_FAULTS: dict[str, Callable[[Any], Any]] = {
    "drift": lambda rows: rows[:, ::-1].copy(),
    "raise": _raise,
    "segfault": _segfault,
    "hang": _hang,
    "slow": _slow,
}
