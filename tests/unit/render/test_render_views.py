"""Photos of single products and of no product."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration.render.backgrounds import BACKGROUNDS, background
from calibration.render.forms import FORMS
from calibration.render.identity import Sku, catalogue
from calibration.render.severity import SEVERITIES
from calibration.render.solids import Pose, pack_picture
from calibration.render.strays import stray_view
from calibration.render.views import laid_over, turned_sprite, view
from edge.errors import InputError


@pytest.fixture(scope="module")
def of_each_form() -> dict[str, Sku]:
    found: dict[str, Sku] = {}
    for sku in catalogue(8, 900):
        found.setdefault(sku.line.form, sku)
    return found


def test_the_catalogue_has_every_form(of_each_form: dict[str, Sku]) -> None:
    assert set(of_each_form) == set(FORMS)


@pytest.mark.parametrize("severity", sorted(SEVERITIES))
def test_a_view_is_a_function_of_its_arguments(severity: str) -> None:
    sku = catalogue(1, 3)[2]
    one, again, other = (view(sku, seed=seed, severity=severity) for seed in (5, 5, 6))
    assert one.dtype == np.uint8
    assert max(one.shape[:2]) == 224
    assert np.array_equal(one, again)
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_the_number_of_threads_changes_nothing() -> None:
    sku = catalogue(1, 1)[0]
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = view(sku, seed=3)
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(one, view(sku, seed=3))


def test_different_products_are_photographed_under_different_conditions() -> None:
    skus = catalogue(1, 6)
    assert len({view(sku, seed=3).shape for sku in skus}) > 1


def test_an_unknown_severity_is_refused() -> None:
    with pytest.raises(InputError, match="unknown severity 'mild'; known are studio"):
        view(catalogue(1, 1)[0], seed=1, severity="mild")


@pytest.mark.parametrize("yaw_deg", [0, 40, 90, -130, 180])
@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_can_be_seen_from_every_side(form: str, yaw_deg: int, of_each_form: dict[str, Sku]) -> None:
    sprite = pack_picture(of_each_form[form], 96, Pose(yaw_deg=yaw_deg, tilt_deg=20))
    cover = sprite[..., 3]
    assert 80 < sprite.shape[0] < 200
    assert (cover > 200).mean() > 0.35
    # Cut tight: every edge of the picture touches the pack.
    assert all(edge.max() > 8 for edge in (cover[0], cover[-1], cover[:, 0], cover[:, -1]))


def test_turning_a_can_shows_another_side(of_each_form: dict[str, Sku]) -> None:
    can = of_each_form["can-regular"]
    front, back = (pack_picture(can, 160, Pose(yaw_deg=yaw)).astype(int) for yaw in (0, 180))
    assert front.shape == back.shape
    assert np.abs(front - back)[..., :3].mean() > 10


def test_severity_orders_how_far_views_are_from_the_studio() -> None:
    """Distance of small grey thumbnails: a coarse but honest order of difficulty."""
    skus = catalogue(2, 12)

    def thumbnail(sku: Sku, severity: str, seed: int) -> np.ndarray:
        grey = cv2.cvtColor(view(sku, seed=seed, severity=severity, size_px=128), cv2.COLOR_BGR2GRAY)
        small = cv2.resize(grey, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float64)
        return (small - small.mean()) / (small.std() + 1e-6)

    def likeness(severity: str) -> float:
        pairs = [(thumbnail(sku, "studio", 1), thumbnail(sku, severity, seed)) for sku in skus for seed in (2, 3)]
        return float(np.mean([(one * other).mean() for one, other in pairs]))

    assert likeness("studio") > likeness("easy") > likeness("camera") > likeness("hard")


@pytest.mark.parametrize("number", range(8))
def test_stray_views_are_pictures_too(number: int) -> None:
    picture = stray_view(3, number)
    assert picture.dtype == np.uint8
    assert max(picture.shape[:2]) == 224
    assert np.array_equal(picture, stray_view(3, number))


@pytest.mark.parametrize("name", sorted(BACKGROUNDS))
@pytest.mark.parametrize("shape", [(224, 90), (16, 16), (64, 300)])
def test_backgrounds_fill_any_shape(name: str, shape: tuple[int, int]) -> None:
    picture = background(name, np.random.default_rng(1), shape)
    assert picture.shape == (*shape, 3)
    assert picture.dtype == np.uint8


def test_a_sprite_half_outside_is_cut() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    sprite = np.full((10, 10, 4), 255, np.uint8)
    laid_over(picture, sprite, -5, 15)
    laid_over(picture, sprite, 40, 40)
    assert (picture > 0).any(axis=2).sum() == 25
    assert (picture[15:, :5] == 255).all()


def test_a_turned_sprite_is_tight() -> None:
    sprite = np.full((30, 60, 4), 255, np.uint8)
    turned = turned_sprite(sprite, 90.0, 0.0, np.random.default_rng(0))
    assert abs(turned.shape[0] - 60) <= 2
    assert abs(turned.shape[1] - 30) <= 2
