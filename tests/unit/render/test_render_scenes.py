"""Clips, carts and shelves: the truth is inside the picture and on the pack."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.render.basket import Basket, empty_basket, visible_box
from calibration.render.cart import CartOrder, cart_picture
from calibration.render.casting import cast
from calibration.render.clip import ClipOrder, FrameTruth, cart_clip, clip_events, clip_length
from calibration.render.identity import catalogue
from calibration.render.recording import write_clip, write_shelves
from calibration.render.shelf import ShelfOrder, shelf_picture
from edge.errors import InputError, PublishError

_ORDER = ClipOrder(seed=3, catalogue_skus=20, products=3, unknown=4)


@pytest.fixture(scope="module")
def film() -> tuple[list[np.ndarray], list[FrameTruth]]:
    frames, truths = zip(*cart_clip(_ORDER), strict=True)
    return list(frames), list(truths)


def test_a_clip_has_the_frames_it_announces(film: tuple[list[np.ndarray], list[FrameTruth]]) -> None:
    frames, truths = film
    assert len(frames) == clip_length(_ORDER) == clip_events(_ORDER)[-1].last_frame + 1
    assert [truth.frame for truth in truths] == list(range(len(frames)))
    assert all(frame.shape == (480, 640, 3) and frame.dtype == np.uint8 for frame in frames)


def test_every_kind_of_event_is_in_the_clip() -> None:
    events = clip_events(_ORDER)
    assert sorted(event.kind for event in events) == sorted(["enrolled"] * 3 + ["sibling", "new_brand", "hand", "far"])
    known = {sku.sku for sku in catalogue(3, 20)}
    for event, later in itertools.pairwise(events):
        assert (event.sku in known) == (event.kind == "enrolled")
        assert later.first_frame == event.last_frame + 1
    assert events[0].first_frame == 15


def test_boxes_are_inside_the_frame_and_shares_are_shares(film: tuple[list[np.ndarray], list[FrameTruth]]) -> None:
    for truth in film[1]:
        for thing in truth.objects:
            x, y, w, h = thing.box
            assert x >= 0
            assert y >= 0
            assert w > 0
            assert h > 0
            assert x + w <= 640
            assert y + h <= 480
            assert 0.0 <= thing.visible <= 1.0


def test_the_box_covers_what_changed_when_a_thing_was_laid_down(
    film: tuple[list[np.ndarray], list[FrameTruth]],
) -> None:
    frames, truths = film
    for event in clip_events(_ORDER):
        before = np.mean(frames[event.first_frame - 4 : event.first_frame], axis=0)
        after = np.mean(frames[event.last_frame - 3 : event.last_frame + 1], axis=0)
        changed = np.abs(after - before).max(axis=2) > 40
        if event.kind == "hand":
            assert changed.mean() < 0.001
            continue
        thing = next(thing for thing in truths[event.last_frame].objects if thing.event == event.event)
        x, y, w, h = thing.box
        assert not thing.moving
        assert changed[y : y + h, x : x + w].mean() > 0.3
        outside = changed.copy()
        outside[max(0, y - 16) : y + h + 16, max(0, x - 16) : x + w + 16] = False
        assert outside.mean() < 0.001


def test_things_move_then_rest_and_stay(film: tuple[list[np.ndarray], list[FrameTruth]]) -> None:
    truths = film[1]
    for event in clip_events(_ORDER):
        if event.kind == "hand":
            continue
        shown = [(truth.frame, thing) for truth in truths for thing in truth.objects if thing.event == event.event]
        moving = [frame for frame, thing in shown if thing.moving]
        resting = [thing for _, thing in shown if not thing.moving]
        assert 5 <= len(moving) <= 14
        assert max(moving) < event.last_frame - 20
        assert len({thing.box for thing in resting}) == 1
        assert shown[-1][0] == truths[-1].frame


def test_a_frame_limit_changes_nothing_before_it(film: tuple[list[np.ndarray], list[FrameTruth]]) -> None:
    order = ClipOrder(seed=3, catalogue_skus=20, products=3, unknown=4, frames=40)
    cut = list(cart_clip(order))
    assert len(cut) == 40
    assert all(np.array_equal(one, film[0][number]) for number, (one, _) in enumerate(cut))
    assert clip_events(order)[-1].last_frame == 39


def test_the_clip_begins_with_an_empty_basket(film: tuple[list[np.ndarray], list[FrameTruth]]) -> None:
    assert all(not truth.objects for truth in film[1][:15])
    still = np.abs(film[0][0].astype(int) - film[0][14]).mean()
    assert 0.2 < still < 8.0


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_written_clip_reads_back(tmp_path: Path, suffix: str) -> None:
    order = ClipOrder(seed=3, catalogue_skus=5, products=1, unknown=0, frames=24)
    video, truth = tmp_path / f"a{suffix}", tmp_path / "a.json"
    assert list(write_clip(order, video, truth))[-1] == (24, 24)
    found = json.loads(truth.read_text())
    assert (found["fps"], found["width"], found["height"]) == (15, 640, 480)
    assert [frame["frame"] for frame in found["frames"]] == list(range(24))
    assert set(found["frames"][20]["objects"][0]) == {"event", "sku", "kind", "box", "moving", "visible"}
    assert set(found["events"][0]) == {"event", "sku", "kind", "first_frame", "last_frame"}
    capture = cv2.VideoCapture(str(video))
    read = 0
    for picture, _ in cart_clip(order):
        ok, decoded = capture.read()
        assert ok
        assert cv2.PSNR(decoded, picture) > 25
        read += 1
    assert not capture.read()[0]
    assert read == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([video.name, truth.name])


def test_equal_orders_write_equal_videos(tmp_path: Path) -> None:
    order = ClipOrder(seed=3, catalogue_skus=5, products=1, unknown=0, frames=20)
    for name in ("a", "b"):
        list(write_clip(order, tmp_path / f"{name}.avi", tmp_path / f"{name}.json"))
    assert (tmp_path / "a.avi").read_bytes() == (tmp_path / "b.avi").read_bytes()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_full_disk_ends_in_one_clear_error(small_disk: Path) -> None:
    order = ClipOrder(seed=3, catalogue_skus=5, products=1, unknown=0)
    with pytest.raises(PublishError, match="free space"):
        list(write_clip(order, small_disk / "a.avi", small_disk / "a.json"))
    assert not (small_disk / "a.avi").exists()


@pytest.mark.parametrize("number", range(3))
def test_carts_are_inside_their_frame(number: int) -> None:
    order = CartOrder(seed=2, catalogue_skus=10, products=3, unknown=1)
    picture, things = cart_picture(order, number)
    again, _ = cart_picture(order, number)
    assert np.array_equal(picture, again)
    assert len(things) == 4
    assert [thing.kind for thing in things].count("enrolled") == 3
    for thing in things:
        x, y, w, h = thing.box
        assert 0 <= x < x + w <= 640
        assert 0 <= y < y + h <= 480
        assert 0 <= thing.visible <= 1
    assert things[-1].visible > 0.97


def test_shelf_slots_are_usable_and_hold_their_packs() -> None:
    picture, truth = shelf_picture(ShelfOrder(seed=2, catalogue_skus=12, unknown=2), 0)
    assert picture.shape == (720, 1280, 3)
    assert len({slot.id for slot in truth.slots}) == len(truth.slots) > 20
    assert sum(thing.kind != "enrolled" for thing in truth.objects) == 2
    for slot in truth.slots:
        columns, rows = zip(*slot.polygon, strict=True)
        assert 0 <= min(columns) < max(columns) < 1280
        assert 0 <= min(rows) < max(rows) < 720
    for thing in truth.objects:
        x, y, w, h = thing.box
        assert 0 <= x < x + w <= 1280
        assert 0 <= y < y + h <= 720
        columns, _ = zip(*truth.slots[thing.event].polygon, strict=True)
        assert min(columns) - 8 <= x + w / 2 <= max(columns) + 8
        inside = picture[y : y + h, x : x + w].astype(float).std()
        assert inside > 12


def test_shelves_are_written_with_their_truth(tmp_path: Path) -> None:
    assert list(write_shelves(ShelfOrder(seed=2, catalogue_skus=3), 1, tmp_path)) == [(1, 1)]
    scene = json.loads((tmp_path / "truth.json").read_text())["scenes"][0]
    assert cv2.imread(str(tmp_path / scene["image"])).shape == (scene["height"], scene["width"], 3)
    assert {thing["slot"] for thing in scene["objects"]} <= {slot["id"] for slot in scene["slots"]}


def test_products_do_not_repeat_before_all_have_appeared() -> None:
    roles = cast(1, 6, 12, 0)
    ids = [role.sku_id for role in roles]
    assert sorted(ids.count(name) for name in set(ids)) == [2] * 6


def test_a_scene_of_too_many_things_is_refused() -> None:
    with pytest.raises(InputError, match="5000 at most"):
        cast(1, 6, 5_001, 0)


def test_a_thing_outside_the_frame_has_no_box() -> None:
    sprite = np.full((10, 10, 4), 255, np.uint8)
    assert visible_box(sprite, (-10, 0), (48, 64)) is None
    assert visible_box(sprite, (60, 44), (48, 64)) == (60, 44, 4, 4)


def test_a_sprite_larger_than_the_basket_still_finds_a_place() -> None:
    basket = Basket(empty_basket(np.random.default_rng(1), (60, 80)))
    sprite = np.full((90, 100, 4), 255, np.uint8)
    basket.lay(sprite, basket.spot(sprite, np.random.default_rng(1)), 7)
    assert (basket.owner == 7).mean() > 0.6
