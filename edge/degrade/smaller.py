"""A smaller bundle that takes over on the ladder's last step: the same products, on an engine that takes less work.

It is calibrated for itself, as every bundle is, and stands in only for one that it is like: it knows the same products
in the same states, and what it accepts on a degraded device is certified for a promise no looser than the usual one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import structs

from edge.bundle import Bundle, read_bundle
from edge.config import DaemonConfig, EngineConfig
from edge.errors import BundleError
from edge.writing import real_path

__all__ = ["bundles_of", "engine_config", "refuse_unlike"]

_PROMISED = {"accept_error": True, "near_unknown": True, "certainty": False}  # whether less is stricter


def bundles_of(config: DaemonConfig) -> tuple[Bundle, Bundle | None]:
    """Return the bundle and the smaller one, None where none is configured. Raises BundleError, also as
    `refuse_unlike`.
    """
    usual = read_bundle(real_path(Path(config.bundle)))  # a link may point elsewhere before the engine is loaded
    if config.degrade is None or not config.degrade.smaller:
        return usual, None
    smaller = read_bundle(real_path(Path(config.degrade.smaller)))
    if smaller.id == usual.id:
        found = f"{smaller.path}: degrade.smaller is the bundle itself, {usual.id}"
        raise BundleError(f"{found}; give one on a smaller engine, or leave it out")
    refuse_unlike(usual, smaller)
    return usual, smaller


def engine_config(config: DaemonConfig, smaller: bool) -> EngineConfig:
    """Return how the engine of the bundle, or of the smaller one, is opened: `engine.plan` is that of the former."""
    return structs.replace(config.engine, plan="") if smaller else config.engine


def refuse_unlike(usual: Bundle, smaller: Bundle) -> None:
    """Raise BundleError where `smaller` cannot stand in for `usual`."""
    ours, theirs = _products(usual), _products(smaller)
    differing = sorted(sku for sku in ours.keys() | theirs.keys() if ours.get(sku) != theirs.get(sku))
    if differing:
        first = differing[0]
        found = f"{first} is {theirs.get(first, 'absent')} here and {ours.get(first, 'absent')} in {usual.path}"
        raise BundleError(
            f"{smaller.path}: {found}, {len(differing)} products differ; a smaller bundle has to know the same ones: "
            "calibrate it for the same catalogue, and enrol, retire and remove in both"
        )
    for key, expected, found in _looser(usual.info.promise, smaller.info.promise):
        raise BundleError(
            f"{smaller.path}: promises {key} {found} on a degraded device, expected {expected}, which {usual.path} "
            "promises, or stricter; calibrate it for that"
        )


def _products(bundle: Bundle) -> dict[str, str]:
    """Return the state of each product: its status and, of a discontinued one, what replaced it."""
    skus = [info.sku for info in bundle.classes]
    successors = bundle.rules.cuts.successor.tolist()
    return {
        info.sku: f"{info.status}, replaced by {skus[place]}" if place >= 0 else info.status
        for info, place in zip(bundle.classes, successors, strict=True)
    }


def _looser(usual: Mapping[str, Any], smaller: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield what of a promise is not kept by another bundle's degraded one: its key, the promise, what is there.

    A degraded device for which nothing is certified accepts nothing.
    """
    degraded = smaller.get("degraded", smaller)
    if degraded.get("certified") is False:
        return
    kept = {**smaller, **degraded}
    for key, at_most in _PROMISED.items():
        if key in usual:
            expected, found = usual[key], kept.get(key)
            if not (_at_most(found, expected) if at_most else _at_most(expected, found)):
                yield key, expected, found
    if kept.get("mix") != usual.get("mix"):
        yield "mix", usual.get("mix"), kept.get("mix")


def _at_most(value: Any, limit: Any) -> bool:
    """Tell whether both are numbers and in order."""
    numbers = all(isinstance(number, (int, float)) for number in (value, limit))
    return numbers and bool(value <= limit)
