"""The sides and the back of a pack: nutrition table, small print, and a true EAN-13 bar code."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from calibration.render.assets import font, picture
from calibration.render.identity import Sku
from calibration.render.looks import Rgb, ink_on
from calibration.render.typeset import Box, Style, set_text

__all__ = ["bars", "paint_back", "paint_facts", "paint_story"]

_ROWS = ("Energy", "Fat", "Carbs", "Sugars", "Fibre", "Protein", "Salt")
_PAPER: Rgb = (250, 250, 247)
_INK: Rgb = (30, 30, 34)
# GS1 General Specifications 5.2.1: the seven modules of each left-hand digit of odd parity, and for each first digit
# the parity of the six left-hand digits. Right-hand digits are the complement, even parity is that mirrored.
_ODD = ("0001101", "0011001", "0010011", "0111101", "0100011", "0110001", "0101111", "0111011", "0110111", "0001011")
_PARITY = ("OOOOOO", "OOEOEE", "OOEEOE", "OOEEEO", "OEOOEE", "OEEOOE", "OEEEOO", "OEOEOE", "OEOEEO", "OEEOEO")


def bars(barcode: str) -> NDArray[np.bool_]:
    """Return the 95 modules of an EAN-13 of 13 digits, True = dark."""
    digits = [int(digit) for digit in barcode]
    swap = str.maketrans("01", "10")
    left = [
        _ODD[digit] if parity == "O" else _ODD[digit].translate(swap)[::-1]
        for digit, parity in zip(digits[1:7], _PARITY[digits[0]], strict=True)
    ]
    right = [_ODD[digit].translate(swap) for digit in digits[7:]]
    modules = "101" + "".join(left) + "01010" + "".join(right) + "101"
    return np.array([module == "1" for module in modules])


def paint_facts(canvas: Image.Image, box: Box, sku: Sku) -> None:
    """Paint a nutrition table; siblings differ in the numbers, size twins do not."""
    draw = ImageDraw.Draw(canvas)
    left, top, right, bottom = _inset(box, 0.08)
    draw.rectangle((left, top, right, bottom), fill=_PAPER, outline=_INK)
    row = (bottom - top) / (len(_ROWS) + 2)
    heading = (left + 3, top + 1, right - 3, int(top + row * 1.4))
    set_text(canvas, "NUTRITION per 100", heading, Style("print", _INK, align=0.0, lines=1))
    face = font("print", max(6, min(int(row * 0.7), (right - left) // 9)))
    rng = np.random.default_rng([zlib.crc32(f"{sku.family} {sku.flavour}".encode()), 3])
    for place, label in enumerate(_ROWS):
        upper = int(top + row * (place + 1.5))
        value = f"{rng.uniform(0.1, 60):.1f} g" if place else f"{rng.integers(20, 600)} kcal"
        draw.line((left, upper, right, upper), fill=(150, 150, 150))
        draw.text((left + 3, upper + row / 2), label, fill=_INK, font=face, anchor="lm")
        draw.text((right - 3, upper + row / 2), value, fill=_INK, font=face, anchor="rm")


def paint_story(canvas: Image.Image, box: Box, sku: Sku, ground: Rgb) -> None:
    """Paint brand, flavour, lines of small print and the bar code."""
    left, top, right, bottom = _inset(box, 0.1)
    height = bottom - top
    ink = ink_on(ground)
    set_text(canvas, sku.brand.name, (left, top, right, top + height // 7), Style(sku.brand.typeface, ink, lines=1))
    second = (left, top + height // 6, right, top + height * 2 // 7)
    set_text(canvas, f"{sku.line.name} {sku.flavour}", second, Style("print", ink))
    _paint_print(canvas, (left, top + height * 3 // 9, right, top + height * 5 // 9), ink)
    _paint_bars(canvas, (left, top + height * 6 // 10, right, bottom), sku)


def paint_back(canvas: Image.Image, box: Box, sku: Sku, ground: Rgb) -> None:
    """Paint the back: brand, motif and small print."""
    left, top, right, bottom = _inset(box, 0.1)
    height = bottom - top
    ink = ink_on(ground)
    set_text(canvas, sku.brand.name, (left, top, right, top + height // 6), Style(sku.brand.typeface, ink, lines=1))
    side = max(8, min(right - left, height // 3))
    motif = picture(sku.brand.motif)
    motif = motif.resize((max(1, side * motif.width // motif.height), side))
    canvas.paste(motif, ((left + right - motif.width) // 2, top + height // 5), motif)
    _paint_print(canvas, (left, top + height * 6 // 10, right, bottom), ink)


def _paint_print(canvas: Image.Image, box: Box, ink: Rgb) -> None:
    """Paint lines of print too small to read, as strokes of the lengths of words."""
    draw = ImageDraw.Draw(canvas)
    rng = np.random.default_rng(17)
    left, top, right, bottom = box
    for line in range(top, bottom - 2, 7):
        x = float(left)
        while x < right - 8:
            word = float(rng.uniform(6, 26))
            draw.line((x, line, min(x + word, right), line), fill=ink, width=2)
            x += word + 5


def _paint_bars(canvas: Image.Image, box: Box, sku: Sku) -> None:
    draw = ImageDraw.Draw(canvas)
    left, top, right, bottom = box
    draw.rectangle(box, fill=_PAPER)
    foot = bottom - max(6, (bottom - top) // 6)
    modules = bars(sku.barcode)
    margin = (right - left) * 0.08
    pitch = (right - left - 2 * margin) / len(modules)
    for place in np.flatnonzero(modules):
        x = left + margin + place * pitch
        draw.rectangle((x, top + 4, x + pitch - 0.4, foot), fill=_INK)
    set_text(canvas, sku.barcode, (left + 4, foot, right - 4, bottom), Style("print", _INK, lines=1))


def _inset(box: Box, share: float) -> Box:
    left, top, right, bottom = box
    dx, dy = int((right - left) * share), int((bottom - top) * share)
    return left + dx, top + dy, right - dx, bottom - dy
