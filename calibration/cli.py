"""`edge-calibrate`: a build and a catalogue of photos become a bundle. The composition root of calibration.

Everything is read and fitted before anything is written: the bundle appears whole, at the end, or not at all. With a
command as first argument (enrol, retire, reinstate, remove) a finished bundle is changed: `calibration.change`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.assemble import REPORT_PAGE, bundle_in_memory, write
from calibration.change.cli import COMMANDS
from calibration.fit import Settings, fit
from calibration.photos.augment import plain_copies
from calibration.photos.catalogue import Catalogue, read_catalogue
from calibration.photos.embed import Embedded, embed_copies, embed_photos
from calibration.photos.feature_store import FeatureStore
from calibration.photos.fingerprint import Fingerprinted, fingerprint
from calibration.photos.material import Material, copies_wanted, material_from_embedded, material_with_copies
from calibration.photos.photoset import Photoset
from calibration.report.screen import Screen, show
from calibration.report.values import find, report_values
from calibration.rules.groups import Targets
from edge import command
from edge.build_folder import read_build
from edge.bundle import KIND
from edge.engines import EngineSpec, open_reference
from edge.errors import InputError
from edge.pipeline import Pipeline
from edge.sealed import refuse_foreign

__all__ = ["calibrate"]

PROG = "edge-calibrate"
MOST_THREADS = 8


def calibrate(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return command.run(PROG, _main, argv)


def _main(argv: Sequence[str]) -> int:
    if argv and argv[0] in COMMANDS:
        return COMMANDS[argv[0]](argv[1:])
    arguments = _parser().parse_args(argv)
    _check(arguments)
    refuse_foreign(arguments.out, KIND)
    build = read_build(arguments.build)
    catalogue = read_catalogue(arguments.catalogue)
    settings = _settings(arguments, catalogue)
    spec = EngineSpec(threads=arguments.threads, max_batch=build.info.max_batch)
    scratch = arguments.out.absolute().parent
    with Screen() as screen, FeatureStore(arguments.cache, scratch, build.id, build.info.feature_dimension) as store:
        photos = fingerprint(catalogue.photos, arguments.threads, screen.count("read", len(catalogue.photos)))
        with open_reference(build.info.engine, build.graph, spec) as engine:
            advance = screen.count("embed", len(photos.photos))
            embedded = embed_photos(engine, build.info.input, store, photos, arguments.threads, advance)
            material = material_from_embedded(catalogue, embedded, settings.seed)

            def copied(some: Photoset, names: Sequence[str]) -> NDArray[np.int64]:
                return embed_copies(engine, build.info.input, store, some, names, arguments.threads, advance)

            advance = screen.count("copies", copies_wanted(material, settings.copies))
            material = material_with_copies(material, settings.copies, copied)
            advance = screen.count("shifts", len(material.probe))
            shifted = copied(material.probe, plain_copies(1))[material.probe.rows, 0]
        material = replace(material, shifted=replace(material.probe, rows=shifted))
        fitted = fit(material, store, build.info.input, settings, screen.step)
        screen.step("forecast")
        bundle = bundle_in_memory(build, fitted, material, settings)
        findings = find(Pipeline(bundle, engine), fitted, material, store)
        values = report_values(findings, fitted, material, settings, _notes(catalogue, photos, embedded, material))
        screen.step("write")
        write(arguments.out, bundle, fitted, material, store, values)
    show(values, screen.seconds)
    print(f"report: {arguments.out / REPORT_PAGE}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(
        PROG,
        "Calibrate a build for a catalogue of photos, and seal both as a bundle for the device.",
        "edge-calibrate --build build --catalogue shop --out bundle --accept-error 0.01\n"
        f"to change a finished bundle:\n  edge-calibrate {{{','.join(COMMANDS)}}} --help",
    )
    add = parser.add_argument
    add("--build", type=Path, required=True, metavar="DIR", help="a folder that edge-build wrote")
    add(
        "--catalogue",
        type=Path,
        required=True,
        metavar="DIR",
        help="skus.csv, reference/, validation/, test/, unknown/",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="the bundle to write or replace")
    add(
        "--accept-error",
        type=float,
        default=0.01,
        metavar="P",
        help="most of what is accepted that may be wrong (0.01)",
    )
    add("--certainty", type=float, default=0.9, metavar="P", help="probability that the promise holds (0.9)")
    add("--false-unknown", type=float, default=0.05, metavar="P", help="enrolled products called unknown (0.05)")
    add("--near-unknown", type=float, default=0.10, metavar="P", help="un-enrolled look-alikes accepted (0.10)")
    add(
        "--mix", choices=("uniform", "weight"), help="products the figures are for (default: the column weight, if any)"
    )
    add("--prototypes", type=int, default=4, metavar="N", help="most prototypes per product (4)")
    add("--dimension", type=int, default=256, metavar="N", help="most dimensions of an embedding (256)")
    add("--copies", type=int, default=2, metavar="N", help="augmented copies of each photo that teaches (2)")
    add("--seed", type=int, default=0, metavar="N", help="which photos teach and which certify (0)")
    add("--cache", type=Path, metavar="DIR", help="keep features there, so that the next calibration is quick")
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    add("--threads", type=int, default=threads, metavar="N", help=f"CPU threads ({threads} here)")
    return parser


def _check(arguments: argparse.Namespace) -> None:
    ranges = {
        "accept_error": (0.0, 0.5),
        "certainty": (0.5, 1.0),
        "false_unknown": (0.0, 0.5),
        "near_unknown": (0.0, 1.0),
    }
    for name, (low, high) in ranges.items():
        if not low < getattr(arguments, name) < high:
            option = name.replace("_", "-")
            raise InputError(
                f"--{option} is {getattr(arguments, name)}, expected more than {low:g} and less than {high:g}"
            )
    counts = {"prototypes": (1, 64), "dimension": (2, 2048), "copies": (0, 8), "seed": (0, 2**31), "threads": (1, 256)}
    for name, (least, most) in counts.items():
        if not least <= getattr(arguments, name) <= most:
            raise InputError(f"--{name} is {getattr(arguments, name)}, expected {least} to {most}")


def _settings(arguments: argparse.Namespace, catalogue: Catalogue) -> Settings:
    weighted = catalogue.weighted if arguments.mix is None else arguments.mix == "weight"
    if weighted and not catalogue.weighted:
        raise InputError(
            f"{catalogue.path / 'skus.csv'}: no column `weight` for --mix weight; add it or leave --mix out"
        )
    return Settings(
        targets=Targets(arguments.accept_error, arguments.near_unknown, arguments.certainty),
        false_unknown=arguments.false_unknown,
        prototypes=arguments.prototypes,
        dimension=arguments.dimension,
        weighted=weighted,
        seed=arguments.seed,
        copies=arguments.copies,
    )


def _notes(catalogue: Catalogue, photos: Fingerprinted, embedded: Embedded, material: Material) -> dict[str, list[str]]:
    """Return what was left out and warned of, paths without the catalogue's own folder."""
    prefix = f"{catalogue.path}{os.sep}"
    notes: dict[str, Sequence[object]] = {
        "left_out": material.left_out,
        "unreadable": embedded.unreadable,
        "not_finite": embedded.not_finite,
        "warnings": (*catalogue.warnings, *photos.warnings),
    }
    return {name: [str(entry).replace(prefix, "") for entry in entries] for name, entries in notes.items()}


if __name__ == "__main__":
    sys.exit(calibrate())
