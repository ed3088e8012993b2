"""Forecast and plan held against what happens: hide half of a catalogue, look ahead, add the half, compare.

    python benchmarks/growth.py forecast --bundle bundle --catalogue shop --cache cache --half 5
    python benchmarks/growth.py plan --bundle bundle --catalogue shop --cache cache --half 5

`bundle` is calibrated on the whole catalogue: only its engine and its targets are used. `--half` is the seed that says
what is hidden: whole families for `forecast`, single products for `plan`. `forecast` calibrates the visible half and
the whole (`calibration.fit`, full features) and compares accept and top-1 on test photos with the forecast made from
the half. `plan` plans with the hidden half as new products, then measures each visible product's loss of top-1 on its
test photos, which the plan never sees, between the head of the half and that of the whole. Four test photos a product
are too few to tell: `edge-render catalogue --test 12` makes the same catalogue with more of them. Two halves of the
test photos say how far the measure agrees with itself; from that (Spearman & Brown, 1910) comes what the order of the
losses would be with test photos without end: `spearman_without_the_noise_of_the_measure`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibration.fit import Fitted, Settings, fit
from calibration.growth.compressed import space_of
from calibration.growth.families import families_from_products, subset
from calibration.growth.forecast import ahead, study
from calibration.growth.plan import plan_for
from calibration.growth.rehearsal import narrowed
from calibration.growth.trial import Outcome
from calibration.growth.workshop import Place, settings_of, workshop
from calibration.photos.catalogue import read_catalogue
from calibration.photos.material import Material
from calibration.photos.photoset import joined
from calibration.report.screen import Screen
from calibration.report.values import find
from calibration.rules.allowance import class_infos
from calibration.space.head import Discriminant, Rows, embed
from calibration.space.table import table_from_embeddings
from edge import lookup
from edge.bundle import Bundle, read_bundle
from edge.pipeline import Pipeline


class _MaxBatch:
    """Stands where the pipeline asks an engine for its batch: every photo was embedded long ago."""

    max_batch = 8


def main() -> int:
    """Run one comparison and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("forecast", "plan"))
    for name in ("bundle", "catalogue"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="features of edge-calibrate --cache")
    parser.add_argument("--half", type=int, default=0)
    arguments = parser.parse_args()
    bundle = read_bundle(arguments.bundle)
    settings = settings_of(bundle, 0)
    place = Place(arguments.cache, Path(), 2, 0)
    with Screen() as screen, workshop(bundle, read_catalogue(arguments.catalogue), place, screen) as shop:
        screen.step(arguments.what)
        families, _ = families_from_products(shop.material.products, np.zeros((0, 0), np.float32))
        if arguments.what == "forecast":
            shown, run = subset(families, len(families) // 2, arguments.half), _forecast
        else:  # sisters on both sides, or nobody would be endangered
            shown, run = subset([str(i) for i in range(len(families))], len(families) // 2, arguments.half), _plan
        found = run(bundle, shop.material, shop.rows, (shown, families), settings)
    print(msgspec.json.format(msgspec.json.encode({"half": arguments.half, **found}), indent=1).decode())
    return 0


def _forecast(
    bundle: Bundle, whole: Material, rows: Rows, cut: tuple[NDArray[np.bool_], tuple[str, ...]], settings: Settings
) -> dict[str, object]:
    shown, families = cut
    half = narrowed(whole, shown)
    taught = joined([half.reference, half.fit]).rows
    wanted = half.with_crowded(joined([half.reference, half.fit, half.certify, half.test])).rows
    space = space_of(rows, taught, wanted, 0)
    names = [name for name, kept in zip(families, shown, strict=True) if kept]
    found = study(half, names, space, bundle.info.input, settings, lambda _: None)
    present = _calibrated(bundle, half, rows, settings)
    predicted = ahead(found, 2.0, present, 0)
    truth = _calibrated(bundle, whole, rows, settings)
    return {
        "now": present,
        "forecast": predicted,
        "measured": truth,
        "accept_off_by_points": 100 * (predicted.shares["accept"].value - truth.accept),
        "top1_off_by_points": 100 * (predicted.shares["top1"].value - truth.top1),
    }


def _calibrated(bundle: Bundle, material: Material, rows: Rows, settings: Settings) -> Outcome:
    """Return what a full calibration of `material` does on its test photos."""
    fitted: Fitted = fit(material, rows, bundle.info.input, settings, lambda _: None)
    info = msgspec.structs.replace(bundle.info, dimension=fitted.head.dimension, classes=len(material.products))
    own = replace(bundle, info=info, classes=class_infos(material), table=fitted.table, rules=fitted.rules)
    outcome = find(Pipeline(own, _MaxBatch()), fitted, material, rows).outcome  # type: ignore[arg-type]
    shares = outcome.shares
    routes = (shares["accept"], shares["verify"], shares["review"], shares["unknown"])
    return Outcome(outcome.top1, *routes, outcome.accepted_error, None)


def _plan(
    bundle: Bundle, whole: Material, rows: Rows, cut: tuple[NDArray[np.bool_], tuple[str, ...]], settings: Settings
) -> dict[str, object]:
    shown, _ = cut
    on_sale = narrowed(whole, shown)
    taught = joined([on_sale.reference, on_sale.fit]).rows
    wanted = whole.with_crowded(joined([whole.reference, whole.fit, whole.certify])).rows
    plan = plan_for(whole, ~shown, space_of(rows, taught, wanted, 0), bundle.info.input, settings)
    predicted = np.full(len(shown), np.nan)
    for one in plan.endangered:
        predicted[one.product] = np.nan if one.loss is None else one.loss
    fall = _right(on_sale, rows, settings) - _right_of(whole, shown, rows, settings)
    label, classes = on_sale.test.labels, int(shown.sum())
    order = np.argsort(label, kind="stable")
    rank = np.empty(len(label), np.int64)
    rank[order] = np.arange(len(label)) - np.searchsorted(label[order], label[order])
    odd = rank % 2 == 1
    predicted = predicted[shown]
    known = np.isfinite(predicted) & (np.bincount(label[odd], minlength=classes) > 0)
    measured, one, other = (_by_class(fall, label, chosen, classes)[known] for chosen in (odd | ~odd, odd, ~odd))
    predicted = predicted[known]
    found, halves = _spearman(predicted, measured), _spearman(one, other)
    whole_agrees = 2 * halves / (1 + halves)
    return {
        "products_measured": int(known.sum()),
        "test_photos": len(label),
        "spearman": found,
        "spearman_of_two_halves_of_the_test_photos": halves,
        "spearman_without_the_noise_of_the_measure": found / whole_agrees**0.5 if whole_agrees > 0 else None,
        "mean_loss_points": {"predicted": 100 * float(predicted.mean()), "measured": 100 * float(measured.mean())},
        "worst_tenth_points": _worst(predicted, measured),
    }


def _right(material: Material, rows: Rows, settings: Settings) -> NDArray[np.float64]:
    """Return (N,): whether each test photo is recognised by a head and table of all products of `material`."""
    return _right_of(material, np.ones(len(material.products), np.bool_), rows, settings)


def _right_of(material: Material, asked: NDArray[np.bool_], rows: Rows, settings: Settings) -> NDArray[np.float64]:
    taught = material.with_copies(material.teaching)
    head = Discriminant.of(rows, taught.rows, taught.labels).head(rows, settings.dimension, settings.seed)
    table = table_from_embeddings(embed(head, rows, taught.rows), taught.labels, settings.prototypes)
    test = material.test.take(np.flatnonzero(asked[material.test.labels]))
    best = lookup.similarities(lookup.index_from_table(table), embed(head, rows, test.rows)).argmax(axis=1)
    return np.asarray(best == test.labels, np.float64)


def _by_class(
    values: NDArray[np.float64], label: NDArray[np.int32], chosen: NDArray[np.bool_], classes: int
) -> NDArray[np.float64]:
    """Return the mean of the chosen values per class, 0 without any."""
    counts = np.bincount(label[chosen], minlength=classes)
    return np.asarray(np.bincount(label[chosen], values[chosen], classes) / np.maximum(counts, 1))


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks, equal values sharing theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[inverse])


def _worst(predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> dict[str, float]:
    """Return the mean measured loss of the tenth that was predicted worst, and of the rest."""
    order = np.argsort(-predicted)
    tenth = max(len(order) // 10, 1)
    return {"these": 100 * float(measured[order[:tenth]].mean()), "others": 100 * float(measured[order[tenth:]].mean())}


if __name__ == "__main__":
    sys.exit(main())
