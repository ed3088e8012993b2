"""A clip of a cart's basket: a fixed camera, a hand that brings one thing after another, exact ground truth.

The clip begins with the empty basket. In each event something is carried in, laid down, and stays; the hand leaves and
the scene rests. Some events bring what is not in the catalogue: a hidden sibling, a product of a new brand, a fruit,
or a hand with nothing in it. Frames are made one at a time and never kept, so a clip of any length takes the memory of
a few frames. Frame n of a clip is a function of the order; a frame limit cuts the clip and changes nothing before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.render import grain, hands
from calibration.render.basket import (
    SOLID,
    Basket,
    SceneObject,
    claim_pixels,
    empty_basket,
    lying_pose,
    pack_sprite,
    shadow_under,
    visible_box,
)
from calibration.render.camera import smeared
from calibration.render.casting import Role, cast
from calibration.render.channels import three
from calibration.render.strays import stray_object
from calibration.render.views import laid_over, turned_sprite

__all__ = ["FPS", "ClipEvent", "ClipOrder", "FrameTruth", "cart_clip", "clip_events", "clip_length"]

FPS = 15
_EMPTY_FRAMES = 15  # for a background model to settle on
_HAND_PX = 150
_HAND = -2  # owner of the hand's pixels
_SHUTTER = 0.2  # share of a frame's time that the shutter is open

Picture = NDArray[np.uint8]
Bgra = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ClipOrder:
    """What to film."""

    seed: int
    catalogue_skus: int = 50
    products: int = 8  # enrolled products placed
    unknown: int = 4  # events that bring anything else; their kinds take turns
    frames: int | None = None  # at most; None: as many as the events take
    width_px: int = 640
    height_px: int = 480


@dataclass(frozen=True, slots=True)
class ClipEvent:
    """One event: its first and last frame are the first that shows it and the last before the next one starts."""

    event: int
    sku: str | None
    kind: str
    first_frame: int
    last_frame: int


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """What is to be seen in one frame, in the order in which it was brought."""

    frame: int
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True, slots=True)
class _Timing:
    """Frames of one event: carried in, held where it lies, hand going, at rest."""

    start: int
    carry: int
    hold: int
    leave: int
    rest: int

    @property
    def stop(self) -> int:
        return self.start + self.carry + self.hold + self.leave + self.rest


@dataclass(frozen=True, slots=True, eq=False)
class _Carried:
    """A thing on its way: where it comes to rest and how it gets there."""

    upright: Bgra | None  # None: the hand is empty
    rest: Bgra  # as it lies
    place: tuple[int, int]  # left, top of `rest`
    roll_deg: float
    skew_seed: int
    way: tuple[float, float]  # unit vector from the resting place to where the arm comes from
    distance: float  # px from the resting place to just outside the frame
    swing_deg: float  # how much farther it is turned when it enters


def clip_events(order: ClipOrder) -> tuple[ClipEvent, ...]:
    """Return the events of a clip without drawing it."""
    events = []
    for number, (role, time) in enumerate(zip(_roles(order), _timings(order), strict=True)):
        if order.frames is None or time.start < order.frames:
            last = time.stop - 1 if order.frames is None else min(time.stop, order.frames) - 1
            events.append(ClipEvent(number, role.sku_id, role.kind, time.start, last))
    return tuple(events)


def clip_length(order: ClipOrder) -> int:
    """Return how many frames a clip has."""
    timings = _timings(order)
    whole = timings[-1].stop if timings else _EMPTY_FRAMES
    return whole if order.frames is None else min(whole, order.frames)


def cart_clip(order: ClipOrder) -> Iterator[tuple[Picture, FrameTruth]]:
    """Yield the frames (H, W, 3) BGR of a clip with their truth, one at a time."""
    return islice(_film(order), clip_length(order))


def _roles(order: ClipOrder) -> tuple[Role, ...]:
    return cast(order.seed, order.catalogue_skus, order.products, order.unknown)


def _timings(order: ClipOrder) -> list[_Timing]:
    rng = np.random.default_rng([order.seed, 51])
    start = _EMPTY_FRAMES
    timings = []
    for _ in range(order.products + order.unknown):
        carry, hold, leave, rest = (int(rng.integers(*span)) for span in ((8, 15), (1, 4), (5, 9), (20, 31)))
        timings.append(_Timing(start, carry, hold, leave, rest))
        start = timings[-1].stop
    return timings


def _film(order: ClipOrder) -> Iterator[tuple[Picture, FrameTruth]]:
    shape = (order.height_px, order.width_px)
    basket = Basket(empty_basket(np.random.default_rng([order.seed, 52]), shape))
    sensor = _Sensor(order.seed, shape)
    lying: list[tuple[SceneObject, int]] = []  # with the number of the thing's own pixels
    for _ in range(_EMPTY_FRAMES):
        yield sensor.frame(basket.picture), FrameTruth(sensor.taken - 1, ())
    for event, (role, time) in enumerate(zip(_roles(order), _timings(order), strict=True)):
        rng = np.random.default_rng([order.seed, 53, event])
        carried = _carried(role, basket, rng)
        arm = hands.hand_sprite(rng, _HAND_PX, round(1.6 * sum(shape)))
        for step in range(time.stop - time.start):
            if step == time.carry and carried.upright is not None:
                basket.lay(carried.rest, carried.place, event)
                box = visible_box(carried.rest, carried.place, shape)
                if box is not None:
                    lying.append((SceneObject(event, role.sku_id, role.kind, box, False, 1.0), _solid(carried.rest)))
            stage = _Stage(basket.picture.copy(), basket.owner.copy(), event, role)
            held = _step(stage, carried, arm, time, step)
            objects = [*_seen(lying, stage.owner), *held]
            yield sensor.frame(stage.picture), FrameTruth(sensor.taken - 1, tuple(objects))


@dataclass(slots=True, eq=False)
class _Stage:
    """One frame in the making."""

    picture: Picture
    owner: NDArray[np.int32]
    event: int
    role: Role


def _step(
    stage: _Stage, carried: _Carried, arm: tuple[Bgra, tuple[float, float]], time: _Timing, step: int
) -> list[SceneObject]:
    """Draw what moves in this step of an event; return its truth."""
    if step < time.carry:
        share = 1 - _eased((step + 1) / time.carry)
        before = 1 - _eased(step / time.carry)
        sprite, place = _on_its_way(carried, share)
        _draw_carried(stage, sprite, place, (before - share) * carried.distance * _SHUTTER, carried)
        gap = share * carried.distance
    elif step < time.carry + time.hold:
        gap, sprite, place = 0.0, carried.rest, carried.place
    elif step < time.carry + time.hold + time.leave:
        done = step + 1 - time.carry - time.hold
        gap, sprite, place = (
            _eased(done / time.leave) * (carried.distance + 1.2 * _HAND_PX),
            carried.rest,
            carried.place,
        )
    else:
        return []
    hand_box = _draw_arm(stage, carried, arm, gap)
    if carried.upright is None:
        return [] if hand_box is None else [SceneObject(stage.event, None, "hand", hand_box, True, 1.0)]
    if step >= time.carry:
        return []
    box = visible_box(sprite, place, stage.owner.shape)
    share = np.count_nonzero(stage.owner == stage.event) / max(1, _solid(sprite))
    if box is None:
        return []
    return [SceneObject(stage.event, stage.role.sku_id, stage.role.kind, box, True, round(min(1.0, share), 3))]


def _carried(role: Role, basket: Basket, rng: np.random.Generator) -> _Carried:
    """Draw a thing, find a place for it and the way there."""
    long_px = int(rng.integers(150, 231))
    roll, skew_seed = float(rng.uniform(-25, 25)), int(rng.integers(2**31))
    upright: Bgra | None = None
    if role.product is not None:
        upright = pack_sprite(role.product, long_px, lying_pose(rng))
    elif role.kind == "far":
        upright = stray_object(rng, round(long_px * 0.7))
    held = upright if upright is not None else np.zeros((long_px, long_px // 2, 4), np.uint8)
    rest = held if upright is None else _turned(held, roll, skew_seed, 1.0)
    place = basket.spot(rest, rng)
    angle = float(rng.choice((0.0, 0.0, 0.9, -0.9)) + rng.uniform(-0.35, 0.35))
    way = (math.sin(angle), math.cos(angle))
    distance = _distance_out(rest, place, way, basket.owner.shape)
    return _Carried(upright, rest, place, roll, skew_seed, way, distance, float(rng.uniform(-12, 12)))


def _distance_out(rest: Bgra, place: tuple[int, int], way: tuple[float, float], frame: tuple[int, ...]) -> float:
    left, top = place
    ways = [(frame[0] - top) / way[1]] if way[1] > 0.05 else []
    if way[0] > 0.05:
        ways.append((frame[1] - left) / way[0])
    elif way[0] < -0.05:
        ways.append((left + rest.shape[1]) / -way[0])
    return min(ways)


def _eased(share: float) -> float:
    """Return how far a movement has come: slow at its end, as a hand lays things down."""
    return 1 - (1 - share) ** 2


def _turned(sprite: Bgra, roll_deg: float, skew_seed: int, scale: float) -> Bgra:
    return turned_sprite(sprite, roll_deg, 0.03, np.random.default_rng(skew_seed), scale)


def _on_its_way(carried: _Carried, share: float) -> tuple[Bgra, tuple[int, int]]:
    """Return the thing when `share` of its way is left: turned farther and, nearer to the camera, larger."""
    if carried.upright is None:
        sprite = carried.rest
    else:
        roll = carried.roll_deg + share * carried.swing_deg
        sprite = _turned(carried.upright, roll, carried.skew_seed, 1 + 0.12 * share)
    gap = share * carried.distance
    left = carried.place[0] + carried.rest.shape[1] / 2 + carried.way[0] * gap - sprite.shape[1] / 2
    top = carried.place[1] + carried.rest.shape[0] / 2 + carried.way[1] * gap - sprite.shape[0] / 2
    return sprite, (round(left), round(top))


def _draw_carried(stage: _Stage, sprite: Bgra, place: tuple[int, int], smear_px: float, carried: _Carried) -> None:
    if carried.upright is None:
        return
    shadow_under(stage.picture, sprite, place, 14)
    claim_pixels(stage.owner, sprite, place, stage.event)
    if smear_px < 2:
        laid_over(stage.picture, sprite, *place)
        return
    pad = math.ceil(smear_px)
    wide = np.asarray(cv2.copyMakeBorder(sprite, pad, pad, pad, pad, cv2.BORDER_REPLICATE), np.uint8)
    wide[..., 3] = cv2.copyMakeBorder(sprite[..., 3], pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    wide = smeared(wide, smear_px, math.atan2(carried.way[1], carried.way[0]))
    laid_over(stage.picture, wide, place[0] - pad, place[1] - pad)


def _draw_arm(
    stage: _Stage, carried: _Carried, arm: tuple[Bgra, tuple[float, float]], gap: float
) -> tuple[int, int, int, int] | None:
    """Draw the arm with the palm `gap` px from where it lets go; return the box of what is seen of it."""
    sprite, palm = arm
    height, width = carried.rest.shape[:2]
    reach = 0.34 * (abs(carried.way[0]) * width + abs(carried.way[1]) * height) + gap
    target = (
        carried.place[0] + width / 2 + carried.way[0] * reach,
        carried.place[1] + height / 2 + carried.way[1] * reach,
    )
    turn = -math.atan2(carried.way[0], carried.way[1])
    c, s = math.cos(turn), math.sin(turn)
    matrix = np.array(
        ((c, -s, target[0] - c * palm[0] + s * palm[1]), (s, c, target[1] - s * palm[0] - c * palm[1])), np.float32
    )
    frame_h, frame_w = stage.owner.shape
    layer = np.asarray(cv2.warpAffine(sprite, matrix, (frame_w, frame_h)), np.uint8)
    x, y, w, h = cv2.boundingRect((layer[..., 3] >= SOLID).astype(np.uint8))
    if w == 0:
        return None
    cut = np.ascontiguousarray(layer[y : y + h, x : x + w])
    shadow_under(stage.picture, cut, (x, y), 10)
    laid_over(stage.picture, cut, x, y)
    claim_pixels(stage.owner, cut, (x, y), _HAND)
    return x, y, w, h


def _solid(sprite: Bgra) -> int:
    return int(np.count_nonzero(sprite[..., 3] >= SOLID))


def _seen(lying: list[tuple[SceneObject, int]], owner: NDArray[np.int32]) -> Iterator[SceneObject]:
    """Yield what lies in the basket with the share of it that is seen now."""
    counts = np.bincount((owner + 2).ravel(), minlength=2 + len(lying))
    for thing, pixels in lying:
        number = thing.event + 2
        seen = counts[number] / max(1, pixels) if number < len(counts) else 0.0
        yield SceneObject(thing.event, thing.sku, thing.kind, thing.box, False, round(min(1.0, float(seen)), 3))


class _Sensor:
    """The camera's own faults: uneven light, a slight flicker of the lamps, noise."""

    def __init__(self, seed: int, shape: tuple[int, int]) -> None:
        self.taken = 0
        self._shape = shape
        self._rng = np.random.default_rng([seed, 54])
        y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape)
        self._light = three(np.asarray(1 - 0.16 * (x[None, :] ** 2 + y[:, None] ** 2) / 2, np.float32))
        self._sigma = np.float32(self._rng.uniform(1.2, 2.6))

    def frame(self, scene: Picture) -> Picture:
        """Return the scene as the camera records it now."""
        flicker = 1 + 0.012 * math.sin(2.3 * self.taken) + float(self._rng.normal(0, 0.003))
        self.taken += 1
        lit: NDArray[np.float32] = scene * (self._light * np.float32(flicker))
        lit += grain.noise(self._rng, self._shape) * self._sigma
        return np.asarray(np.clip(lit, 0, 255, out=lit), np.uint8)
