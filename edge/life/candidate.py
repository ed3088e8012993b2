"""What is to take over, read, checked and loaded beside what runs: a new configuration, or the other of two bundles.

Nothing that decides is touched here.

Runs in a thread of its own while the loop decides, behind it where the processor is short. Whatever is wrong with file,
bundle, memory or engine is one error that says so, and everything that was opened for it is closed again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from edge.assembly import Loaded, load, locator_of, runtime_mib
from edge.bundle import Bundle
from edge.capture.address import parse_source
from edge.config import CameraConfig, DaemonConfig, Detector, EngineConfig, load_daemon_config
from edge.config.changes import refuse_fixed
from edge.degrade.smaller import bundles_of, engine_config
from edge.footprint import refuse_no_room_beside, refuse_no_room_for, spare_mib
from edge.heap import give_back_freed
from edge.life.settings import Prepared
from edge.ports import Locator

__all__ = ["Candidate", "candidate_from_config", "candidate_of_size"]

NICENESS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """What is to take over. `loaded` is None where the bundle and its engine stay; `smaller`: it is the smaller one.

    `locators` are the changed ones of cameras, by id, with what each has open. `held` closes all of it until somebody
    takes it. `settings` are for the parts that stay.
    """

    config: DaemonConfig
    loaded: Loaded | None
    smaller: bool
    locators: Mapping[str, tuple[Locator, ExitStack]]
    held: ExitStack
    settings: Prepared


def candidate_from_config(
    path: Path,
    prepare: Callable[[DaemonConfig], Prepared],
    config: DaemonConfig,
    loaded: Loaded,
    smaller: bool,
) -> Candidate:
    """Return what `path` says now, ready to take over from `config` and `loaded`; raises ShelfedgeError.

    `prepare` checks what the parts that stay are told, and raises as well. Where the `smaller` bundle decides it goes
    on doing so, as long as there is one.
    """
    new = load_daemon_config(path, parse_source)
    refuse_fixed(path, config, new)
    return _candidate(new, prepare(new), config, loaded, smaller)


def candidate_of_size(config: DaemonConfig, loaded: Loaded, smaller: bool) -> Candidate:
    """Return the smaller bundle or the usual one, ready to take over from the other; raises ShelfedgeError."""
    return _candidate(config, Prepared(), config, loaded, smaller)


def _candidate(new: DaemonConfig, settings: Prepared, config: DaemonConfig, loaded: Loaded, smaller: bool) -> Candidate:
    if new.engine.threads == 1:  # threads that an engine starts would stay as nice as this one is for ever
        _step_back()
    usual, little = bundles_of(new)
    bundle = little if smaller and little is not None else usual
    old_cameras = {camera.id: camera for camera in config.cameras}
    added = [camera for camera in new.cameras if camera.id not in old_cameras]
    other = bundle.id != loaded.bundle.id or new.engine != config.engine
    with ExitStack() as held:
        taken = None
        if other or loaded.engine.degraded:
            taken = _loaded_beside(bundle, engine_config(new, bundle is little), added)
        else:
            refuse_no_room_for(added, spare_mib())
        if taken is not None:
            held.callback(taken.held.close)
            if not other and taken.engine.degraded:  # what was missing is missing still
                held.close()
                taken = None
        locators = {}
        for camera in new.cameras:
            if _needs_other_locator(old_cameras.get(camera.id), camera, new.engine.threads != config.engine.threads):
                own = ExitStack()
                held.callback(own.close)
                locators[camera.id] = (own.enter_context(locator_of(camera.locate, new.engine.threads)), own)
        give_back_freed()
        return Candidate(new, taken, bundle is little, locators, held.pop_all(), settings)


def _loaded_beside(bundle: Bundle, engine: EngineConfig, added: list[CameraConfig]) -> Loaded:
    refuse_no_room_beside(bundle, added, spare_mib(), runtime_mib(bundle, engine))
    return load(bundle, engine)


def _step_back() -> None:
    """Let every other thread go first: on Linux niceness is of a thread."""
    with suppress(OSError):  # a sandbox may forbid it: then loading takes its share
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _needs_other_locator(old: CameraConfig | None, new: CameraConfig, other_threads: bool) -> bool:
    return old is None or old.locate != new.locate or (other_threads and isinstance(new.locate, Detector))
