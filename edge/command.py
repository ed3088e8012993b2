"""How every command of the product starts and ends.

Exit codes: 0 done, 2 bad input or configuration, 3 a gate refused, 1 anything else.
An error of ours is one line on standard error. An error that is not ours is a bug: it is one line too, with the place
where it arose, and the traceback is shown when SHELFEDGE_TRACEBACK=1.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from edge.errors import ShelfedgeError

__all__ = ["Parser", "run"]


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


def run(prog: str, main: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> int:
    """Run `main(argv)` and return the exit code; turn every exception into one line on standard error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return main(arguments)
    except ShelfedgeError as error:
        _say(prog, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _say(prog, "interrupted")
        return 130
    except BrokenPipeError:
        # The reader of our standard output went away (`| head`): that is not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  # the outermost frame: a bug still ends in one line
        _say(prog, f"internal error: {type(error).__name__}: {error}{_place(error)}; please report it")
        if os.environ.get("SHELFEDGE_TRACEBACK") == "1":
            traceback.print_exc()
        return 1


def _say(prog: str, message: str) -> None:
    one_line = " ".join(message.split())
    print(f"{prog}: error: {one_line}", file=sys.stderr)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" (at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
