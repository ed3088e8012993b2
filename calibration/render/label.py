"""The print of a pack: one strip that goes all the way round, the front in its middle.

From left to right: half the back, nutrition table, front, story with bar code, the other half of the back. A strip is
a function of the product's looks, flavour and size and of nothing else: equal products print equal strips, siblings
differ in the picture, the colour band and the words, size twins in the size alone (and in the bar code at the side).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from calibration.render import panels, patterns
from calibration.render.assets import picture, tone
from calibration.render.identity import Sku
from calibration.render.layouts import LAYOUTS, Layout, Place
from calibration.render.looks import Rgb, contrast, ink_on
from calibration.render.typeset import Box, Style, set_text

__all__ = ["print_strip"]

_OVERSAMPLE = 1.5  # painted larger, then reduced: PIL draws shapes without soft edges

# Where pictures stand in the art's place: (centre x, centre y, height), as shares of the place.
_ARRANGEMENTS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "single": ((0.5, 0.5, 1.0),),
    "pair": ((0.68, 0.4, 0.72), (0.32, 0.62, 0.76)),
    "trio": ((0.25, 0.62, 0.62), (0.75, 0.62, 0.62), (0.5, 0.4, 0.76)),
    "row": ((0.17, 0.55, 0.5), (0.5, 0.5, 0.62), (0.83, 0.55, 0.5)),
    "scatter": ((0.15, 0.2, 0.36), (0.8, 0.16, 0.4), (0.48, 0.5, 0.56), (0.14, 0.8, 0.4), (0.84, 0.78, 0.42)),
    "peek": ((0.62, 0.6, 1.3),),
}


def print_strip(sku: Sku, size_px: tuple[int, int], front: float) -> NDArray[np.uint8]:
    """Return the RGB strip (H, W, 3) of `size_px` = (W, H); `front` is the front panel's share of the width."""
    width, height = (round(side * _OVERSAMPLE) for side in size_px)
    line, brand = sku.line, sku.brand
    ground = patterns.ground(line.pattern, (width, height), (line.ground, line.second), brand.seed)
    canvas = Image.fromarray(ground)
    left = round(width * (0.5 - front / 2))
    right = width - left
    side = left * 58 // 100
    if side > 24:
        panels.paint_facts(canvas, (left - side, 0, left, height), sku)
        panels.paint_story(canvas, (right, 0, right + side, height), sku, line.ground)
        back = Image.new("RGB", (2 * (left - side), height), line.ground)
        panels.paint_back(back, (0, 0, back.width, height), sku, line.ground)
        canvas.paste(back.crop((back.width // 2, 0, back.width, height)), (0, 0))
        canvas.paste(back.crop((0, 0, back.width // 2, height)), (right + side, 0))
    face = canvas.crop((left, 0, right, height))
    _Front(face, sku).paint()
    canvas.paste(face, (left, 0))
    return np.asarray(canvas.resize(size_px, Image.Resampling.BOX))


class _Front:
    """The front panel in the making."""

    def __init__(self, face: Image.Image, sku: Sku) -> None:
        self.face = face
        self.sku = sku
        self.draw = ImageDraw.Draw(face)
        self.layout: Layout = LAYOUTS[sku.line.layout]
        self.tone: Rgb = tone(sku.pictures[0])

    def paint(self) -> None:
        """Paint everything, back to front."""
        self._backdrop()
        self._flavour_band()
        self._pictures()
        if self.layout.motif is not None:
            self._picture(self.sku.brand.motif, self._box(self.layout.motif))
        self._brand()
        self._words()
        if self.sku.line.seal:
            self._seal()

    def _box(self, place: Place) -> Box:
        left, top, right, bottom = place
        if self.sku.brand.mirrored:
            left, right = 1 - right, 1 - left
        width, height = self.face.size
        return int(left * width), int(top * height), int(right * width), int(bottom * height)

    def _under(self, box: Box) -> Rgb:
        """Return the mean colour that is under a box now."""
        pixels = np.asarray(self.face.crop(box).resize((8, 8), Image.Resampling.BOX), np.float64)
        red, green, blue = pixels.reshape(-1, 3).mean(axis=0)
        return int(red), int(green), int(blue)

    def _backdrop(self) -> None:
        width, height = self.face.size
        left, top, right, bottom = self._box(self.layout.art)
        draw, colour, accent = self.draw, self.sku.line.second, self.sku.line.accent
        if self.layout.backdrop == "disc":
            x, y, r = (left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top) * 0.6
            draw.ellipse((x - r, y - r, x + r, y + r), fill=colour, outline=accent, width=max(2, width // 60))
        elif self.layout.backdrop == "hill":
            draw.ellipse((-width * 0.35, height * 0.62, width * 1.35, height * 1.6), fill=accent)
        elif self.layout.backdrop == "stripe":
            draw.rectangle((width * 0.12, 0, width * 0.88, height), fill=colour, outline=accent, width=width // 40)
        elif self.layout.backdrop == "slope":
            draw.polygon(((0, height * 0.55), (width, height * 0.36), (width, height), (0, height)), fill=colour)
        elif self.layout.backdrop == "frame":
            inset = width * 0.05
            edge = (inset, inset, width - inset, height - inset)
            draw.rectangle(edge, fill=colour, outline=accent, width=max(2, width // 45))
        elif self.layout.backdrop == "side":
            box = self._box((0.0, 0.0, 0.3 if self.layout.brand_turn_deg else 0.5, 1.0))
            draw.rectangle(box, fill=accent)
        elif self.layout.backdrop == "top":
            draw.ellipse((-width * 0.3, -height * 0.5, width * 1.3, height * 0.33), fill=accent)

    def _flavour_band(self) -> None:
        left, top, right, bottom = self._box(self.layout.flavour)
        width = self.face.width
        pad = max(2, width // 60)
        band, draw = self.sku.line.band, self.draw
        if band == "band":
            draw.rectangle((0, top - pad, width, bottom + pad), fill=self.tone)
        elif band == "pill":
            draw.rounded_rectangle((left, top, right, bottom), (bottom - top) // 2, fill=self.tone)
        elif band == "ribbon":
            notch = (bottom - top) // 3
            middle = (top + bottom) // 2
            shape = ((left - notch, top), (right + notch, top), (right, middle), (right + notch, bottom))
            draw.polygon((*shape, (left - notch, bottom), (left, middle)), fill=self.tone)
        elif band == "corner":
            side = width * 0.34
            x = 0 if self.sku.brand.mirrored else width
            draw.polygon(((x, 0), (x, side), (abs(x - side), 0)), fill=self.tone)
            draw.rectangle((left, bottom, right, bottom + pad), fill=self.tone)

    def _pictures(self) -> None:
        left, top, right, bottom = self._box(self.layout.art)
        names = self.sku.pictures
        for place, (x, y, share) in enumerate(_ARRANGEMENTS[self.sku.line.arrangement]):
            size = min((right - left) * 1.1, bottom - top) * share * (0.92 if len(names) > 1 else 1.0)
            cx, cy = left + (right - left) * x, top + (bottom - top) * y
            box = (int(cx - size / 2), int(cy - size / 2), int(cx + size / 2), int(cy + size / 2))
            self._picture(names[place % len(names)], box)
        if self.sku.line.arrangement in {"single", "peek"} and len(names) > 1:
            self._picture(names[1], (left, (top + bottom) // 2, (left + right) // 2, bottom))

    def _picture(self, name: str, box: Box) -> None:
        """Paint a picture as large as it goes into a box, in its middle."""
        art = picture(name)
        scale = min((box[2] - box[0]) / art.width, (box[3] - box[1]) / art.height)
        scaled = art.resize(
            (max(1, int(art.width * scale)), max(1, int(art.height * scale))), Image.Resampling.BILINEAR
        )
        place = ((box[0] + box[2] - scaled.width) // 2, (box[1] + box[3] - scaled.height) // 2)
        self.face.paste(scaled, place, scaled)

    def _plate(self, box: Box) -> None:
        left, top, right, bottom = box
        pad = max(3, (bottom - top) // 7)
        grown = (left - pad, top - pad, right + pad, bottom + pad)
        plate, accent, draw = self.sku.brand.plate, self.sku.line.accent, self.draw
        edge = self.sku.line.second
        if plate == "ellipse":
            draw.ellipse((left - pad * 2, top - pad * 2, right + pad * 2, bottom + pad * 2), accent, edge, pad // 2)
        elif plate == "block":
            draw.rectangle((0, grown[1], self.face.width, grown[3]), fill=accent)
        elif plate == "ribbon":
            draw.rounded_rectangle(grown, pad * 2, fill=accent, outline=edge, width=max(1, pad // 2))
        elif plate == "shield":
            foot = ((left + right) / 2, bottom + pad * 3)
            corners = ((grown[0], grown[1]), (grown[2], grown[1]), (grown[2], bottom), foot, (grown[0], bottom))
            draw.polygon(corners, fill=accent)
        elif plate == "outline":
            draw.rectangle(grown, outline=ink_on(self._under(box), accent), width=max(2, pad // 3))

    def _brand(self) -> None:
        look, layout = self.sku.brand, self.layout
        box = self._box(layout.brand)
        if not layout.brand_turn_deg:
            self._plate(box)
        under = self._under(box)
        ink = ink_on(under, self.sku.line.accent)
        edge = (ink_on(ink) if contrast(ink_on(ink), under) > 1.3 else under) if look.effect == "outline" else None
        shadow = (20, 20, 24) if look.effect == "shadow" and ink != (28, 26, 30) else None
        turn = -layout.brand_turn_deg if look.mirrored else layout.brand_turn_deg
        style = Style(look.typeface, ink, edge, shadow, look.stretch, turn_deg=turn, lines=1)
        set_text(self.face, look.name.upper() if look.upper else look.name, box, style)

    def _words(self) -> None:
        line, layout = self.sku.line, self.layout
        box = self._box(layout.line)
        set_text(self.face, line.name, box, Style(line.typeface, ink_on(self._under(box), line.accent), lines=1))
        box = self._box(layout.flavour)
        plain = line.band in {"plain", "corner"}
        ink = ink_on(self._under(box), self.tone if plain else None)
        inner = (box[0] + 4, box[1] + 3, box[2] - 4, box[3] - 3)
        align = 0.5 if not plain or layout.backdrop != "none" else float(self.sku.brand.mirrored)
        set_text(self.face, self.sku.flavour, inner, Style(line.typeface, ink, align=align))
        box = self._box(layout.size)
        set_text(self.face, self.sku.size, box, Style("print", ink_on(self._under(box)), lines=1))

    def _seal(self) -> None:
        r = min(self.face.size[0] * 0.115, self.face.size[1] * 0.14)
        left, top, right, bottom = self._box(self.layout.art)
        corner = self.sku.line.seal_at
        x = left + r * 0.7 if corner % 2 else right - r * 0.7
        y = top + r * 0.8 if corner < 2 else bottom - r * 0.8
        accent = self.sku.line.accent
        colour = ink_on(accent, self.sku.line.second)
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=colour, outline=accent, width=max(2, int(r / 8)))
        inner = (int(x - r * 0.75), int(y - r * 0.4), int(x + r * 0.75), int(y + r * 0.4))
        set_text(self.face, self.sku.line.seal, inner, Style("redhat", ink_on(colour, accent), lines=1))
