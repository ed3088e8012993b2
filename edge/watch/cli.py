"""`edge-watch`: look at a daemon's decisions, live on a terminal or line by line in a pipe.

It only listens: nothing it does can slow the daemon down, except a queue of at most a thousand messages.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from edge.command import Parser, run
from edge.errors import RuntimeFault
from edge.keys.options import add_caller, caller_from
from edge.watch.feed import Feed, check_endpoint
from edge.watch.lines import line, summary
from edge.watch.screen import draw
from edge.watch.state import Row, WatchState

__all__ = ["main"]

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5556"
REDRAW_NS = 250_000_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-watch`."""
    return run("edge-watch", _main, argv)


def _main(argv: Sequence[str]) -> int:
    parser = Parser("edge-watch", "Watch the decisions of a running edge-daemon.", "edge-watch tcp://127.0.0.1:5556")
    parser.add_argument(
        "endpoint", nargs="?", default=DEFAULT_ENDPOINT, help="publish.decisions of the daemon (default %(default)s)"
    )
    parser.add_argument("--lines", action="store_true", help="one line per decision; so it is without a terminal")
    parser.add_argument("--count", type=int, metavar="N", help="end after N decisions")
    parser.add_argument("--timeout", type=float, metavar="S", help="end when no decision came for S seconds")
    add_caller(parser)
    arguments = parser.parse_args(argv)
    if arguments.count is not None and arguments.count < 1:
        parser.error(f"--count {arguments.count}: expected 1 or more")
    if arguments.timeout is not None and not 0 < arguments.timeout <= 86_400:
        parser.error(f"--timeout {arguments.timeout}: expected more than 0 and at most 86400 seconds")
    check_endpoint(arguments.endpoint)
    caller = caller_from(arguments, "endpoint", arguments.endpoint)
    logging.basicConfig(handlers=[logging.NullHandler()])  # what is wrong is told where the decisions are shown
    state = WatchState()
    with Feed(arguments.endpoint, caller) as feed, _ending_on_sigterm():
        watch = _Watch(feed, state, arguments.count, arguments.timeout)
        try:
            if arguments.lines or not sys.stdout.isatty():
                _print_lines(watch)
            else:
                _show_screen(watch)
        except KeyboardInterrupt:
            watch.interrupted = True  # the ordinary way to end
    view = state.view(time.monotonic_ns())
    print(f"edge-watch: {summary(state.received, view)}", file=sys.stderr)
    watch.refuse_if_short()
    return 0


class _Watch:
    """Feeds the state until the count is reached or nothing came for too long."""

    def __init__(self, feed: Feed, state: WatchState, count: int | None, timeout_s: float | None) -> None:
        self.state = state
        self.endpoint = feed.endpoint
        self.interrupted = False
        self.feed = feed
        self._count = count
        self._timeout_s = timeout_s
        self._deadline_ns = self._next_deadline_ns()

    def steps(self, longest_ms: int) -> Iterator[Row | None]:
        """Yield every decision, and None at least every `longest_ms` while other things or nothing come."""
        while not self._is_done() and time.monotonic_ns() < self._deadline_ns:
            left_ms = min(longest_ms, (self._deadline_ns - time.monotonic_ns()) // 1_000_000 + 1)
            payload = self.feed.payload(int(max(left_ms, 0)))
            row = None if payload is None else self.state.take(payload, time.monotonic_ns())
            if row is not None:
                self._deadline_ns = self._next_deadline_ns()
            yield row

    def refuse_if_short(self) -> None:
        """Raise RuntimeFault when it ended by the timeout with nothing, or with less than the count."""
        received = self.state.received
        if self.interrupted or self._is_done() or (received and self._count is None):
            return
        what = f"{received} of {self._count} decisions" if received else "no decision"
        raise RuntimeFault(
            f"{what} from {self.endpoint} and then nothing for {self._timeout_s:g} s; is edge-daemon publishing there?"
        )

    def _is_done(self) -> bool:
        return self._count is not None and self.state.received >= self._count

    def _next_deadline_ns(self) -> int:
        return sys.maxsize if self._timeout_s is None else time.monotonic_ns() + int(self._timeout_s * 1e9)


def _print_lines(watch: _Watch) -> None:
    print(f"edge-watch: waiting for {watch.endpoint}", file=sys.stderr)
    told = ""
    for row in watch.steps(longest_ms=1000):
        if watch.feed.trouble != told:
            told = watch.feed.trouble
            print(f"edge-watch: {told}", file=sys.stderr)
        for event in watch.state.new_events():
            print(f"edge-watch: event {event.event}: {event.summary}", file=sys.stderr)
        if row is not None:
            if row.missed_before:
                print(f"edge-watch: {row.missed_before} messages missed before {row.seq}", file=sys.stderr)
            print(line(row), flush=True)


def _show_screen(watch: _Watch) -> None:
    console = Console()
    next_ns = 0
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for _ in watch.steps(longest_ms=REDRAW_NS // 1_000_000):
            now_ns = time.monotonic_ns()
            if now_ns >= next_ns:
                view, size = watch.state.view(now_ns), (console.width, console.height)
                live.update(draw(view, watch.endpoint, *size, trouble=watch.feed.trouble), refresh=True)
                next_ns = now_ns + REDRAW_NS


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the watching like Ctrl-C does, so that the terminal is given back as it was."""
    old = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)
