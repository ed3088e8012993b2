"""The configuration made measurable, and frames of it held in memory."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from edge.capture import open_camera
from edge.capture.address import parse_source
from edge.config import CameraConfig, DaemonConfig
from edge.errors import ConfigError, InputError
from edge.types import Image

__all__ = ["measurable", "refuse_live", "sample_frames"]

MAX_FRAMES = 64
MAX_BYTES = 128 << 20
FRAME_TIMEOUT_MS = 20_000


def measurable(config: DaemonConfig, endpoint: str) -> DaemonConfig:
    """Return `config` publishing on `endpoint`, with files that never end and are read as fast as they are decided on.

    Metrics go to a port that is free, so that a running daemon is not disturbed.
    """
    endless = {"loop": True, "realtime": False, "when_full": "auto"}
    cameras = tuple(
        camera if parse_source(camera.source).is_live else msgspec.structs.replace(camera, **endless)
        for camera in config.cameras
    )
    return msgspec.structs.replace(
        config,
        cameras=cameras,
        publish=msgspec.structs.replace(config.publish, decisions=endpoint),
        metrics=config.metrics and msgspec.structs.replace(config.metrics, listen="127.0.0.1:0"),
    )


def refuse_live(config: DaemonConfig, path: Path) -> None:
    """Raise ConfigError when a camera of the configuration is live: it would set the pace instead of the daemon."""
    for camera in config.cameras:
        if parse_source(camera.source).is_live:
            found = f"camera {camera.id}: its source is live"
            raise ConfigError(f"{path}: {found}, expected a video file or a folder of pictures; change `source`")


def sample_frames(camera: CameraConfig) -> list[Image]:
    """Return the first frames of a file or folder, read-only copies: at most MAX_FRAMES and about MAX_BYTES.

    Raises CaptureError when the camera cannot be read, InputError when it has no frame.
    """
    images: list[Image] = []
    size = 0
    with open_camera(msgspec.structs.replace(camera, loop=False, realtime=False)) as source:
        while len(images) < MAX_FRAMES and size < MAX_BYTES:
            try:
                frame = source.read(FRAME_TIMEOUT_MS)
            except EOFError:
                break
            if frame is None:
                raise InputError(f"camera {camera.id}: no frame within {FRAME_TIMEOUT_MS / 1000:g} s; check `source`")
            images.append(np.array(frame.image))
            images[-1].flags.writeable = False
            size += frame.image.nbytes
            source.release(frame)
    if not images:
        raise InputError(f"camera {camera.id}: its source has no frame, expected at least one")
    return images
