"""The golden crops through the running engine, on schedule: a duty of the loop.

One crop a turn, between two frames, so the cameras wait for one inference at a time. An engine that gave the golden
rows when it was opened and gives others now is broken in a way that shows nowhere else: everything decided on it may be
wrong, what is called unknown no less than what is accepted. So the daemon does not go on more carefully, it ends: an
event says what was found, and EngineError ends the process. The supervisor starts it again, the engine is loaded anew
and asked again before it decides; where that fails too, the reference decides (`engine.fallback`) or nothing does.
"""

from __future__ import annotations

import logging

from edge.bundle import Bundle
from edge.config import SelfTestConfig
from edge.daemon import Daemon
from edge.errors import EngineError
from edge.feedback.state import Finding
from edge.golden import MIN_GOLDEN_COSINE, golden_cosine
from edge.health import Health
from edge.messages import SelfTestHealth
from edge.outgoing import Outgoing
from edge.ports import Engine

__all__ = ["SelfTest"]

log = logging.getLogger("edge.life")


class SelfTest:
    """Asks the engine that decides; `follow` before the first turn, and with every other engine or schedule."""

    def __init__(self, health: Health, outgoing: Outgoing) -> None:
        self._health = health
        self._outgoing = outgoing
        self._asked: tuple[Bundle, Engine] | None = None
        self._every_ns: int | None = None
        self._due_ns: int | None = None
        self._cosines: list[float] = []

    def follow(self, schedule: SelfTestConfig | None, bundle: Bundle, engine: Engine) -> None:
        """Ask this engine for this bundle's rows from now on; None asks nothing."""
        self._asked = bundle, engine
        self._every_ns = None if schedule is None else schedule.every_s * 1_000_000_000
        self._due_ns = None
        self._cosines = []

    def turn(self, daemon: Daemon, now_ns: int) -> None:
        """Ask for one crop where a test is due; raises EngineError where it comes out as something else."""
        if self._asked is None or self._every_ns is None:
            return
        if self._due_ns is None:
            self._due_ns = now_ns + self._every_ns
        if now_ns < self._due_ns:
            return
        bundle, engine = self._asked
        daemon.settle()  # one call of the engine at a time
        cosine = golden_cosine(bundle, engine, len(self._cosines))
        if not cosine >= MIN_GOLDEN_COSINE:
            self._fail(bundle, cosine)
        self._cosines.append(cosine)
        if len(self._cosines) == len(bundle.golden.crops):
            passed = 1 if self._health.self_test is None else self._health.self_test.passed + 1
            self._health.self_test = SelfTestHealth(passed=passed, cosine=min(self._cosines))
            self._due_ns, self._cosines = now_ns + self._every_ns, []

    def _fail(self, bundle: Bundle, cosine: float) -> None:
        crop = len(self._cosines)
        found = f"golden crop {crop} comes out with cosine {cosine:.4f}, expected at least {MIN_GOLDEN_COSINE}"
        evidence: dict[str, float | str] = {
            "crop": crop,
            "crops": len(bundle.golden.crops),
            "cosine": cosine,
            "expected": MIN_GOLDEN_COSINE,
        }
        self._outgoing.event(
            Finding(event="self_test_failed", summary=f"the engine drifted: {found}", evidence=evidence)
        )
        mend = "it passed when it was opened, so the processor, its memory or its driver errs; nothing is decided on it"
        raise EngineError(f"{bundle.path}: {found}; {mend}")
