"""Set a few words into a box: the largest size that fits, on one line or two, optionally turned."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

from calibration.render.assets import font
from calibration.render.looks import Rgb

__all__ = ["Box", "Style", "set_text"]

Box = tuple[int, int, int, int]  # left, top, right, bottom, px
_TRIAL_PX = 100
_LEADING = 1.08  # distance of two lines in heights of one


@dataclass(frozen=True, slots=True)
class Style:
    """How words are set."""

    typeface: str
    ink: Rgb
    edge: Rgb | None = None  # colour of an outline round the letters
    shadow: Rgb | None = None
    stretch: float = 1.0
    align: float = 0.5  # 0 left, 1 right
    turn_deg: float = 0.0
    most_px: int = 1000  # height of the letters at most
    lines: int = 2


def set_text(canvas: Image.Image, words: str, box: Box, style: Style) -> None:
    """Paint `words` into `box` of an RGB canvas, as large as they go; nothing where they would be under 4 px."""
    width, height = box[2] - box[0], box[3] - box[1]
    if style.turn_deg in {90.0, -90.0}:
        width, height = height, width
    lines, size = _best_lines(words, width, height, style)
    if size < 4:
        return
    mask, edge = _masks(lines, size, style)
    centre_x = box[0] + (box[2] - box[0]) * 0.5
    if not style.turn_deg:
        centre_x += (box[2] - box[0] - mask.width) * (style.align - 0.5)
    centre_y = (box[1] + box[3]) / 2
    layers = [(style.shadow, mask, max(1, size // 14)), (style.edge, edge, 0), (style.ink, mask, 0)]
    for colour, layer, offset in layers:
        if colour is None:
            continue
        turned = layer.rotate(style.turn_deg, Image.Resampling.BICUBIC, expand=True) if style.turn_deg else layer
        place = (round(centre_x - turned.width / 2) + offset, round(centre_y - turned.height / 2) + offset)
        canvas.paste(colour, place, turned)


def _best_lines(words: str, width: int, height: int, style: Style) -> tuple[list[str], int]:
    choices = [[words]]
    parts = words.split(" ")
    if style.lines > 1 and len(parts) > 1:
        cuts = range(1, len(parts))
        cut = min(cuts, key=lambda at: abs(len(" ".join(parts[:at])) - len(" ".join(parts[at:]))))
        choices.append([" ".join(parts[:cut]), " ".join(parts[cut:])])
    sized = [(lines, _size_for(lines, width, height, style)) for lines in choices]
    return max(sized, key=lambda pair: pair[1])


def _size_for(lines: list[str], width: int, height: int, style: Style) -> int:
    face = font(style.typeface, _TRIAL_PX)
    boxes = [face.getbbox(line) for line in lines]
    widest = max(box[2] - box[0] for box in boxes) * style.stretch + 0.04 * _TRIAL_PX
    tallest = max(box[3] for box in boxes) - min(box[1] for box in boxes)
    stacked = tallest * (1 + _LEADING * (len(lines) - 1))
    scale = min(width / widest, height / stacked, style.most_px / tallest)
    return int(scale * _TRIAL_PX)


def _masks(lines: list[str], size: int, style: Style) -> tuple[Image.Image, Image.Image]:
    """Return the coverage of the letters, and of the letters with their outline, in images of one size."""
    face = font(style.typeface, size)
    stroke = max(1, size // 11) if style.edge is not None else 0
    boxes = [face.getbbox(line) for line in lines]
    tallest = max(box[3] for box in boxes) - min(box[1] for box in boxes)
    width = max(int(box[2] - box[0]) for box in boxes) + 2 * stroke + 2
    height = int(tallest * (1 + _LEADING * (len(lines) - 1))) + 2 * stroke + 2
    masks = [Image.new("L", (width, height)) for _ in range(2 if stroke else 1)]
    for mask, grown in zip(masks, (0, stroke), strict=False):
        draw = ImageDraw.Draw(mask)
        for place, (line, box) in enumerate(zip(lines, boxes, strict=True)):
            left = stroke + 1 + (width - 2 * stroke - 2 - (box[2] - box[0])) * style.align - box[0]
            top = stroke + 1 + place * tallest * _LEADING - min(b[1] for b in boxes)
            draw.text((left, top), line, fill=255, font=face, stroke_width=grown)
    if style.stretch != 1.0:
        masks = [mask.resize((max(1, round(width * style.stretch)), height)) for mask in masks]
    return masks[0], masks[-1]
