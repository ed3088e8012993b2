"""What `feedback:` costs a frame: two daemons beside each other on the same clip, one with it and one without.

Both are measured in the same windows, so whatever else the machine does falls on both. The one with feedback is told
VERDICTS_S verdicts a second, one for every decision that they can name.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import zmq

from benchmarks.reliability.cart import Heard, clip_camera, listening, running, until, write_cart
from benchmarks.reliability.paired import Turn, ratio
from benchmarks.reliability.result import Result
from benchmarks.reliability.sizes import Sizes
from benchmarks.reliability.verdicts import tell
from edge.bench.report import Figure
from edge.config import FeedbackConfig
from edge.messages import DecisionMessage

__all__ = ["measure"]

RATE = 50.0
VERDICTS_S = 10
P99 = 1.05


def measure(sizes: Sizes) -> list[Result]:
    """Return the row."""
    turns: list[Turn] = []
    with tempfile.TemporaryDirectory(prefix="reliability-") as place, ExitStack() as stack:
        heard: list[Heard] = []
        for name in ("without", "with"):
            folder = Path(place, name)
            folder.mkdir()
            feedback = FeedbackConfig(path=f"{folder}/feedback.sqlite", listen=f"ipc://{folder}/truth")
            parts: dict[str, Any] = {"feedback": feedback} if name == "with" else {}
            config = write_cart(folder, [clip_camera(folder, "basket", rate=RATE)], sizes, **parts)
            heard.append(stack.enter_context(listening(folder)))
            stack.enter_context(running(config))
        until(lambda: all(one.decisions() for one in heard), "the first decisions")
        context = stack.enter_context(zmq.Context())
        for _ in range(sizes.windows):
            begins, end_s = [len(one.messages) for one in heard], time.monotonic() + sizes.window_s
            while time.monotonic() < end_s:
                latest = heard[1].decisions()[-1][1]
                tell(context, f"ipc://{place}/with/truth", latest.decision_id, latest.sku or "unknown")
                time.sleep(1 / VERDICTS_S)
            plain, told = (_latencies(one, begin) for one, begin in zip(heard, begins, strict=True))
            turns.append(Turn(plain, told))
    figures = (
        ratio("frame latency p99, with / without", turns, 99, P99),
        Figure("the same p50", ratio("", turns, 50, P99).value, ""),
    )
    return [Result("feedback on, ten verdicts a second", figures)]


def _latencies(heard: Heard, begin: int) -> list[float]:
    return [message.latency_ms for _, message in heard.messages[begin:] if isinstance(message, DecisionMessage)]
