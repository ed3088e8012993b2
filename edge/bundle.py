"""The bundle: everything a device needs to decide, in one sealed folder; writer and reader in one file.

    manifest.json   schema, id, sha256 and size of each file, what the bundle requires, what it promises
    engine.onnx     uint8 crops in, unit rows out (`edge.engine_row`; the head is inside)
    table.npz       int8 prototypes with their scale and owners
    rules.npz       confidence, cut points per class, unknown threshold, quality limits
    classes.json    the products, in the order of every per-class array
    golden.npz      a few crops and the rows that the engine gave for them when the bundle was made
    report.json     the figures of calibration; report.html is the same for people

Everything is verified (`edge.sealed`) before anything is parsed, and every array is checked for shape, dtype and finite
values before anything uses it. A bundle made for another engine is refused with both names.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from edge.build_folder import InputSpec
from edge.errors import BundleError
from edge.parameters import ClassInfo, ConfidenceModel, Cuts, OodModel, PrototypeTable, QualityLimits
from edge.sealed import open_sealed, write_sealed
from edge.types import Crops, EngineRows

__all__ = [
    "ENGINE_GRAPH",
    "KIND",
    "Bundle",
    "BundleInfo",
    "Change",
    "Golden",
    "NearPair",
    "Rules",
    "read_bundle",
    "write_bundle",
    "write_parameters",
]

KIND, SCHEMA = "bundle", 5
ENGINE_GRAPH = "engine.onnx"
_OOD = "ood_parameter_"  # the names of a detector's own arrays begin so
TABLE, RULES, CLASSES, GOLDEN = "table.npz", "rules.npz", "classes.json", "golden.npz"


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change of a bundle since its calibration. `date` is YYYY-MM-DD, UTC; `was` the status before a retirement."""

    change: Annotated[str, Meta(pattern="^(enrol|retire|reinstate|remove)$")]
    sku: str
    date: Annotated[str, Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    photos: int = 0
    successor: str = ""
    was: str = ""


class NearPair(Struct, frozen=True, kw_only=True):
    """Two SKUs, first < second, found too alike when one of them was enrolled; the cosine of their centres."""

    first: str
    second: str
    cosine: float


class BundleInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The manifest content of a bundle. `promise` holds the targets that calibration certified, and for which mix.

    A bundle that was changed since its calibration names the id of the bundle before (`parent`), every change, oldest
    first, and the `near` pairs from which twins follow that calibration did not find. `dimension` is that of an
    embedding; a row of the engine has one value more. `network_mib` is what a process with this network takes without
    products and cameras, an estimate; 0 where it is not known.
    """

    engine: str
    backbone: str
    build_id: str
    input: InputSpec
    dimension: Annotated[int, Meta(ge=1, le=65_536)]
    max_batch: Annotated[int, Meta(ge=1, le=1024)]
    classes: int
    promise: dict[str, Any]
    parent: str = ""
    changes: tuple[Change, ...] = ()
    near: tuple[NearPair, ...] = ()
    network_mib: Annotated[float, Meta(ge=0)] = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Crops with the engine's rows when the bundle was made: a device that differs must not decide."""

    crops: Crops
    rows: EngineRows


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """Everything fitted, per stage."""

    confidence: ConfidenceModel
    cuts: Cuts
    ood: OodModel
    quality: QualityLimits


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle in memory, except the engine's graph, which its adapter loads from `graph`."""

    id: str
    path: Path
    info: BundleInfo
    graph: Path
    classes: tuple[ClassInfo, ...]
    table: PrototypeTable
    rules: Rules
    golden: Golden


@contextmanager
def write_bundle(path: Path, info: BundleInfo) -> Iterator[Path]:
    """Yield a folder for ENGINE_GRAPH, `write_parameters` and reports; then seal it and move it to `path` at once."""
    with write_sealed(path, KIND, SCHEMA, msgspec.to_builtins(info)) as staging:
        yield staging


def write_parameters(
    folder: Path, classes: tuple[ClassInfo, ...], table: PrototypeTable, rules: Rules, golden: Golden
) -> None:
    """Write table, rules, classes and golden crops into the folder of `write_bundle`."""
    (folder / CLASSES).write_bytes(msgspec.json.format(msgspec.json.encode(classes), indent=1))
    np.savez(folder / TABLE, prototypes=table.prototypes, scale=np.float64(table.scale), owners=table.owners)
    np.savez(folder / GOLDEN, crops=golden.crops, rows=golden.rows)
    confidence, cuts, ood, quality = rules.confidence, rules.cuts, rules.ood, rules.quality
    np.savez(
        folder / RULES,
        confidence=np.array([confidence.similarity_weight, confidence.margin_weight, confidence.bias]),
        class_offset=confidence.class_offset,
        accept_confidence=cuts.accept_confidence,
        accept_strangeness=cuts.accept_strangeness,
        strict_confidence=cuts.strict_confidence,
        strict_strangeness=cuts.strict_strangeness,
        verify_confidence=cuts.verify_confidence,
        source=np.array(cuts.source, dtype="U16"),
        isolated_below=np.float64(cuts.isolated_below),
        twin=cuts.twin,
        successor=cuts.successor,
        verify_set=np.array([cuts.set_gap, cuts.set_error, cuts.max_set]),
        ood=np.array([ood.threshold, ood.false_unknown_budget]),
        ood_method=np.array(ood.method, dtype="U32"),
        **cast(dict[str, Any], {f"{_OOD}{name}": values for name, values in ood.parameters.items()}),
        quality=np.array([quality.min_side_px, quality.min_sharpness]),
    )


def read_bundle(path: Path, engine: str | None = None) -> Bundle:
    """Verify and read a bundle; raises BundleError naming the file. `engine` refuses a bundle made for another one."""
    sealed = open_sealed(path, KIND, SCHEMA)
    try:
        info = msgspec.convert(dict(sealed.content), BundleInfo)
        classes = msgspec.json.decode(sealed.file(CLASSES).read_bytes(), type=tuple[ClassInfo, ...])
    except (msgspec.MsgspecError, OSError) as error:
        raise BundleError(f"{path}: bundle of another version ({error}); run edge-calibrate again") from None
    if engine is not None and info.engine != engine:
        raise BundleError(
            f"{path}: made for the engine {info.engine}, this device runs {engine}; calibrate for {engine}"
        )
    if len(classes) != info.classes or not classes:
        raise BundleError(
            f"{path / CLASSES}: {len(classes)} classes, expected {info.classes}; run edge-calibrate again"
        )
    if len({one.sku for one in classes}) < len(classes):
        raise BundleError(f"{path / CLASSES}: a SKU stands twice; run edge-calibrate again")
    table = _read_table(sealed.file(TABLE), info)
    rules = _read_rules(sealed.file(RULES), info)
    golden = _read_golden(sealed.file(GOLDEN), info)
    return Bundle(sealed.id, path, info, sealed.file(ENGINE_GRAPH), classes, table, rules, golden)


def _read_table(path: Path, info: BundleInfo) -> PrototypeTable:
    arrays = _Arrays(path)
    owners = arrays.take("owners", np.int32, (None,))
    prototypes = arrays.take("prototypes", np.int8, (len(owners), info.dimension))
    table = PrototypeTable(prototypes, _positive(arrays, "scale", path), owners)
    steps = np.diff(owners, prepend=0)
    if len(owners) == 0 or owners[0] != 0 or owners[-1] != info.classes - 1 or steps.min() < 0 or steps.max() > 1:
        raise BundleError(f"{path}: owners are not the classes 0 to {info.classes - 1} in order; calibrate again")
    return table


def _positive(arrays: _Arrays, name: str, path: Path) -> float:
    """Return a number that must be above 0 and finite: a table of any other scale would make everything alike."""
    value = float(arrays.take(name, np.float64, ()))
    if not 0.0 < value < np.inf:
        raise BundleError(f"{path}: {name} is {value}, expected a number above 0; calibrate again")
    return value


def _read_rules(path: Path, info: BundleInfo) -> Rules:
    arrays, shape = _Arrays(path), (info.classes,)
    weights = arrays.finite("confidence", (3,))
    confidence = ConfidenceModel(
        similarity_weight=float(weights[0]),
        margin_weight=float(weights[1]),
        bias=float(weights[2]),
        class_offset=arrays.finite("class_offset", shape, np.float32),
    )
    gap, error, largest = arrays.finite("verify_set", (3,))
    cuts = Cuts(
        accept_confidence=arrays.take("accept_confidence", np.float32, shape),
        accept_strangeness=arrays.take("accept_strangeness", np.float32, shape),
        strict_confidence=arrays.take("strict_confidence", np.float32, shape),
        strict_strangeness=arrays.take("strict_strangeness", np.float32, shape),
        verify_confidence=arrays.take("verify_confidence", np.float32, shape),
        source=tuple(str(s) for s in arrays.take("source", np.dtype("U16"), shape)),
        isolated_below=float(arrays.take("isolated_below", np.float64, ())),
        twin=arrays.index("twin", info.classes),
        successor=arrays.index("successor", info.classes),
        set_gap=float(gap),
        set_error=float(error),
        max_set=int(largest),
    )
    _refuse_looser(path, cuts)
    threshold, budget = arrays.take("ood", np.float64, (2,))
    method = str(arrays.take("ood_method", np.dtype("U32"), ()))
    ood = OodModel(method, float(threshold), float(budget), arrays.starting_with(_OOD))
    side, sharpness = arrays.finite("quality", (2,))
    return Rules(confidence, cuts, ood, QualityLimits(int(side), float(sharpness)))


def _refuse_looser(path: Path, cuts: Cuts) -> None:
    """A degraded device becomes stricter, never looser: raise BundleError where a stricter cut point is not."""
    looser = (cuts.strict_confidence < cuts.accept_confidence) | (cuts.strict_strangeness > cuts.accept_strangeness)
    if looser.any():
        found = f"the cut points for a degraded device accept more than the others in {looser.sum()} classes"
        raise BundleError(f"{path}: {found}, expected none; run edge-calibrate again")


def _read_golden(path: Path, info: BundleInfo) -> Golden:
    arrays = _Arrays(path)
    crops = arrays.take("crops", np.uint8, (None, info.input.height_px, info.input.width_px, 3))
    if not len(crops):
        raise BundleError(f"{path}: no crop, expected one at least: no engine could be tested; calibrate again")
    return Golden(crops, arrays.take("rows", np.float32, (len(crops), info.dimension + 1)))


class _Arrays:
    """The arrays of one .npz file, each checked when it is taken. Pickled objects are never read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
                self._arrays = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise BundleError(f"{path}: cannot be read ({error}); run edge-calibrate again") from None

    def take(self, name: str, dtype: Any, shape: tuple[int | None, ...]) -> NDArray[Any]:
        """Return an array of exactly this dtype and shape (None: any length) without NaN; +inf is allowed in rules."""
        array: NDArray[Any] | None = self._arrays.get(name)
        if array is None or array.dtype != dtype or len(array.shape) != len(shape):
            found = "missing" if array is None else f"{array.dtype} {array.shape}"
            raise BundleError(f"{self._path}: {name} is {found}, expected {np.dtype(dtype)} {shape}; calibrate again")
        if any(want is not None and have != want for have, want in zip(array.shape, shape, strict=True)):
            raise BundleError(f"{self._path}: {name} has shape {array.shape}, expected {shape}; calibrate again")
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise BundleError(f"{self._path}: {name} holds NaN; calibrate again")
        return array

    def finite(self, name: str, shape: tuple[int], dtype: Any = np.float64) -> NDArray[Any]:
        """Return an array that holds no infinity either."""
        array = self.take(name, dtype, shape)
        if not np.isfinite(array).all():
            raise BundleError(f"{self._path}: {name} holds an infinity; calibrate again")
        return array

    def starting_with(self, prefix: str) -> dict[str, NDArray[np.float32]]:
        """Return the float32 arrays of this prefix, finite, by the rest of their names."""
        found: dict[str, NDArray[np.float32]] = {}
        for name in sorted(self._arrays):
            if name.startswith(prefix):
                array = self.take(name, np.float32, (None,) * self._arrays[name].ndim)
                if not np.isfinite(array).all():
                    raise BundleError(f"{self._path}: {name} holds an infinity; calibrate again")
                found[name.removeprefix(prefix)] = array
        return found

    def index(self, name: str, classes: int) -> NDArray[np.int32]:
        """Return a (C,) array of class indices, -1 for none."""
        array = self.take(name, np.int32, (classes,))
        if array.min() < -1 or array.max() >= classes:
            raise BundleError(f"{self._path}: {name} points outside the {classes} classes; calibrate again")
        return array
