"""Where things stand on the front of a pack: one record per layout, places as fractions of the front panel."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LAYOUTS", "Layout", "Place"]

Place = tuple[float, float, float, float]  # left, top, right, bottom; 0..1


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of one layout."""

    brand: Place
    line: Place
    flavour: Place
    art: Place
    size: Place
    motif: Place | None = None
    backdrop: str = "none"  # a shape behind everything: disc, hill, stripe, slope, frame, side, top
    brand_turn_deg: float = 0.0


LAYOUTS: dict[str, Layout] = {
    "crest": Layout(
        brand=(0.06, 0.06, 0.94, 0.25), line=(0.2, 0.265, 0.8, 0.345), flavour=(0.04, 0.79, 0.96, 0.90),
        art=(0.14, 0.37, 0.86, 0.77), size=(0.62, 0.925, 0.95, 0.98), backdrop="disc",
    ),
    "banner": Layout(
        brand=(0.04, 0.1, 0.96, 0.29), line=(0.1, 0.315, 0.9, 0.4), flavour=(0.05, 0.81, 0.95, 0.92),
        art=(0.1, 0.42, 0.9, 0.79), size=(0.05, 0.935, 0.42, 0.985), motif=(0.4, 0.015, 0.6, 0.095),
    ),
    "pillar": Layout(
        brand=(0.03, 0.06, 0.27, 0.94), line=(0.34, 0.06, 0.96, 0.15), flavour=(0.34, 0.17, 0.96, 0.31),
        art=(0.32, 0.35, 0.97, 0.82), size=(0.6, 0.88, 0.96, 0.95), backdrop="side", brand_turn_deg=90.0,
    ),
    "arch": Layout(
        brand=(0.1, 0.05, 0.9, 0.22), line=(0.22, 0.235, 0.78, 0.31), flavour=(0.1, 0.33, 0.9, 0.43),
        art=(0.08, 0.47, 0.92, 0.93), size=(0.66, 0.92, 0.97, 0.98), backdrop="hill",
    ),
    "slant": Layout(
        brand=(0.03, 0.08, 0.97, 0.33), line=(0.34, 0.36, 0.96, 0.44), flavour=(0.03, 0.86, 0.72, 0.96),
        art=(0.2, 0.45, 0.98, 0.86), size=(0.75, 0.89, 0.98, 0.96), backdrop="slope", brand_turn_deg=9.0,
    ),
    "classic": Layout(
        brand=(0.12, 0.19, 0.88, 0.35), line=(0.22, 0.365, 0.78, 0.44), flavour=(0.13, 0.46, 0.87, 0.56),
        art=(0.22, 0.58, 0.78, 0.87), size=(0.32, 0.885, 0.68, 0.935), motif=(0.38, 0.06, 0.62, 0.18), backdrop="frame",
    ),
    "ground": Layout(
        brand=(0.04, 0.53, 0.96, 0.73), line=(0.1, 0.745, 0.9, 0.82), flavour=(0.05, 0.835, 0.95, 0.93),
        art=(0.05, 0.04, 0.95, 0.51), size=(0.05, 0.94, 0.4, 0.985), backdrop="hill",
    ),
    "tower": Layout(
        brand=(0.16, 0.04, 0.84, 0.2), line=(0.24, 0.22, 0.76, 0.3), flavour=(0.16, 0.32, 0.84, 0.45),
        art=(0.18, 0.47, 0.82, 0.84), size=(0.3, 0.91, 0.7, 0.97), backdrop="stripe",
    ),
    "seal": Layout(
        brand=(0.1, 0.26, 0.9, 0.45), line=(0.25, 0.465, 0.75, 0.535), flavour=(0.02, 0.8, 0.98, 0.91),
        art=(0.22, 0.545, 0.78, 0.785), size=(0.33, 0.93, 0.67, 0.98), motif=(0.36, 0.1, 0.64, 0.25), backdrop="disc",
    ),
    "split": Layout(
        brand=(0.04, 0.05, 0.96, 0.24), line=(0.04, 0.27, 0.48, 0.36), flavour=(0.04, 0.39, 0.48, 0.58),
        art=(0.4, 0.42, 0.99, 0.96), size=(0.05, 0.9, 0.38, 0.96), backdrop="side",
    ),
    "modern": Layout(
        brand=(0.07, 0.05, 0.62, 0.15), line=(0.07, 0.165, 0.62, 0.23), flavour=(0.07, 0.27, 0.93, 0.46),
        art=(0.1, 0.5, 0.95, 0.9), size=(0.07, 0.92, 0.4, 0.97), motif=(0.74, 0.04, 0.94, 0.16),
    ),
    "mascot": Layout(
        brand=(0.05, 0.04, 0.95, 0.22), line=(0.2, 0.235, 0.8, 0.31), flavour=(0.3, 0.82, 0.97, 0.93),
        art=(0.5, 0.5, 0.97, 0.81), size=(0.62, 0.94, 0.96, 0.985), motif=(0.03, 0.36, 0.62, 0.86), backdrop="top",
    ),
}  # fmt: skip
