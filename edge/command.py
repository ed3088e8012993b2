"""How every command of the product starts and ends.

Exit codes: 0 done, 2 bad input or configuration, 3 a gate refused, 1 anything else.
An error of ours is one line on standard error. An error that is not ours is a bug: it is one line too, with the place
where it arose, and the traceback is shown when SHELFEDGE_TRACEBACK=1.
Ctrl-C and SIGTERM unwind the command, so that what it was writing is removed: one line, and 130 or 143.

Limits: a signal during the first tenths of a second, while Python still imports, ends the process in Python's own way.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from edge.errors import ShelfedgeError
from edge.logs import writes_to_journal

__all__ = ["Parser", "run", "whole_number"]


class Parser(argparse.ArgumentParser):
    """An argument parser that keeps the example in `--help` as it was written and ends with exit code 2."""

    def __init__(self, prog: str, description: str, example: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse types it NoReturn; exit() raises
        """Say what is wrong with the arguments on one line, and exit with 2."""
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return what `add_argument(type=...)` wants: text to a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from {least} to {most}")
        return int(text)

    return parse


def run(prog: str, main: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> int:
    """Run `main(argv)` and return the exit code; turn every exception into one line on standard error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks is no failure
    try:
        with _unwinding_on_sigterm():
            code = main(arguments)
            print(end="", flush=True)  # here, where a full disk behind standard output can still be told
            return code
    except SystemExit as error:
        if error.code != 1:
            raise  # argparse: 0 for --help, 2 for arguments
        return 0  # rich says so where the next clause is meant
    except BrokenPipeError:
        # The reader of our standard output went away (`| head`): that is not an error of ours.
        _mute_stdout()
        return 0
    except (Exception, KeyboardInterrupt, _Terminated) as error:  # noqa: BLE001  # the outermost frame
        message, code = _verdict(error)  # a bug too ends in one line
        _say(prog, message)
        if os.environ.get("SHELFEDGE_TRACEBACK") == "1":
            traceback.print_exc()
        return code


def _verdict(error: BaseException) -> tuple[str, int]:
    """Return what to say of `error` and the exit code."""
    if isinstance(error, ShelfedgeError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    if isinstance(error, _Terminated):
        return "terminated", 143
    if isinstance(error, OSError):
        _drop_unwritable_stdout()
        return f"the system refused: {error}{_place(error)}; check disk space, permissions and open files", 1
    return f"internal error: {type(error).__name__}: {error}{_place(error)}; please report it", 1


class _Terminated(BaseException):
    """SIGTERM came; like KeyboardInterrupt it passes every `except Exception`."""


@contextmanager
def _unwinding_on_sigterm() -> Iterator[None]:
    """Raise _Terminated in the main thread when SIGTERM comes; another thread cannot and need not set that up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def raise_terminated(*_: object) -> NoReturn:
        raise _Terminated

    old = signal.signal(signal.SIGTERM, raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def _drop_unwritable_stdout() -> None:
    """Mute standard output where it fails (a full disk), or the interpreter would complain again at its exit."""
    try:
        print(end="", flush=True)
    except OSError:
        _mute_stdout()


def _mute_stdout() -> None:
    """Let what is still buffered for standard output go nowhere instead of failing once more at the exit."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(prog: str, message: str) -> None:
    one_line = " ".join(message.split())
    front = "<3>" if writes_to_journal(sys.stderr, os.environ) else ""
    print(f"{front}{prog}: error: {one_line}", file=sys.stderr)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" (at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
