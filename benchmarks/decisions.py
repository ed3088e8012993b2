"""The promises of a calibration, held against photos that it never saw: one catalogue a run, figures as JSON.

    decisions.py --build build --catalogue shop --cache cache --report bundle/report.json --out 1000.json
    decisions.py --table 500.json 1000.json 2000.json

Resampled calibrations: the photos that may certify and the test photos of each product are shuffled and dealt again, as
many to certify as before and the others to measure; cut points and unknown threshold are certified anew on each deal,
with the head and the table left as they are (these never saw either). A deal keeps its promise when the weighted error
among what it accepts is at most the target, over all products together and in the worst part that the certificate
speaks of; the worst of all tiers is looked at too, also where some share a claim.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.fit import Certified, Settings, allowance_from_learn, certified_from_scores, mix_for
from calibration.learning import Learning
from calibration.photos.catalogue import Catalogue, read_catalogue
from calibration.photos.embed import embed_copies, embed_photos
from calibration.photos.feature_store import FeatureStore
from calibration.photos.fingerprint import fingerprint
from calibration.photos.material import Material, copies_wanted, material_from_embedded, material_with_copies
from calibration.photos.mix import Mix, photo_weights
from calibration.photos.photoset import joined
from calibration.report.screen import Screen
from calibration.rules.allowance import Allowance, accepted
from calibration.rules.groups import Targets
from calibration.rules.lesson import Scored
from edge.build_folder import BuildFolder, read_build
from edge.engines import EngineSpec, open_reference

DEALS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Photos that nothing was fitted on, with their scores, and everything that certification needs beside them."""

    material: Material
    mix: Mix
    learn: Scored
    scored: Scored
    before: Allowance
    settings: Settings


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("build", "catalogue", "cache", "report", "out"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--table", type=Path, nargs="+")
    arguments = parser.parse_args()
    if arguments.table:
        print(table([json.loads(path.read_text()) for path in arguments.table]))
        return
    build, catalogue = read_build(arguments.build), read_catalogue(arguments.catalogue)
    with Screen() as screen:
        pool = pool_from(build, catalogue, arguments.cache, arguments.threads, screen)
        screen.step("deals")
        deals = [deal(pool, number) for number in range(DEALS)]
    report = json.loads(arguments.report.read_text())
    arguments.out.write_text(json.dumps({**figures(report), "deals": summary(deals)}, indent=1) + "\n")


def pool_from(build: BuildFolder, catalogue: Catalogue, cache: Path, threads: int, screen: Screen) -> Pool:
    """Teach as edge-calibrate does, and look up certifying and test photos together."""
    settings = Settings(Targets(0.01, 0.10, 0.9), 0.05, 4, 256, False, 0)
    spec = EngineSpec(threads=threads, max_batch=build.info.max_batch)
    with FeatureStore(cache, Path("."), build.id, build.info.feature_dimension) as store:
        photos = fingerprint(catalogue.photos, threads, screen.count("read", len(catalogue.photos)))
        with open_reference(build.info.engine, build.graph, spec) as engine:
            advance = screen.count("embed", len(photos.photos))
            found = embed_photos(engine, build.info.input, store, photos, threads, advance)
            material = material_from_embedded(catalogue, found, settings.seed)
            advance = screen.count("copies", copies_wanted(material, settings.copies))
            material = material_with_copies(
                material,
                settings.copies,
                lambda some, names: embed_copies(engine, build.info.input, store, some, names, threads, advance),
            )
        mix = mix_for(material, settings)
        learning = Learning(material, store, settings.dimension, settings.prototypes, mix.share, settings.seed)
        learnt = learning.cross_fits(screen.step)
        pooled = replace(material, certify=joined([material.certify, material.test]))
        pooling = replace(learning, material=pooled)
        final = pooling.final(learnt, screen.step)
        detector, _ = pooling.detector(learnt, final, settings.false_unknown)
        learn = learnt.scored(detector.method)
        chosen = (detector, final.lesson.enrolled.centres)
        before = allowance_from_learn(material, learn, chosen, build.info.input, settings)
        return Pool(material, mix, learn, final.lesson.scored(detector), before, settings)


def deal(pool: Pool, number: int) -> dict[str, float]:
    """Deal the photos anew, certify on one part and measure on the other."""
    labels = pool.scored.scores.true
    wanted = np.bincount(pool.material.certify.labels, minlength=len(pool.material.products))
    order = np.random.default_rng(number).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    first = np.searchsorted(labels[order], np.arange(len(wanted)))
    place = np.arange(len(order)) - first[labels[order]]
    certifies = np.zeros(len(labels), bool)
    certifies[order[place < wanted[labels[order]]]] = True
    given = (pool.before, pool.settings)
    done = certified_from_scores(
        pool.material, pool.mix, pool.learn, pool.scored.take(np.flatnonzero(certifies)), given
    )
    return measured(pool, done, pool.scored.take(np.flatnonzero(~certifies)))


def measured(pool: Pool, done: Certified, fresh: Scored) -> dict[str, float]:
    """Return what these cut points do with fresh photos, in the mix: accepted, errors, look-alikes accepted."""
    weight = photo_weights(pool.mix.share, fresh.scores.true)
    evidence = done.allowance.evidence(fresh.photos, fresh.scores, fresh.unseen, weight)
    took = accepted(done.cuts, pool.mix, evidence)
    wrong, classes = took & ~fresh.scores.correct, len(pool.material.products)
    parts = [np.isin(np.arange(classes), part.members) for cut in done.cuts for part in cut.group.parts]
    tiers = np.array(pool.material.tiers)
    by_tier = [tiers == tier for tier in sorted(set(pool.material.tiers))]
    unseen = replace(evidence, scores=evidence.unseen, confidence=evidence.unseen_confidence)
    unseen = replace(unseen, allowed=evidence.unseen_allowed)
    return {
        "accepted": float(weight[took].sum() / weight.sum()),
        "error": float(weight[wrong].sum() / max(weight[took].sum(), 1e-300)),
        "worst": _worst(weight, (took, wrong), fresh.scores.best, parts),
        "worst_tier": _worst(weight, (took, wrong), fresh.scores.best, by_tier),
        "near_accepted": _share(evidence.unseen_weight, accepted(done.cuts, pool.mix, unseen)),
        "unknown": float(weight[~(fresh.scores.strange <= done.allowance.ood.threshold)].sum() / weight.sum()),
    }


def _worst(
    weight: NDArray[np.float64],
    found: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    best: NDArray[np.int32],
    parts: Sequence[NDArray[np.bool_]],
) -> float:
    """Return the largest weighted error among what was accepted as a product of one of the parts (C,)."""
    took, wrong = found
    inside = [part[best] for part in parts]
    return max((_share(weight * (took & some), wrong) for some in inside), default=0.0)


def _share(weight: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    return float(weight[chosen].sum() / max(weight.sum(), 1e-300))


def summary(deals: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return medians over the deals, and in how many of them each promise held."""
    columns = {name: np.array([one[name] for one in deals]) for name in deals[0]}
    return {
        "number": len(deals),
        **{f"{name}_median": float(np.median(values)) for name, values in columns.items()},
        "error_kept": int((columns["error"] <= 0.01).sum()),
        "worst_kept": int((columns["worst"] <= 0.01).sum()),
        "worst_tier_kept": int((columns["worst_tier"] <= 0.01).sum()),
        "near_kept": int((columns["near_accepted"] <= 0.10).sum()),
    }


def figures(report: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a report that have bars."""
    outcome, findings = report["findings"]["outcome"], report["findings"]
    kinds = {one["detection"]["kind"]: one for one in findings["unknown"]}
    chosen = next(method for method in report["detector"]["methods"] if method["chosen"])
    baseline = next(method for method in report["detector"]["methods"] if method["method"] == "max_cosine")
    return {
        "products": report["catalogue"]["products"],
        "photos": outcome["photos"],
        "top1": outcome["top1"],
        "shares": outcome["shares"],
        "accepted": outcome["accepted"],
        "wrong": outcome["wrong"],
        "accepted_error": outcome["accepted_error"],
        "tiers": findings["tiers"],
        "ece": report["reliability"]["ece_debiased"],
        "unknown": {
            kind: {
                "photos": one["detection"]["photos"],
                "detected": one["detection"]["detected"],
                "accepted": one["outcome"]["shares"]["accept"],
            }
            for kind, one in kinds.items()
        },
        "forecast_near": sum(g["near_unknown"] * g["photos"] for g in report["groups"])
        / max(sum(g["photos"] for g in report["groups"]), 1),
        "detector": report["detector"]["method"],
        "held_out": {kind["kind"]: kind["detected"]["0.05"]["value"] for kind in chosen["kinds"]},
        "held_out_baseline": {kind["kind"]: kind["detected"]["0.05"]["value"] for kind in baseline["kinds"]},
        "shape": [report["head"]["dimension"], report["table"]["prototypes"]],
        "int8_agreement": report["table"]["int8_agreement"],
    }


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Return the figures as a table in Markdown, a column per catalogue."""
    rows: list[tuple[str, list[str]]] = [
        ("best candidate right", [f"{run['top1']:.1%}" for run in runs]),
        (
            "accept / verify / review / unknown, %",
            [" / ".join(f"{100 * share:.1f}" for share in run["shares"].values()) for run in runs],
        ),
        (
            "wrong among accepted",
            [f"{run['wrong']} of {run['accepted']} ({run['accepted_error']:.2%} weighted)" for run in runs],
        ),
        *(
            (
                f"{kind}: called unknown, accepted",
                [f"{run['unknown'][kind]['detected']:.0%}, {run['unknown'][kind]['accepted']:.1%}" for run in runs],
            )
            for kind in runs[0]["unknown"]
        ),
        ("look-alikes accepted, as simulated", [f"{run['forecast_near']:.1%}" for run in runs]),
        ("debiased calibration error", [f"{run['ece']:.3f}" for run in runs]),
        ("detector", [str(run["detector"]) for run in runs]),
        ("dimensions, prototypes", [f"{run['shape'][0]}, {run['shape'][1]}" for run in runs]),
        *(
            (f"of {DEALS} deals: {words}", [f"{run['deals'][key]} ({run['deals'][middle]:.2%})" for run in runs])
            for words, key, middle in (
                ("error within 1 % (median)", "error_kept", "error_median"),
                ("in the worst part of the certificate", "worst_kept", "worst_median"),
                ("in the worst of tail, mid and head", "worst_tier_kept", "worst_tier_median"),
                ("look-alikes within 10 %", "near_kept", "near_accepted_median"),
            )
        ),
        (f"accepted, median of {DEALS} deals", [f"{run['deals']['accepted_median']:.1%}" for run in runs]),
    ]
    head = ["", *(f"{run['products']:,} products" for run in runs)]
    lines = [head, ["---"] * len(head), *([name, *cells] for name, cells in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
