"""The print of a pack: who may differ from whom, and where."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.render import assets, words
from calibration.render.identity import Sku, catalogue
from calibration.render.label import print_strip
from calibration.render.layouts import LAYOUTS
from calibration.render.looks import PATTERNS
from calibration.render.panels import bars
from calibration.render.patterns import ground
from edge.errors import InputError

_STRIP = (480, 288)
_FRONT = 0.4


def _front(sku: Sku) -> NDArray[np.uint8]:
    width = _STRIP[0]
    return print_strip(sku, _STRIP, _FRONT)[:, round(width * (0.5 - _FRONT / 2)) : round(width * (0.5 + _FRONT / 2))]


def _inside(sku: Sku, name: str, grown: float = 0.03) -> tuple[slice, slice]:
    left, top, right, bottom = getattr(LAYOUTS[sku.line.layout], name)
    if sku.brand.mirrored:
        left, right = 1 - right, 1 - left
    height, width = _STRIP[1], round(_STRIP[0] * _FRONT)
    return (
        slice(max(0, int((top - grown) * height)), int((bottom + grown) * height) + 1),
        slice(max(0, int((left - grown) * width)), int((right + grown) * width) + 1),
    )


@pytest.fixture(scope="module")
def shop() -> tuple[Sku, ...]:
    return catalogue(1, 300)


def test_equal_products_print_equal_strips(shop: tuple[Sku, ...]) -> None:
    again = catalogue(1, 5)[4]
    assert np.array_equal(print_strip(shop[4], _STRIP, _FRONT), print_strip(again, _STRIP, _FRONT))


def test_size_twins_differ_on_the_front_in_the_size_alone(shop: tuple[Sku, ...]) -> None:
    small = {(sku.family, sku.flavour): sku for sku in shop if not sku.big}
    pairs = [(small[sku.family, sku.flavour], sku) for sku in shop if sku.big][:4]
    assert pairs
    for one, other in pairs:
        differs = (_front(one) != _front(other)).any(axis=2)
        assert differs.any()
        differs[_inside(one, "size")] = False
        assert not differs.any(), one.name


def test_siblings_share_everything_but_picture_band_and_word(shop: tuple[Sku, ...]) -> None:
    families: dict[str, list[Sku]] = {}
    for sku in shop:
        if sku.line.band == "pill" and not sku.big:
            families.setdefault(sku.family, []).append(sku)
    pairs = [members[:2] for members in families.values() if len(members) > 1][:4]
    assert pairs
    for one, other in pairs:
        differs = (_front(one) != _front(other)).any(axis=2)
        assert 0.01 < differs.mean() < 0.75, one.name
        differs[_inside(one, "art", 0.16)] = False
        differs[_inside(one, "flavour")] = False
        # Words are set in the ink that reads best on what is under them, so those near the picture may change colour.
        for words_at in ("brand", "line", "size"):
            differs[_inside(one, words_at)] = False
        assert differs.mean() < 0.01, one.name


def test_ids_ranks_and_status_are_not_printed(shop: tuple[Sku, ...]) -> None:
    other = replace(shop[0], sku="sku-999999", status="discontinued", rank=0.5)
    assert np.array_equal(_front(shop[0]), _front(other))


def test_bars_are_those_of_the_standard() -> None:
    # 5901234123457 is the worked example of EAN-13.
    expected = "10100010110100111011001100100110111101001110101010110011011011001000010101110010011101000100101"
    assert "".join("1" if dark else "0" for dark in bars("5901234123457")) == expected
    assert len(bars("2900073687871")) == 95


def test_every_picture_that_a_table_names_is_there() -> None:
    names = {picture for kind in words.KINDS for _, picture in kind.flavours} | set(words.MOTIFS) | set(words.OBJECTS)
    for name in sorted(names):
        assert max(assets.picture(name).size) <= 128
        assert all(0 <= part <= 255 for part in assets.tone(name))


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_every_pattern_stays_between_its_two_colours(name: str) -> None:
    picture = ground(name, (200, 120), ((200, 40, 10), (20, 240, 10)), 5)
    assert picture.shape == (120, 200, 3)
    assert picture[..., 0].min() >= 20
    assert picture[..., 1].max() <= 240
    assert (picture[..., 2] == 10).all()


def test_a_missing_font_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> None:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "files", missing)
    assets.font.cache_clear()
    assets._file_of.cache_clear()
    with pytest.raises(InputError, match=r"font-amatic-sc is not installed; run: pip install"):
        assets.font("amatic", 20)
