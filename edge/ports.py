"""The four ports: where the outside world is plugged in.

A port owns the checks, an adapter owns the vendor. The public method of each port is written once, here: it checks what
goes in and out and turns any failure into one named error. Adapters override the `_hook`. Construction is free; `with`
acquires; nothing touches a GPU, a camera or a socket before `__enter__`. These are the only broad excepts in the tree.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import TypeVar

import numpy as np

from edge.errors import CaptureError, EngineError, PublishError, ShelfedgeError
from edge.types import Crops, Embeddings, Frame, Region

__all__ = ["Engine", "FrameSource", "Locator", "Publisher"]

_Self = TypeVar("_Self", bound="_Resource")


class _Resource(ABC):  # noqa: B024  # its subclasses, the ports, have the abstract hooks
    """Something that is acquired by `with` and given back exactly once."""

    def __enter__(self: _Self) -> _Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _open(self) -> None:  # noqa: B027  # a hook with a default: nothing to acquire
        """Acquire. Called once, before anything else."""

    def _close(self) -> None:  # noqa: B027  # a hook with a default: nothing to give back
        """Give back. Must not raise, and must be harmless when `_open` failed half way."""


class FrameSource(_Resource):
    """One camera, file or folder. `read` never blocks longer than it is told to.

    `state` is opening, running, ended or failed; `fault` is why it last failed or what it waits for (`memory`), empty
    once frames come again; the counters only grow. `drops` and `failures` count by reason and are
    replaced, never changed, so that another thread may read them. `fileno()` becomes readable when a frame may
    be waiting, so that one thread can wait on many cameras.
    """

    camera_id: str
    is_live: bool = False
    state: str = "opening"
    delivered: int = 0
    drops: Mapping[str, int] = MappingProxyType({})
    failures: Mapping[str, int] = MappingProxyType({})
    fault: str = ""
    reopened: int = 0
    warnings: int = 0

    @property
    def dropped(self) -> int:
        """How many frames were never handed out, for whatever reason."""
        return sum(self.drops.values())

    @property
    def pid(self) -> int | None:
        """The process that captures, where it is one of its own and runs."""
        return None

    def read(self, timeout_ms: int) -> Frame | None:
        """Return the next frame, or None when none came within `timeout_ms`.

        Raises EOFError at the end of a file, CaptureError when the source failed (it may be reopened).
        The frame's image is valid until `release(frame)`.
        """
        try:
            return self._read(timeout_ms)
        except (EOFError, ShelfedgeError):
            raise
        except Exception as error:  # port: any vendor failure becomes one named error
            raise CaptureError(f"camera {self.camera_id}: {error}") from error

    def release(self, frame: Frame) -> None:
        """Give the frame's memory back to the source. The default has nothing to give back."""

    def reopen(self) -> None:
        """Start again after a CaptureError. Returns at once; raises CaptureError where that makes no sense."""
        raise CaptureError(f"camera {self.camera_id}: cannot be reopened")

    @abstractmethod
    def fileno(self) -> int:
        """Return the file descriptor to wait on."""

    @abstractmethod
    def _read(self, timeout_ms: int) -> Frame | None: ...


class Locator(ABC):
    """Finds what to look at in a frame. May keep state between frames of one camera; never across cameras."""

    def locate(self, frame: Frame) -> tuple[Region, ...]:
        """Return regions wholly inside the frame, none empty; an empty tuple when there is nothing to look at."""
        height, width = frame.image.shape[:2]
        regions = []
        for region in self._locate(frame):
            left, top = max(region.x, 0), max(region.y, 0)
            right, bottom = min(region.x + region.width, width), min(region.y + region.height, height)
            if right > left and bottom > top:
                regions.append(Region(left, top, right - left, bottom - top, region.label))
        return tuple(regions)

    @abstractmethod
    def _locate(self, frame: Frame) -> tuple[Region, ...]: ...


class Engine(_Resource):
    """An embedding network: uint8 crops in, unit vectors out.

    `input_height_px`, `input_width_px`, `dimension` and `max_batch` are known once the engine is open. `degraded` says
    why this engine stands in for the one that was asked for, and is empty where it is that one.
    """

    degraded: str = ""

    input_height_px: int
    input_width_px: int
    dimension: int
    max_batch: int

    def embed(self, crops: Crops) -> Embeddings:
        """Embed (N, H, W, 3) uint8 BGR crops into (N, D) float32 rows of unit length, 1 <= N <= max_batch.

        A row that came out NaN, infinite or zero is returned as zeros: no product is ever near it, and the pipeline
        names it `not_finite`. Raises EngineError for a wrong shape or dtype and for any failure of the engine.
        """
        expected = (self.input_height_px, self.input_width_px, 3)
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != expected:
            raise EngineError(f"engine input is {crops.dtype} {crops.shape}, expected uint8 (N, {expected}); a bug")
        if not 1 <= len(crops) <= self.max_batch:
            raise EngineError(f"engine batch is {len(crops)}, expected 1 to {self.max_batch}; a bug")
        try:
            raw = self._embed(crops)
        except ShelfedgeError:
            raise
        except Exception as error:  # port: any vendor failure becomes one named error
            raise EngineError(f"engine failed: {error}") from error
        if raw.shape != (len(crops), self.dimension):
            raise EngineError(f"engine returned {raw.shape}, expected {(len(crops), self.dimension)}; wrong graph?")
        return _unit_rows(raw)

    @abstractmethod
    def _embed(self, crops: Crops) -> Embeddings: ...


class Publisher(_Resource):
    """Where messages go. `send` never blocks the frame loop."""

    def send(self, topic: str, payload: bytes) -> bool:
        """Hand one message on; False when it had to be dropped (the caller counts it).

        Raises PublishError when the publisher as a whole failed.
        """
        try:
            return self._send(topic, payload)
        except ShelfedgeError:
            raise
        except Exception as error:  # port: any vendor failure becomes one named error
            raise PublishError(f"cannot publish {topic}: {error}") from error

    @abstractmethod
    def _send(self, topic: str, payload: bytes) -> bool: ...


def _unit_rows(raw: Embeddings) -> Embeddings:
    """Return rows of unit length; a row without a direction becomes zeros."""
    with np.errstate(all="ignore"):
        norms = np.sqrt(np.einsum("nd,nd->n", raw, raw, dtype=np.float64))
        usable = np.isfinite(norms) & (norms > 1e-12)
        scale = np.where(usable, 1.0 / np.where(usable, norms, 1.0), 0.0)
        return np.where(usable[:, None], raw * scale[:, None], 0.0).astype(np.float32)
