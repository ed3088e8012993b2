"""`edge-replay`: a recording played again must give the same decisions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import edge.one_thread  # noqa: F401  # before anything that imports NumPy
from edge.assembly import engine_of, locator_of
from edge.bundle import read_bundle
from edge.cli.desk import engine_here, warn_degraded
from edge.command import Parser, run
from edge.degrade.still import StillGate
from edge.errors import GateError, InputError
from edge.pipeline import Pipeline
from edge.replay.play import compare
from edge.replay.record import read_session
from edge.track import Tracker

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-replay`."""
    return run("edge-replay", _replay, argv)


def _replay(argv: Sequence[str]) -> int:
    parser = Parser(
        "edge-replay", "Play a recording again; the decisions must be the same.", "edge-replay recordings/monday"
    )
    parser.add_argument("recording", type=Path, metavar="DIR", help="folder made by edge-daemon --record")
    parser.add_argument("--bundle", type=Path, help="another bundle than the recorded one, to see what it changes")
    arguments = parser.parse_args(argv)
    session = read_session(arguments.recording)
    bundle = read_bundle(arguments.bundle or Path(session.bundle))
    if arguments.bundle is None and bundle.id != session.bundle_id:
        found = f"bundle {bundle.id}, recorded with {session.bundle_id}"
        raise InputError(f"{session.bundle}: {found}; give --bundle to compare with another")
    with ExitStack() as stack:
        engine = stack.enter_context(engine_of(bundle, engine_here(session.threads)))
        warn_degraded("edge-replay", engine)
        eyes = {
            c.id: (stack.enter_context(locator_of(c.locate, session.threads)), Tracker(c.looks), StillGate(c.looks))
            for c in session.cameras
        }
        result = compare(arguments.recording, Pipeline(bundle, engine), eyes)
    for difference in result.first:
        print(difference)
    print(f"{result.compared} decisions compared, {result.different} differ")
    if result.different:
        raise GateError(f"{result.different} of {result.compared} decisions differ, expected none")
    return 0
