"""Write scenes with their ground truth: pictures or a video, and `truth.json`. One picture is held at a time.

truth.json of a clip
    {"fps", "width", "height",
     "events": [{"event", "sku" | null, "kind", "first_frame", "last_frame"}],
     "frames": [{"frame", "objects": [{"event", "sku" | null, "kind", "box": [x, y, w, h], "moving", "visible"}]}]}
truth.json of shelves and carts
    {"scenes": [{"image", "width", "height", "objects": [...], "slots": [{"id", "sku", "polygon": [[x, y], ...]}]}]}
    where an object has "slot", the id of its slot, instead of "event" and "moving"; only shelves have slots.

A box holds the whole thing as far as the picture shows it, with the parts that other things hide; `visible` says how
much of the thing is seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.render.basket import SceneObject
from calibration.render.cart import CartOrder, cart_picture
from calibration.render.claim import make_folder, write_bytes, write_text
from calibration.render.clip import FPS, ClipOrder, cart_clip, clip_events, clip_length
from calibration.render.shelf import ShelfOrder, shelf_picture
from edge.errors import PublishError

__all__ = ["write_carts", "write_clip", "write_shelves"]

_JPEG_QUALITY = 92
_MJPEG_QUALITY = 30  # on the scale of that writer; keeps 38 dB, between JPEG 75 (36 dB) and 90 (40 dB)


def write_clip(
    order: ClipOrder, video: Path, truth: Path, extra: Mapping[str, Any] | None = None
) -> Iterator[tuple[int, int]]:
    """Write a clip (`.avi`: MJPG, `.mp4`: mp4v) and its truth, each put in place when whole; yield (done, total).

    `extra` goes into the truth as it is. Raise PublishError where the video cannot be written.
    """
    total = clip_length(order)
    unfinished = video.with_name(f"{video.stem}.part{video.suffix}")
    lines = truth.with_name(f"{truth.stem}.part{truth.suffix}")
    head: dict[str, Any] = {"fps": FPS, "width": order.width_px, "height": order.height_px, **(extra or {})}
    head["events"] = [asdict(event) for event in clip_events(order)]
    make_folder(video.parent)
    writer = _writer(unfinished, (order.width_px, order.height_px))
    try:
        with lines.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps(head)[:-1] + ', "frames": [')
            for done, (picture, shown) in enumerate(cart_clip(order), start=1):
                writer.write(picture)
                frame = {"frame": shown.frame, "objects": [asdict(thing) for thing in shown.objects]}
                stream.write((",\n" if done > 1 else "\n") + json.dumps(frame))
                yield done, total
            stream.write("\n]}\n")
        writer.release()
        _check_length(unfinished, total)
        os.replace(unfinished, video)
        os.replace(lines, truth)
    except OSError as error:
        raise PublishError(f"cannot write {lines}: {error.strerror}; free space or choose another --out") from error
    finally:
        writer.release()
        for part in (unfinished, lines):
            with suppress(OSError):
                part.unlink()


def write_shelves(order: ShelfOrder, scenes: int, out: Path) -> Iterator[tuple[int, int]]:
    """Write pictures of shelves and their truth; yield (done, total)."""
    records = []
    for number in range(scenes):
        picture, truth = shelf_picture(order, number)
        objects = [{"slot": truth.slots[thing.event].id, **_seen(thing)} for thing in truth.objects]
        record = _written(out, f"shelf-{number:03d}.jpg", picture, objects)
        records.append({**record, "slots": [asdict(slot) for slot in truth.slots]})
        yield number + 1, scenes
    write_text(out / "truth.json", json.dumps({"scenes": records}, indent=1) + "\n")


def write_carts(order: CartOrder, scenes: int, out: Path) -> Iterator[tuple[int, int]]:
    """Write pictures of baskets and their truth; yield (done, total)."""
    records = []
    for number in range(scenes):
        picture, things = cart_picture(order, number)
        records.append(_written(out, f"cart-{number:03d}.jpg", picture, [_seen(thing) for thing in things]))
        yield number + 1, scenes
    write_text(out / "truth.json", json.dumps({"scenes": records}, indent=1) + "\n")


def _seen(thing: SceneObject) -> dict[str, Any]:
    return {"sku": thing.sku, "kind": thing.kind, "box": list(thing.box), "visible": thing.visible}


def _written(out: Path, name: str, picture: NDArray[np.uint8], objects: list[dict[str, Any]]) -> dict[str, Any]:
    _, data = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))
    write_bytes(out / name, data.tobytes())
    height, width = picture.shape[:2]
    return {"image": name, "width": width, "height": height, "objects": objects}


def _writer(path: Path, size: tuple[int, int]) -> cv2.VideoWriter:
    if path.suffix == ".mp4":
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, size)
    else:
        # OpenCV's own MJPG writer: no ffmpeg needed, and the same bytes for the same frames.
        fourcc = cv2.VideoWriter.fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, fourcc, FPS, size)
        writer.set(cv2.VIDEOWRITER_PROP_QUALITY, _MJPEG_QUALITY)
    if not writer.isOpened():
        raise PublishError(
            f"cannot open {path} for a video; check the folder, or choose .avi where .mp4 is unsupported"
        )
    return writer


def _check_length(path: Path, frames: int) -> None:
    """Read the frame count back: OpenCV's writers do not report a full disk."""
    capture = cv2.VideoCapture(str(path))
    found = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    if found != frames:
        raise PublishError(f"{path} holds {found} frames, not {frames}; free space or choose another --out")
