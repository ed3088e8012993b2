"""Write a catalogue folder: skus.csv, reference, validation and test photos, and photos of unknown things.

    skus.csv                         sku,name,category,barcode,status,brand,line,flavour,size,family,container,weight
    reference/<sku>/NN.jpg           severity easy
    validation/<sku>/NN.jpg          severity camera
    test/<sku>/NN.jpg                severity camera
    unknown/siblings|brands|far/     severity camera: hidden siblings, products of new brands, no products at all
    unknown/truth.csv                path,kind,sibling_of
    render.json                      the manifest, written last (see `claim`)

Every photo is a function of the arguments and its own path, so the number of worker processes changes nothing.
`weight` is a product's sales relative to the best seller. `sibling_of` names the enrolled product that a hidden sibling
looks most like: the same flavour in another size where there is one, else the first of its family.
"""

from __future__ import annotations

import csv
import ctypes
import io
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.render.claim import write_bytes, write_text
from calibration.render.identity import Sku, catalogue, hidden_siblings, strangers
from calibration.render.strays import stray_view
from calibration.render.views import view
from edge.errors import RuntimeFault

__all__ = ["CatalogueOrder", "Span", "photos_of", "write_catalogue"]

Span = tuple[int, int]  # photos of the last of the tail, photos of the best seller
_SPLITS = (("reference", "easy"), ("validation", "camera"), ("test", "camera"))
_SIBLINGS, _BRANDS, _FAR = 7, 8, 9  # stream numbers, beside the splits' 1, 2, 3
_STRANGERS = 500  # products of new brands; more photos than that show them again
_JPEG_QUALITY = 90
_PR_SET_PDEATHSIG = 1
_PER_JOB = 8  # products, or unknown photos times four, that a worker takes at a time


_stop: Event | None = None  # of a worker process: the parent gave up


@dataclass(frozen=True, slots=True)
class CatalogueOrder:
    """What to render."""

    skus: int
    seed: int
    reference: Span = (3, 20)
    validation: Span = (6, 40)
    test: Span = (4, 4)
    unknown: int = 60  # photos per kind
    size_px: int = 224

    def arguments(self) -> dict[str, Any]:
        """Return the fields as plain JSON data."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def photos_of(sku: Sku, span: Span) -> int:
    """Return how many photos a product has: Zipf-like between the ends of `span` by its rank."""
    least, most = span
    return round(least + (most - least) * (sku.weight - 0.1) / 0.9)


def write_catalogue(order: CatalogueOrder, out: Path, workers: int) -> Iterator[tuple[int, int]]:
    """Write the folder with this many processes; yield (photos written, photos in all) as it goes."""
    skus = catalogue(order.seed, order.skus)
    write_text(out / "skus.csv", _skus_csv(skus))
    jobs = _jobs(order)
    spans = (order.reference, order.validation, order.test)
    total = sum(photos_of(sku, span) for sku in skus for span in spans) + 3 * order.unknown
    done = 0
    yield done, total
    for count in _worked(order, out, jobs, workers):
        done += count
        yield done, total
    write_text(out / "unknown" / "truth.csv", _truth_csv(order, skus))


def _jobs(order: CatalogueOrder) -> list[tuple[str, int, int]]:
    """Return (what, from, to): slices of the products and of the unknown photos."""
    jobs = [("skus", at, min(at + _PER_JOB, order.skus)) for at in range(0, order.skus, _PER_JOB)]
    step = 4 * _PER_JOB
    for what in ("siblings", "brands", "far"):
        jobs += [(what, at, min(at + step, order.unknown)) for at in range(0, order.unknown, step)]
    return jobs


def _worked(order: CatalogueOrder, out: Path, jobs: Sequence[tuple[str, int, int]], workers: int) -> Iterator[int]:
    workers = min(workers, len(jobs))
    if workers <= 1:
        for job in jobs:
            yield _write_job(order, out, job)
        return
    # Processes are spawned, not forked: a fork would copy the threads' locks of OpenCV and of the progress display.
    context = get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(workers, context, _begin_worker, (stop, os.getpid())) as pool:
        with _interrupts_held():  # inherited: a Ctrl-C goes to all processes, and this one tells the others
            results = [pool.submit(_write_job, order, out, job) for job in jobs]
        try:
            for result in results:
                yield result.result()
        except BrokenProcessPool as error:
            raise RuntimeFault("a worker process ended abruptly; run again with fewer --workers (memory?)") from error
        finally:
            stop.set()
            for result in results:
                result.cancel()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold SIGINT back in the block, for good in the processes that it starts; one that came meanwhile is not lost."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _begin_worker(stop: Event, parent: int) -> None:
    """Set up a worker: one thread, no life without its parent, and an event that ends its job between two photos."""
    global _stop  # noqa: PLW0603  # an initializer has no other way to hand something to the jobs
    _stop = stop
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _write_job(order: CatalogueOrder, out: Path, job: tuple[str, int, int]) -> int:
    """Write the photos of one job; return how many."""
    what, start, stop = job
    written = 0
    for number in range(start, stop):
        photos = _sku_photos(order, number) if what == "skus" else _unknown_photo(order, what, number)
        for path, picture in photos:
            if _stop is not None and _stop.is_set():
                return written
            _, data = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))
            write_bytes(out / path, data.tobytes())
            written += 1
    return written


def _sku_photos(order: CatalogueOrder, number: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    sku = _skus(order.seed, order.skus)[number]
    for stream, ((split, severity), span) in enumerate(
        zip(_SPLITS, (order.reference, order.validation, order.test), strict=True), start=1
    ):
        for photo in range(photos_of(sku, span)):
            seed = _photo_seed(order.seed, stream, photo)
            yield f"{split}/{sku.sku}/{photo:02d}.jpg", view(sku, seed=seed, severity=severity, size_px=order.size_px)


def _unknown_photo(order: CatalogueOrder, what: str, number: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    path = _unknown_path(what, number)
    if what == "far":
        yield path, stray_view(_photo_seed(order.seed, _FAR, 0), number, size_px=order.size_px)
        return
    products = _hidden(order.seed, order.skus) if what == "siblings" else _new(order.seed)
    stream = _SIBLINGS if what == "siblings" else _BRANDS
    seed = _photo_seed(order.seed, stream, number // len(products))
    yield path, view(products[number % len(products)], seed=seed, size_px=order.size_px)


def _photo_seed(seed: int, stream: int, photo: int) -> int:
    return (seed * 16 + stream) * 10_000 + photo


def _unknown_path(what: str, number: int) -> str:
    return f"unknown/{what}/{number:04d}.jpg"


@lru_cache(maxsize=1)
def _skus(seed: int, count: int) -> tuple[Sku, ...]:
    return catalogue(seed, count)


@lru_cache(maxsize=1)
def _hidden(seed: int, count: int) -> tuple[Sku, ...]:
    """Return the hidden siblings in a seeded order, so that few photos meet many families."""
    hidden = hidden_siblings(seed, count)
    return tuple(hidden[place] for place in np.random.default_rng([seed, 41]).permutation(len(hidden)))


@lru_cache(maxsize=1)
def _new(seed: int) -> tuple[Sku, ...]:
    return strangers(seed, _STRANGERS)


def _skus_csv(skus: Sequence[Sku]) -> str:
    rows = [
        {
            "sku": sku.sku,
            "name": sku.name,
            "category": sku.category,
            "barcode": sku.barcode,
            "status": sku.status,
            "brand": sku.brand.name,
            "line": sku.line.name,
            "flavour": sku.flavour,
            "size": sku.size,
            "family": sku.family,
            "container": sku.container,
            "weight": f"{sku.weight:.4f}",
        }
        for sku in skus
    ]
    return _csv([list(rows[0]), *(list(row.values()) for row in rows)])


def _truth_csv(order: CatalogueOrder, skus: Sequence[Sku]) -> str:
    rows: list[Sequence[str]] = [("path", "kind", "sibling_of")]
    closest: dict[str, str] = {}
    for sku in skus:
        closest.setdefault(sku.family, sku.sku)
        closest.setdefault(f"{sku.family}/{sku.flavour}", sku.sku)
    hidden = _hidden(order.seed, order.skus)
    for number in range(order.unknown):
        sibling = hidden[number % len(hidden)]
        of = closest.get(f"{sibling.family}/{sibling.flavour}", closest[sibling.family])
        rows.append((_unknown_path("siblings", number), "sibling", of))
    rows += [(_unknown_path("brands", number), "new_brand", "") for number in range(order.unknown)]
    rows += [(_unknown_path("far", number), "far", "") for number in range(order.unknown)]
    return _csv(rows)


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
