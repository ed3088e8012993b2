"""SIGHUP: the configuration is read again, and takes over between two frames, all of it or nothing. So does another
bundle where the ladder asks for the smaller one or needs it no more.

    asked ──> a thread: read, check, memory, load, golden ──> between two frames: settle, swap ──> a thread: let go
              (the loop decides on meanwhile)                 (nothing here can fail)              of the old ones

- What was begun is finished with the old bundle; the next frame is the new one's, and the next `seq` the next.
- Cameras that did not change do not notice. One that did goes on under its numbers, in a new opening.
- Where anything is wrong everything goes on as it was, and log, heartbeat and an event say what.
- What has no socket and no file of its own changes in its place: the ladder, the log, limits (`edge.life.settings`).
- A recording ends, complete: what comes next could not be replayed with the bundle and the cameras that it names.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from msgspec import structs

from edge.assembly import Loaded, runtime_mib
from edge.capture import open_camera
from edge.capture.camera import Camera
from edge.config import CameraConfig, DaemonConfig
from edge.config.changes import changed_keys
from edge.daemon import Daemon, Stream, stream_of
from edge.degrade.smaller import engine_config
from edge.errors import ShelfedgeError
from edge.feedback.assembly import follow
from edge.feedback.state import Finding
from edge.footprint import needed_mib
from edge.health import Health
from edge.heap import give_back_freed
from edge.life.candidate import Candidate, candidate_from_config, candidate_of_size
from edge.life.notify import Notifier
from edge.life.selftest import SelfTest
from edge.life.settings import Staying, prepared, take_settings
from edge.life.together import all_at_once
from edge.outgoing import Feedback, Outgoing

__all__ = ["Reload", "Running"]

JOIN_S = 0.5  # what an end waits for a bundle that is being loaded
AGAIN_NS = 60_000_000_000  # before the ladder's wish for another bundle is tried again

_RELOAD, _SMALLER, _USUAL = "reload", "smaller engine", "usual engine"
_FAILED = {what: f"{what} failed, everything goes on as it was: %s" for what in (_RELOAD, _SMALLER, _USUAL)}
_Make: TypeAlias = Callable[[DaemonConfig, Loaded, bool], Candidate]

log = logging.getLogger("edge.life")


@dataclass(slots=True, eq=False)
class Running:
    """What a change touches. `cameras` is the list that the metrics read, changed in place."""

    path: Path
    config: DaemonConfig
    loaded: Loaded
    cameras: list[Camera]
    outgoing: Outgoing
    health: Health
    self_test: SelfTest
    notifier: Notifier
    staying: Staying
    feedback: Feedback | None = None


class _Loading(threading.Thread):
    """Makes a candidate, and keeps it or what was wrong. `what` is done, in words."""

    def __init__(self, what: str, make: Callable[[], Candidate], begun_ns: int) -> None:
        super().__init__(name="reload", daemon=True)
        self._make = make
        self.what = what
        self.begun_ns = begun_ns
        self.candidate: Candidate | None = None
        self.error = "ended without a word; a bug"

    def run(self) -> None:
        try:
            self.candidate = self._make()
        except ShelfedgeError as error:
            self.error = str(error)
        except Exception as error:  # a bug must not end what decides well
            log.exception("%s failed; a bug", self.what)
            self.error = f"internal error: {type(error).__name__}: {error}; please report it"


class _LettingGo(threading.Thread):
    """Waits for the sources that were left, closes what was taken over from, and gives its memory back."""

    def __init__(self) -> None:
        super().__init__(name="letting go", daemon=True)
        self.parts: list[Callable[[], None]] = []
        self.closers: list[Callable[[], None]] = []

    def run(self) -> None:
        all_at_once(self.parts)
        while self.closers:
            self.closers.pop()()
        give_back_freed()


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """A candidate that decides already: who goes, the cameras to be opened when they are gone, and what to tell."""

    what: str
    letting_go: _LettingGo
    changed: Sequence[tuple[Stream, CameraConfig]]
    changes: Sequence[str]
    evidence: dict[str, float | str]


class Reload:
    """A duty of the loop, inside `with`: sees that `asked` was set, and leaves everything closed that it opened."""

    def __init__(self, running: Running, asked: threading.Event) -> None:
        self._running = running
        self._asked = asked
        self._loading: _Loading | None = None
        self._taken: _Taken | None = None
        self._again_ns = 0
        self._retired: dict[str, Stream] = {}  # cameras that were taken out: their numbers are never used again

    def __enter__(self) -> Reload:
        return self

    def __exit__(self, *_: object) -> None:
        """Drop what is being loaded: a thread that takes longer ends with the process."""
        if self._loading is not None:
            self._loading.join(JOIN_S)
            if self._loading.candidate is not None:
                self._loading.candidate.held.close()
        if self._taken is not None:
            self._taken.letting_go.join(JOIN_S)

    def turn(self, daemon: Daemon, now_ns: int) -> None:
        """Go on by one step where one is due."""
        if self._taken is not None:
            if not self._taken.letting_go.is_alive():
                taken, self._taken = self._taken, None
                self._complete(taken)
        elif self._loading is not None:
            if not self._loading.is_alive():
                loading, self._loading = self._loading, None
                if loading.candidate is None:
                    self._again_ns = now_ns + (0 if loading.what == _RELOAD else AGAIN_NS)
                    self._refuse(loading.what, loading.error)
                else:
                    self._taken = self._take(daemon, loading, loading.candidate, now_ns)
        elif self._asked.is_set():
            self._asked.clear()
            self._running.notifier.reloading()
            log.info("%s: read again", self._running.path)
            running = self._running
            prepare = partial(prepared, running.staying, running.health, running.path, running.config)
            make = partial(candidate_from_config, running.path, prepare)
            self._load(_RELOAD, make, now_ns, running.health.smaller)
        elif self._wants_smaller(daemon) != self._running.health.smaller and now_ns >= self._again_ns:
            smaller = not self._running.health.smaller
            self._load(_SMALLER if smaller else _USUAL, candidate_of_size, now_ns, smaller)

    def _wants_smaller(self, daemon: Daemon) -> bool:
        degrade = self._running.config.degrade
        return daemon.measures.smaller and degrade is not None and bool(degrade.smaller)

    def _load(self, what: str, make: _Make, now_ns: int, smaller: bool) -> None:
        make_it = partial(make, self._running.config, self._running.loaded, smaller)
        self._loading = _Loading(what, make_it, now_ns)
        self._loading.start()

    def _refuse(self, what: str, why: str) -> None:
        log.error(_FAILED[what], why)
        self._running.outgoing.event(Finding(event="reload_failed", summary=f"{what} failed: {why}", evidence={}))
        self._end(what, f"failed: {why}")

    def _complete(self, taken: _Taken) -> None:
        """Open the cameras that changed: their sources are free."""
        for stream, camera in taken.changed:
            stream.change(camera)
        outcome = f"done: {', '.join(taken.changes) or 'nothing changed'}"
        summary = f"{taken.what} {outcome}"
        log.info("%s", summary)
        if taken.changes:
            self._running.outgoing.event(Finding(event="reloaded", summary=summary, evidence=taken.evidence))
        self._end(taken.what, outcome)

    def _end(self, what: str, outcome: str) -> None:
        """Tell who asked."""
        if what == _RELOAD:
            self._running.health.reload = outcome
            self._running.notifier.ready(f"reload {outcome}")

    def _take(self, daemon: Daemon, loading: _Loading, candidate: Candidate, now_ns: int) -> _Taken:
        """Let a candidate take over: everything that could fail is done."""
        candidate.held.pop_all()  # what it opened belongs to the running daemon now
        running = self._running
        keys, before = changed_keys(running.config, candidate.config), running.loaded.bundle.id
        changes = [] if candidate.loaded is None else [f"bundle {before} -> {candidate.loaded.bundle.id}"]
        changes += [key for key in keys if key != "bundle"]
        daemon.settle()
        if candidate.loaded is not None or "cameras" in keys:
            running.outgoing.end_recording(f"{loading.what}, {', '.join(changes)}")
        letting_go = _LettingGo()
        changed = self._take_cameras(daemon, candidate, letting_go)
        self._take_loaded(daemon, candidate, letting_go)
        changes += take_settings(running.staying, candidate.settings, running.config, candidate.config)
        running.config = candidate.config
        letting_go.start()
        loading_s = round((now_ns - loading.begun_ns) / 1e9, 3)
        return _Taken(loading.what, letting_go, changed, changes, {"bundle_before": before, "loading_s": loading_s})

    def _take_loaded(self, daemon: Daemon, candidate: Candidate, letting_go: _LettingGo) -> None:
        """Let bundle, engine and rules take over."""
        running, config, old, health = self._running, candidate.config, self._running.loaded, self._running.health
        new = running.loaded = candidate.loaded or old
        if running.feedback is not None and config.feedback is not None:
            clerk = running.feedback.clerk
            running.feedback = Feedback(config.feedback.audit_share, clerk)
            if new is not old or config.feedback != running.config.feedback:
                follow(clerk, config.feedback, new.bundle)
        health.smaller = candidate.smaller
        if new is not old:
            daemon.take_engine(new.pipeline)
            health.bundle_id, health.degraded = new.bundle.id, new.engine.degraded
            if health.classes is not None:
                health.classes = health.classes.carried_to([info.sku for info in new.bundle.classes])
            letting_go.closers.append(old.held.close)
        if new is not old or config.self_test != running.config.self_test:
            running.self_test.follow(config.self_test, new.bundle, new.engine)
        runtime = runtime_mib(new.bundle, engine_config(config, candidate.smaller))
        health.planned_mib = needed_mib(new.bundle, config, runtime)
        running.outgoing.follow(new.bundle, running.feedback, config.publish.format)

    def _take_cameras(
        self, daemon: Daemon, candidate: Candidate, letting_go: _LettingGo
    ) -> list[tuple[Stream, CameraConfig]]:
        """Let cameras and what finds regions in them take over; return those to be opened when their source is free."""
        old = {camera.id: camera for camera in self._running.config.cameras}
        there = {stream.camera.camera_id: stream for stream in daemon.streams}
        streams, changed = [], []
        for number, camera in enumerate(candidate.config.cameras):
            stream = there.pop(camera.id, None) or self._returned(camera.id)
            if stream is None:
                locator, held = candidate.locators[camera.id]
                opened = open_camera(camera, asks=True).__enter__()
                stream = stream_of(camera, opened, (locator, held), number)
            else:
                if camera.id in candidate.locators:
                    letting_go.closers.append(stream.held.close)
                    stream.locator, stream.held = candidate.locators[camera.id]
                stream.follow(camera)
                if not _same_pictures(old.get(camera.id), camera):
                    letting_go.parts.append(stream.part())
                    changed.append((stream, camera))
            streams.append(stream)
        for camera_id, stream in there.items():
            self._retired[camera_id] = stream
            letting_go.parts.append(stream.part())
            letting_go.closers.append(stream.held.close)
        daemon.take_streams(streams)
        self._running.cameras[:] = [stream.camera for stream in streams]
        return changed

    def _returned(self, camera_id: str) -> Stream | None:
        """Return the stream of a camera that was there before: it goes on counting, and remembers nothing it saw."""
        stream = self._retired.pop(camera_id, None)
        if stream is not None:
            stream.tracker.forget()
        return stream


def _same_pictures(old: CameraConfig | None, new: CameraConfig) -> bool:
    """Tell whether a camera may go on as it is: only what is done with its frames may differ."""
    return old is not None and structs.replace(old, locate=new.locate, looks=new.looks, priority=new.priority) == new
