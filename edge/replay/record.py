"""A recording: the frames that were decided on and the decisions that were made, for replay.

    session.json       device, bundle (path and id) and the cameras' locators, written first
    frames.jsonl       one line per frame: camera, number, capture times, file
    frames/*.png       the pictures, lossless
    decisions.jsonl    one DecisionMessage (JSON) per line, as published
    end.json           how many of each there are; written last, and only when the recording is complete

A frame's line is written after its picture, so every line names a picture that is whole. A disk that fills up ends the
recording; what was written stays readable. A cut last line (power) is ignored by the reader. Without end.json a
recording counts as far as it goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct, structs

from edge import messages
from edge.capture.failure import redact
from edge.capture.stills import read_still, write_still
from edge.config import MAX_THREADS, CameraConfig, DaemonConfig
from edge.errors import InputError, PublishError
from edge.publish.journal import JournalPublisher
from edge.types import Frame
from edge.writing import cannot_write

__all__ = [
    "FrameLine",
    "Recorder",
    "Session",
    "is_complete",
    "read_decisions",
    "read_frame_lines",
    "read_frames",
    "read_session",
]

SCHEMA = 1
SESSION, FRAMES, DECISIONS, PICTURES, END = "session.json", "frames.jsonl", "decisions.jsonl", "frames", "end.json"
T = TypeVar("T")


class Session(Struct, frozen=True, kw_only=True):
    """What a replay must set up again."""

    schema: int
    device_id: str
    bundle: str
    bundle_id: str
    threads: Annotated[int, Meta(ge=1, le=MAX_THREADS)]
    cameras: tuple[CameraConfig, ...]


class FrameLine(Struct, frozen=True, kw_only=True):
    """One frame of a recording; `file` is the name of its picture.

    `strict` and `still_every` are what a device in trouble did with it (`edge.degrade.ladder`).
    """

    camera_id: str
    number: int
    captured_ns: int
    captured_wall_ns: int
    file: str
    opening: int = 0
    strict: bool = False
    still_every: int = 1


class _End(Struct, frozen=True, kw_only=True):
    """What end.json holds."""

    frames: int
    decisions: int


class Recorder:
    """Writes a recording into an empty or new folder, inside `with`. Raises PublishError when the disk refuses."""

    def __init__(self, folder: Path, config: DaemonConfig, bundle_id: str) -> None:
        self._folder = folder
        self._session = Session(
            schema=SCHEMA,
            device_id=config.device_id,
            bundle=str(Path(config.bundle).resolve()),
            bundle_id=bundle_id,
            threads=config.engine.threads,
            cameras=tuple(structs.replace(camera, source=redact(camera.source)) for camera in config.cameras),
        )
        self._frames = JournalPublisher(folder / FRAMES, topic="frame")
        self._decisions = JournalPublisher(folder / DECISIONS)
        self._counts = {FRAMES: 0, DECISIONS: 0}
        self._broken = False
        self._ended = False

    def __enter__(self) -> Recorder:
        try:
            if self._folder.is_dir() and any(self._folder.iterdir()):
                raise InputError(f"{self._folder}: is not empty; give --record a new folder")
            (self._folder / PICTURES).mkdir(parents=True, exist_ok=True)
            (self._folder / SESSION).write_bytes(msgspec.json.format(msgspec.json.encode(self._session)))
        except OSError as error:
            raise cannot_write(self._folder, error, "give --record a writable folder") from None
        self._frames.__enter__()
        self._decisions.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        self._frames.__exit__(kind, error, trace)
        self._decisions.__exit__(kind, error, trace)

    def finish(self) -> None:
        """Call the recording complete, unless something is missing; nothing comes after it."""
        if not self._broken and not self._ended:
            self._ended = True
            counts = msgspec.json.encode(_End(frames=self._counts[FRAMES], decisions=self._counts[DECISIONS]))
            with suppress(OSError):  # a disk that is full by now: the recording stays an incomplete one
                (self._folder / END).write_bytes(counts)

    def frame(self, frame: Frame, strict: bool = False, still_every: int = 1) -> None:
        """Keep one frame, and how the device decided on it."""
        name = f"{frame.camera_id}-{frame.number:08d}.png"
        line = FrameLine(
            camera_id=frame.camera_id,
            number=frame.number,
            captured_ns=frame.captured_ns,
            captured_wall_ns=frame.captured_wall_ns,
            file=name,
            opening=frame.opening,
            strict=strict,
            still_every=still_every,
        )
        with self._whole(FRAMES):
            write_still(self._folder / PICTURES / name, frame.image)
            self._frames.send("frame", msgspec.json.encode(line))

    def decision(self, message: messages.DecisionMessage) -> None:
        """Keep one decision."""
        with self._whole(DECISIONS):
            self._decisions.send(f"decision.{message.camera_id}", messages.encode(message, "json"))

    @contextmanager
    def _whole(self, kind: str) -> Iterator[None]:
        """Count what was kept; after a failure the recording is never called complete."""
        try:
            yield
        except PublishError:
            self._broken = True
            raise
        self._counts[kind] += 1


def read_session(folder: Path) -> Session:
    """Return what a recording was made with; raises InputError."""
    path = folder / SESSION
    try:
        session = msgspec.json.decode(path.read_bytes(), type=Session)
    except (OSError, msgspec.MsgspecError) as error:
        found = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: {found}; expected a folder made by edge-daemon --record") from None
    if session.schema != SCHEMA:
        raise InputError(f"{path}: schema {session.schema}, expected {SCHEMA}; record again with this version")
    return session


def read_frame_lines(folder: Path) -> Iterator[FrameLine]:
    """Yield what is known about each frame, without its picture, in the order in which they were decided on."""
    yield from _lines(folder / FRAMES, FrameLine)


def read_frames(folder: Path) -> Iterator[tuple[Frame, FrameLine]]:
    """Yield the frames in the order in which they were decided on, with what is known about each."""
    for line in read_frame_lines(folder):
        image = read_still(folder / PICTURES / line.file)
        yield Frame(line.camera_id, line.number, image, line.captured_ns, line.captured_wall_ns, line.opening), line


def is_complete(folder: Path) -> bool:
    """Return whether the recording was ended in order, with everything kept; raises InputError for lost frames.

    What was decided on a frame whose line is gone would otherwise never be compared, and never differ.
    """
    try:
        end = msgspec.json.decode((folder / END).read_bytes(), type=_End)
    except FileNotFoundError:
        return False
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{folder / END}: {error}; the recording is damaged") from None
    frames = sum(1 for _ in read_frame_lines(folder))
    if frames != end.frames:
        raise InputError(f"{folder / FRAMES}: {frames} frames, recorded were {end.frames}; the recording is damaged")
    return True


def read_decisions(path: Path) -> Iterator[messages.DecisionMessage]:
    """Yield the decisions of a `decisions.jsonl`."""
    yield from _lines(path, messages.DecisionMessage)


def _lines(path: Path, struct: type[T]) -> Iterator[T]:
    decoder: Any = msgspec.json.Decoder(struct)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return  # cut short by a power cut: the line was never whole
                try:
                    yield decoder.decode(line)
                except msgspec.MsgspecError as error:
                    raise InputError(f"{path}:{number}: {error}; the recording is damaged") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected a recording") from None
