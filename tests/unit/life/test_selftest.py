"""The golden self-test on schedule, with a fake engine that drifts."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import samples

from edge.bundle import Golden
from edge.config import SelfTestConfig
from edge.daemon import Daemon
from edge.engines.fake import FakeEngine
from edge.errors import EngineError
from edge.feedback.state import Finding
from edge.health import Health
from edge.life.selftest import SelfTest
from edge.pipeline import Pipeline
from edge.types import Crops, Embeddings


class Told:
    """Keeps the events that it is given."""

    def __init__(self) -> None:
        self.events: list[Finding] = []
        self.health = Health(0)

    def event(self, finding: Finding) -> None:
        self.events.append(finding)


class Drifting(FakeEngine):
    """A fake engine that computes something else once it is told to."""

    drifts = False

    def _embed(self, crops: Crops) -> Embeddings:
        rows = super()._embed(crops)
        return rows[:, ::-1] if self.drifts else rows


def test_a_drifting_engine_ends_the_daemon_within_one_test_and_an_event_says_how_far(tmp_path: Path) -> None:
    bundle, told, health = samples.sample_bundle(tmp_path / "bundle"), Told(), Health(0)
    with Drifting(side_px=samples.SIDE_PX) as engine:
        crops = bundle.golden.crops
        bundle = replace(bundle, golden=Golden(crops, engine.embed(crops)))
        test = SelfTest(health, told)  # type: ignore[arg-type]
        daemon = Daemon([], Pipeline(bundle, engine), told, time.monotonic_ns)  # type: ignore[arg-type]
        test.follow(SelfTestConfig(every_s=10), bundle, engine)
        second = 1_000_000_000
        test.turn(daemon, 0)
        test.turn(daemon, 9 * second)
        calls = engine.calls
        test.turn(daemon, 10 * second)
        assert engine.calls == calls + 1, "one crop a turn"
        assert health.self_test is None
        test.turn(daemon, 10 * second)
        assert health.self_test is not None
        assert (health.self_test.passed, round(health.self_test.cosine, 6)) == (1, 1.0)
        engine.drifts = True
        test.turn(daemon, 19 * second)
        with pytest.raises(EngineError, match="golden crop 0 comes out with cosine"):
            test.turn(daemon, 20 * second)
        (event,) = told.events
        assert event.event == "self_test_failed"
        assert float(event.evidence["cosine"]) < 0.99
        test.follow(None, bundle, engine)
        test.turn(daemon, 10_000 * second)
