"""How brands and lines look: fonts, palettes, patterns, layouts, motifs, seals. Drawn from a generator, not painted.

A look is plain data that `label` paints. Colours are RGB tuples. Everything that could tell two flavours of a line
apart is left out on purpose: only the flavour's picture, band colour and word may do that.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from calibration.render import words

__all__ = ["BrandLook", "LineLook", "Rgb", "brand_look", "contrast", "ink_on", "line_look", "luminance"]

Rgb = tuple[int, int, int]

TYPEFACES = (
    "fredoka", "lato", "lato-italic", "manrope", "redhat", "redhat-italic", "serif", "serif-italic", "caladea",
    "caladea-italic", "amatic", "intuitive",
)  # fmt: skip
PATTERNS = (
    "plain", "fade", "diagonal", "upright", "level", "dots", "gingham", "rays", "waves", "chevrons", "rings", "kraft",
    "blobs", "halves",
)  # fmt: skip
LAYOUTS = (
    "crest", "banner", "pillar", "arch", "slant", "classic", "ground", "tower", "seal", "split", "modern", "mascot",
)  # fmt: skip
PLATES = ("none", "none", "ellipse", "block", "ribbon", "shield", "outline")
EFFECTS = ("none", "none", "outline", "shadow")
ARRANGEMENTS = ("single", "pair", "trio", "row", "scatter", "peek")


@dataclass(frozen=True, slots=True)
class BrandLook:
    """The look that everything of one brand shares."""

    name: str
    typeface: str
    stretch: float  # width of the letters, 1 = as drawn
    upper: bool
    effect: str
    ground: Rgb
    second: Rgb
    accent: Rgb
    pattern: str
    layout: str
    mirrored: bool
    plate: str
    motif: str
    kind: int  # place in words.KINDS
    form: str
    seed: int  # of the pattern's details


@dataclass(frozen=True, slots=True)
class LineLook:
    """What a line changes in its brand's look."""

    name: str
    typeface: str
    ground: Rgb
    second: Rgb
    accent: Rgb
    pattern: str
    layout: str
    arrangement: str
    seal: str  # "" for none
    seal_at: int  # corner, 0..3
    band: str  # shape of the flavour's colour band
    kind: int
    form: str
    sizes: tuple[str, str]


def brand_look(rng: np.random.Generator, name: str) -> BrandLook:
    """Draw the look of a brand."""
    ground, second, accent = _palette(rng)
    kind = int(rng.integers(len(words.KINDS)))
    forms = words.KINDS[kind].forms
    return BrandLook(
        name=name,
        typeface=_one(rng, TYPEFACES),
        stretch=round(float(rng.uniform(0.78, 1.15)), 3),
        upper=bool(rng.random() < 0.45),
        effect=_one(rng, EFFECTS),
        ground=ground,
        second=second,
        accent=accent,
        pattern=_one(rng, PATTERNS),
        layout=_one(rng, LAYOUTS),
        mirrored=bool(rng.random() < 0.4),
        plate=_one(rng, PLATES),
        motif=_one(rng, words.MOTIFS),
        kind=kind,
        form=forms[int(rng.choice(len(forms), p=_first_is_likely(len(forms))))],
        seed=int(rng.integers(2**31)),
    )


def line_look(rng: np.random.Generator, brand: BrandLook, name: str) -> LineLook:
    """Draw what a line changes: always its accent, often the ground, sometimes pattern, layout or the goods."""
    kind = brand.kind if rng.random() < 0.8 else int(rng.integers(len(words.KINDS)))
    forms = words.KINDS[kind].forms
    form = brand.form if brand.form in forms and rng.random() < 0.7 else _one(rng, forms)
    ground, second, accent = brand.ground, brand.second, _turned(brand.accent, float(rng.uniform(-0.2, 0.2)))
    if rng.random() < 0.35:
        ground, second = second, ground
    elif rng.random() < 0.4:
        ground = _turned(ground, float(rng.uniform(-0.12, 0.12)))
    sizes = words.SIZES[form.split("-")[0], words.KINDS[kind].measure]
    return LineLook(
        name=name,
        typeface=_one(rng, TYPEFACES),
        ground=ground,
        second=second,
        accent=accent,
        pattern=brand.pattern if rng.random() < 0.75 else _one(rng, PATTERNS),
        layout=brand.layout if rng.random() < 0.75 else _one(rng, LAYOUTS),
        arrangement=_one(rng, ARRANGEMENTS),
        seal=_one(rng, words.SEALS) if rng.random() < 0.45 else "",
        seal_at=int(rng.integers(4)),
        band=_one(rng, ("band", "pill", "ribbon", "corner", "plain")),
        kind=kind,
        form=form,
        sizes=sizes[int(rng.integers(len(sizes)))],
    )


def luminance(colour: Rgb) -> float:
    """Return the relative luminance of a colour, 0 black to 1 white (WCAG 2, gamma taken as 2.2)."""
    red, green, blue = (float((value / 255.0) ** 2.2) for value in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the WCAG 2 contrast ratio of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink_on(ground: Rgb, wished: Rgb | None = None) -> Rgb:
    """Return `wished` where it can be read on `ground`, else near-white or near-black, whichever reads better."""
    if wished is not None and contrast(wished, ground) >= 3.0:
        return wished
    white, black = (252, 252, 248), (28, 26, 30)
    return white if contrast(white, ground) >= contrast(black, ground) else black


def _palette(rng: np.random.Generator) -> tuple[Rgb, Rgb, Rgb]:
    """Return ground, second and accent of one of five moods."""
    hue = float(rng.random())
    other = hue + float(rng.choice((0.0, 0.08, -0.08, 0.33, 0.5, 0.58)))
    mood = _one(rng, ("vivid", "white", "dark", "pastel", "earth"))
    jitter = float(rng.uniform(-0.06, 0.06))
    if mood == "vivid":
        return _rgb(hue, 0.8, 0.82 + jitter), _rgb(other, 0.75, 0.95), _rgb(hue + 0.5, 0.85, 0.9)
    if mood == "white":
        return (248, 247, 243), _rgb(hue, 0.25, 0.95), _rgb(other, 0.85, 0.7 + jitter)
    if mood == "dark":
        return _rgb(hue, 0.6, 0.22 + jitter), _rgb(hue, 0.5, 0.4), _rgb(other, 0.5, 0.92)
    if mood == "pastel":
        return _rgb(hue, 0.32, 0.94 + jitter), _rgb(other, 0.2, 0.98), _rgb(hue + 0.04, 0.75, 0.6)
    return _rgb(0.09, 0.35, 0.78 + jitter), _rgb(0.1, 0.2, 0.93), _rgb(other, 0.7, 0.42)


def _rgb(hue: float, saturation: float, value: float) -> Rgb:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, min(value, 1.0))
    return round(red * 255), round(green * 255), round(blue * 255)


def _turned(colour: Rgb, turn: float) -> Rgb:
    """Return the colour with its hue turned by `turn` (1 = all the way round)."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(part / 255.0 for part in colour))
    return _rgb(hue + turn, saturation, value)


def _one(rng: np.random.Generator, choices: tuple[str, ...] | list[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _first_is_likely(count: int) -> list[float]:
    weights = [1.0 / (1 + place) for place in range(count)]
    return [weight / sum(weights) for weight in weights]
