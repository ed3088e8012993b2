"""What leaves the daemon holds no more after many decisions than after some: counted in objects, not timed.

Outgoing, outbox, feedback and metrics are the real ones, in this process. What is remembered by number is full before
the first count: 2,048 decisions on view, 1,000 latencies, 100 decisions that a verdict can name.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import zmq
from background import in_background
from samples import write_sample_bundle

from edge import messages
from edge.bundle import read_bundle
from edge.class_counts import ClassCounts
from edge.config import FeedbackConfig, MetricsConfig
from edge.engine_row import join_rows
from edge.feedback.assembly import catalogue_of, clerk_of
from edge.health import Health
from edge.metrics import MetricsServer
from edge.outbox.courier import Courier
from edge.outbox.store import Limits, Store
from edge.outbox.wire import acknowledgement, row_of
from edge.outgoing import Feedback, Outgoing, Sender
from edge.publish.zmq_pub import ZmqPublisher
from edge.track import Tracker
from edge.types import Decision, Frame, Reason, Region, Route

SOME, MANY = 2_400, 6_400
LOOKS = 4  # at each thing
ROUND = 200  # decisions between heartbeats, and looks at the page
FEW = 1_500  # blocks of the interpreter's memory; a thing that is remembered for ever takes three, of 1,000
REGION = Region(0, 0, 96, 96, "whole")
NO_IMAGE = np.empty((0, 0, 3), np.uint8)


class Leaving:
    """The way of decisions out of a daemon."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        write_sample_bundle(folder / "bundle", 6)
        bundle = read_bundle(folder / "bundle")
        self.skus = [info.sku for info in bundle.classes]
        self.health = Health(time.monotonic_ns(), bundle_id=bundle.id, classes=ClassCounts(self.skus))
        store = stack.enter_context(Store(folder / "outbox.sqlite", Limits(10_000, 1 << 26)))
        self.courier = stack.enter_context(Courier(store, f"ipc://{folder}/collector", time.monotonic_ns))
        config = FeedbackConfig(path=f"{folder}/feedback.sqlite", listen=f"ipc://{folder}/truth", max_decisions=100)
        self.clerk = stack.enter_context(clerk_of(config, catalogue_of(bundle), "cart-7", time.monotonic_ns))
        self.health.outbox, self.health.feedback = self.courier.state, self.clerk.state
        publisher = stack.enter_context(ZmqPublisher(f"ipc://{folder}/live", 100))
        sender = Sender(publisher, "json", self.courier, Feedback(1.0, self.clerk))
        self.outgoing = Outgoing(bundle, messages.Origin("cart-7", "epoch", bundle.id), self.health, sender, None)
        metrics = stack.enter_context(MetricsServer(MetricsConfig("127.0.0.1:0"), self.health, [], time.monotonic_ns))
        self._page = f"http://127.0.0.1:{metrics.port}/metrics"
        self._tracker = Tracker(looks=3)

    def decide(self, count: int) -> None:
        """Let so many decisions leave, and wait until all are on the disk and have arrived."""
        for number in range(count):
            thing = self.health.decisions // LOOKS
            rows = join_rows(np.eye(1, 64, thing % 64, dtype=np.float32), np.zeros(1, np.float32))
            (track,) = self._tracker.follow(self._tracker.next_frame(), [REGION], rows)
            sku = self.skus[thing % len(self.skus)]
            agreed = track.agree(Decision(Route.ACCEPT, sku, 0.99, 0.1, (), (), (Reason.CERTIFIED,)))
            now_ns = time.monotonic_ns()
            frame = Frame("basket", self.health.decisions, NO_IMAGE, now_ns, time.time_ns(), 0)
            self.outgoing.decision(frame, (REGION, track), agreed, False, now_ns)
            if (number + 1) % ROUND == 0:
                self.outgoing.heartbeat([], now_ns)
                urllib.request.urlopen(self._page).read()
        give_up_s = time.monotonic() + 60
        while self.courier.state().delivered < self.health.decisions or self._commits:
            assert time.monotonic() < give_up_s
            time.sleep(0.005)

    @property
    def _commits(self) -> bool:
        return bool(self.clerk._queue.qsize() or self.clerk._pending)


@contextmanager
def collector(folder: Path) -> Iterator[None]:
    """Acknowledge everything."""

    def run(stop: threading.Event) -> None:
        with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.bind(f"ipc://{folder}/collector")
            while not stop.is_set():
                if socket.poll(50):
                    sender, row, _ = socket.recv_multipart()
                    socket.send_multipart([sender, acknowledgement([row_of(row)])])

    with in_background(run):
        yield


def held() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def test_many_decisions_leave_no_more_behind_than_some(tmp_path: Path) -> None:
    with collector(tmp_path), ExitStack() as stack:
        leaving = Leaving(tmp_path, stack)
        leaving.decide(SOME)
        some = held()
        leaving.decide(MANY - SOME)
        assert held() < some + FEW
        assert leaving.health.routes["accept"] == MANY / 2, "or nothing would have been charged for"
