"""The forms that packs come in: silhouette, cross-section and what each height of the body is made of.

A form is a solid of revolution (`solid="turned"`, its cross-section an ellipse of axes 1 : `depth`) or a cuboid
(`solid="cuboid"`, `depth` = depth / width). Heights run from 0 (top) to 1 (bottom); radii are fractions of the widest.
The container of a form is the part of its name before the dash. How a form is drawn is the business of `solids`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FORMS", "Form"]

# (from height, to height, material); a material is "label", "cap", "content", "steel", "body" or "lid".
Zones = tuple[tuple[float, float, str], ...]
# (height, radius), heights ascending from 0 to 1
Profile = tuple[tuple[float, float], ...]

_STRAIGHT: Profile = ((0.0, 1.0), (1.0, 1.0))
_PRINTED: Zones = ((0.0, 1.0, "label"),)


@dataclass(frozen=True, slots=True)
class Form:
    """One form of pack."""

    solid: str
    aspect: float  # greatest width / height
    depth: float
    profile: Profile = _STRAIGHT
    zones: Zones = _PRINTED
    front: float = 0.37  # share of the way round that the front panel takes; cuboids work it out from `depth`
    tall: float = field(default=1.0)  # height relative to other packs, for scenes

    @property
    def soft(self) -> bool:
        """Tell whether this is a pouch: flat at its seams, full in its middle, with folds."""
        return self.solid == "turned" and self.depth < 0.4

    @property
    def label(self) -> tuple[float, float]:
        """Top and bottom of the label."""
        top, bottom, _ = next(zone for zone in self.zones if zone[2] == "label")
        return top, bottom


_CAN: Zones = ((0.0, 0.035, "steel"), (0.035, 0.965, "label"), (0.965, 1.0, "steel"))
_CAN_NECKED: Profile = ((0.0, 0.84), (0.03, 0.86), (0.1, 1.0), (0.94, 1.0), (1.0, 0.86))

_CAN_BEADED: Profile = ((0.0, 1.0), (0.03, 1.0), (0.05, 0.97), (0.95, 0.97), (0.97, 1.0), (1.0, 1.0))

FORMS: dict[str, Form] = {
    "can-regular": Form("turned", 0.54, 1.0, _CAN_NECKED, _CAN, tall=0.72),
    "can-slim": Form("turned", 0.40, 1.0, _CAN_NECKED, _CAN, tall=0.82),
    "can-tin": Form("turned", 0.72, 1.0, _CAN_BEADED, _CAN, tall=0.6),
    "can-tall": Form("turned", 0.62, 1.0, _CAN_BEADED, _CAN, tall=0.7),
    "can-tube": Form(
        "turned", 0.36, 1.0, ((0.0, 1.0), (0.05, 1.0), (0.055, 0.96), (1.0, 0.96)),
        ((0.0, 0.055, "lid"), (0.055, 0.97, "label"), (0.97, 1.0, "steel")), tall=0.95,
    ),
    "bottle-pet": Form(
        "turned", 0.30, 1.0,
        ((0.0, 0.36), (0.075, 0.36), (0.08, 0.3), (0.12, 0.32), (0.3, 0.98), (0.36, 1.0), (0.66, 1.0), (0.7, 0.95),
         (0.76, 1.0), (0.96, 1.0), (1.0, 0.86)),
        ((0.0, 0.075, "cap"), (0.075, 0.34, "content"), (0.34, 0.7, "label"), (0.7, 1.0, "content")), tall=1.0,
    ),
    "bottle-glass": Form(
        "turned", 0.31, 1.0,
        ((0.0, 0.36), (0.06, 0.36), (0.065, 0.32), (0.24, 0.36), (0.4, 0.96), (0.45, 1.0), (0.97, 1.0), (1.0, 0.94)),
        ((0.0, 0.065, "cap"), (0.065, 0.46, "content"), (0.46, 0.9, "label"), (0.9, 1.0, "content")), tall=1.0,
    ),
    "bottle-squeeze": Form(
        "turned", 0.42, 0.62,
        ((0.0, 0.34), (0.12, 0.4), (0.125, 0.5), (0.2, 0.84), (0.3, 0.97), (0.5, 0.93), (0.75, 1.0), (0.96, 0.98),
         (1.0, 0.9)),
        ((0.0, 0.125, "cap"), (0.125, 0.26, "body"), (0.26, 0.92, "label"), (0.92, 1.0, "body")), tall=0.9,
    ),
    "bottle-jug": Form(
        "turned", 0.55, 0.55,
        ((0.0, 0.3), (0.1, 0.3), (0.105, 0.34), (0.16, 0.42), (0.3, 0.9), (0.4, 1.0), (0.96, 1.0), (1.0, 0.95)),
        ((0.0, 0.1, "cap"), (0.1, 0.33, "body"), (0.33, 0.93, "label"), (0.93, 1.0, "body")), tall=1.0,
    ),
    "bottle-milk": Form(
        "turned", 0.40, 1.0,
        ((0.0, 0.5), (0.09, 0.5), (0.095, 0.46), (0.14, 0.5), (0.28, 0.98), (0.32, 1.0), (0.97, 1.0), (1.0, 0.92)),
        ((0.0, 0.09, "cap"), (0.09, 0.3, "body"), (0.3, 0.94, "label"), (0.94, 1.0, "body")), tall=0.9,
    ),
    "jar-round": Form(
        "turned", 0.76, 1.0,
        ((0.0, 0.86), (0.15, 0.86), (0.16, 0.8), (0.2, 0.86), (0.28, 1.0), (0.94, 1.0), (1.0, 0.92)),
        ((0.0, 0.155, "lid"), (0.155, 0.32, "content"), (0.32, 0.9, "label"), (0.9, 1.0, "content")), tall=0.62,
    ),
    "jar-tall": Form(
        "turned", 0.55, 1.0,
        ((0.0, 0.9), (0.12, 0.9), (0.13, 0.82), (0.17, 0.9), (0.22, 1.0), (0.95, 1.0), (1.0, 0.93)),
        ((0.0, 0.125, "lid"), (0.125, 0.27, "content"), (0.27, 0.88, "label"), (0.88, 1.0, "content")), tall=0.75,
    ),
    "jar-low": Form(
        "turned", 0.98, 1.0,
        ((0.0, 0.94), (0.2, 0.94), (0.21, 0.88), (0.26, 0.96), (0.32, 1.0), (0.92, 1.0), (1.0, 0.9)),
        ((0.0, 0.205, "lid"), (0.205, 0.36, "content"), (0.36, 0.92, "label"), (0.92, 1.0, "content")), tall=0.5,
    ),
    "jar-tub": Form(
        "turned", 0.92, 1.0, ((0.0, 1.0), (0.1, 1.0), (0.11, 0.95), (1.0, 0.78)),
        ((0.0, 0.105, "lid"), (0.105, 0.96, "label"), (0.96, 1.0, "body")), tall=0.52,
    ),
    "box-tall": Form("cuboid", 0.68, 0.30, tall=1.0),
    "box-flat": Form("cuboid", 0.78, 0.40, tall=0.62),
    "box-wide": Form("cuboid", 1.32, 0.30, tall=0.55),
    "box-carton": Form("cuboid", 0.44, 0.95, tall=0.92),
    "pouch-bag": Form(
        "turned", 0.76, 0.30,
        ((0.0, 0.98), (0.06, 0.95), (0.16, 0.96), (0.5, 1.0), (0.84, 0.96), (0.94, 0.95), (1.0, 0.98)),
        ((0.0, 1.0, "label"),), front=0.5, tall=0.95,
    ),
    "pouch-stand": Form(
        "turned", 0.68, 0.34,
        ((0.0, 0.9), (0.08, 0.9), (0.3, 0.94), (0.8, 1.0), (0.95, 1.0), (1.0, 0.96)),
        ((0.0, 1.0, "label"),), front=0.5, tall=0.8,
    ),
    "pouch-pillow": Form(
        "turned", 1.25, 0.32,
        ((0.0, 0.98), (0.08, 0.96), (0.5, 1.0), (0.92, 0.96), (1.0, 0.98)),
        ((0.0, 1.0, "label"),), front=0.5, tall=0.55,
    ),
}  # fmt: skip
