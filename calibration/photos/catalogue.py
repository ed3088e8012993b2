"""Reads a catalogue folder: what the shop sells, and the photos of it.

    skus.csv              sku,name,category,barcode,status  (active | new | discontinued; other columns are kept)
    reference/<sku>/      photos that teach the product
    validation/<sku>/     photos as the device takes them; half of them calibrate
    test/<sku>/           optional: photos that nothing is fitted on
    unknown/<kind>/       optional: things that are not in the catalogue, by kind

Two further columns mean something: `weight`, the share of the product in the sales mix (a number >= 0), and
`successor`, the SKU that replaces a discontinued one.

What is refused (CatalogueError): a file that is not UTF-8 (a byte order mark is stripped), not comma-separated, without
the five columns, with a repeated column or SKU, a row of the wrong length, an unknown status, a SKU that cannot be a
folder name, a weight that is no number, a successor that is not in the file; no `reference` folder; no usable product.
What is only warned of: a product without reference photos (left out, and named), a folder without a row, two products
with one barcode, files that are not photos.

Limits: photos are listed here, not opened. Products and photos are sorted by name, so that the order of the rows and of
the file system changes nothing.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.errors import CatalogueError
from edge.feedback.wire import NOT_ENROLLED

__all__ = ["REQUIRED", "ROLES", "Catalogue", "Photo", "Product", "check_sku", "is_photo", "read_catalogue"]

REQUIRED = ("sku", "name", "category", "barcode", "status")
STATUSES = ("active", "new", "discontinued")
ROLES = ("reference", "validation", "test")
UNKNOWN = "unknown"
SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_FILE_BYTES = 64 << 20
MAX_SKU_BYTES = 200


@dataclass(frozen=True, slots=True)
class Product:
    """One row of skus.csv. `weight` is 1.0 without that column; `extra` holds the columns that mean nothing here."""

    sku: str
    name: str
    category: str
    barcode: str
    status: str
    weight: float
    successor: str
    extra: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Photo:
    """One picture file. `role` is reference, validation, test or unknown; `label` the SKU, or the kind of unknown."""

    path: Path
    role: str
    label: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A catalogue folder as read. `products` have at least one reference photo; `left_out` are the SKUs that have none.

    `weighted` says whether a `weight` column gave the sales mix.
    """

    path: Path
    products: tuple[Product, ...]
    photos: tuple[Photo, ...]
    left_out: tuple[str, ...]
    weighted: bool
    warnings: tuple[str, ...]


def read_catalogue(path: Path) -> Catalogue:
    """Read skus.csv and list the photos; raises CatalogueError as the module says."""
    products, weighted, warnings = _read_products(path / "skus.csv")
    known = {product.sku for product in products}
    if not (path / ROLES[0]).is_dir():
        raise CatalogueError(f"{path / ROLES[0]}: no such folder; expected one folder of photos per SKU in it")
    photos: list[Photo] = []
    for role in ROLES:
        found, more = _list_role(path / role, role, known)
        photos += found
        warnings += more
    photos += _list_unknown(path / UNKNOWN)
    taught = {photo.label for photo in photos if photo.role == ROLES[0]}
    left_out = tuple(sorted(known - taught))
    if not taught:
        raise CatalogueError(f"{path / ROLES[0]}: no SKU of skus.csv has a photo there; expected reference/<sku>/*.jpg")
    kept = tuple(product for product in products if product.sku in taught)
    usable = tuple(photo for photo in photos if photo.role == UNKNOWN or photo.label in taught)
    return Catalogue(path, kept, usable, left_out, weighted, tuple(warnings))


def _read_products(path: Path) -> tuple[tuple[Product, ...], bool, list[str]]:
    rows = _rows(path)
    header = _check_header(path, rows)
    products: dict[str, Product] = {}
    for number, row in rows[1:]:
        product = _product(f"{path} line {number}", header, row)
        if product.sku in products:
            raise CatalogueError(f"{path} line {number}: the SKU {product.sku!r} appears twice; remove one of the rows")
        products[product.sku] = product
    if not products:
        raise CatalogueError(f"{path}: no product; expected one row per SKU under the header")
    for product in products.values():
        if product.successor and product.successor not in products:
            raise CatalogueError(f"{path}: {product.sku}: successor {product.successor!r} is not a SKU of this file")
        if product.successor == product.sku:
            raise CatalogueError(f"{path}: {product.sku}: names itself as successor; leave the field empty")
    if not math.fsum(p.weight for p in products.values() if p.status != "discontinued") > 0:
        raise CatalogueError(f"{path}: every product on sale has weight 0; expected the shares of a sales mix")
    ordered = tuple(products[sku] for sku in sorted(products))
    return ordered, "weight" in header, _shared_barcodes(path, ordered)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return (line number, fields) of every row that is not blank."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CatalogueError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB; is it the right file?")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CatalogueError(f"{path}: {error.strerror or error}; expected the list of products") from None
    except UnicodeDecodeError as error:
        raise CatalogueError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    if "\0" in text:
        raise CatalogueError(f"{path}: holds a NUL character; it is not a text file")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise CatalogueError(f"{path} line {reader.line_num}: {error}; mend the quoting") from None
    return [(number, row) for number, row in rows if any(field.strip() for field in row)]


def _check_header(path: Path, rows: list[tuple[int, list[str]]]) -> list[str]:
    expected = ",".join(REQUIRED)
    if not rows:
        raise CatalogueError(f"{path}: empty; expected the header {expected} and one row per SKU")
    header = rows[0][1]
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise CatalogueError(
            f"{path}: the header {','.join(header)[:120]!r} lacks {', '.join(missing)}; expected {expected} with commas"
        )
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated or "" in header:
        raise CatalogueError(f"{path}: columns without a name or repeated: {repeated or ['']}; name each column once")
    return header


def _product(where: str, header: list[str], row: list[str]) -> Product:
    if len(row) != len(header):
        raise CatalogueError(f"{where}: {len(row)} fields, the header has {len(header)}; quote fields that hold commas")
    fields = dict(zip(header, row, strict=True))
    sku, status = fields["sku"], fields["status"]
    check_sku(where, sku)
    if status not in STATUSES:
        raise CatalogueError(f"{where}: status {status!r} of {sku}; expected one of {', '.join(STATUSES)}")
    try:
        weight = float(fields.get("weight", "1"))
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise CatalogueError(f"{where}: weight {fields['weight']!r} of {sku}; expected a number, 0 or more")
    extra = {name: value for name, value in fields.items() if name not in (*REQUIRED, "weight", "successor")}
    return Product(
        sku, fields["name"], fields["category"], fields["barcode"], status, weight, fields.get("successor", ""), extra
    )


def check_sku(where: str, sku: str) -> None:
    """Raise CatalogueError, beginning with `where`, for a SKU that cannot be the name of a folder, or means another
    thing in a verdict.
    """
    if sku == NOT_ENROLLED:
        raise CatalogueError(f"{where}: the SKU {sku!r} stands for things in no catalogue; give it another")
    unsafe = any(sign in '/\\<>:"|?*' or ord(sign) < 32 or ord(sign) == 127 for sign in sku)
    if not sku or unsafe or sku.startswith(".") or sku != sku.strip() or len(sku.encode()) > MAX_SKU_BYTES:
        raise CatalogueError(
            f"{where}: the SKU {sku[:60]!r} cannot be a folder name; expected 1 to {MAX_SKU_BYTES} bytes, no slash, "
            "no control or wildcard character, no leading dot, no blanks around it"
        )


def _shared_barcodes(path: Path, products: Iterable[Product]) -> list[str]:
    owners: dict[str, list[str]] = {}
    for product in products:
        if product.barcode:
            owners.setdefault(product.barcode, []).append(product.sku)
    shared = {code: skus for code, skus in owners.items() if len(skus) > 1}
    return [f"{path}: barcode {code} belongs to {', '.join(skus[:5])}" for code, skus in sorted(shared.items())]


def _list_role(folder: Path, role: str, known: set[str]) -> tuple[list[Photo], list[str]]:
    photos, warnings, other = [], [], 0
    for entry in _entries(folder):
        if not entry.is_dir():
            other += 1
        elif entry.name not in known:
            warnings.append(f"{entry}: a folder without a row in skus.csv; ignored")
        else:
            files = _entries(entry)
            found = [Photo(file, role, entry.name) for file in files if is_photo(file)]
            other += len(files) - len(found)
            photos += found
    if other:
        warnings.append(f"{folder}: {other} entries that are not photos ({', '.join(SUFFIXES)}); ignored")
    return photos, warnings


def _list_unknown(folder: Path) -> list[Photo]:
    files = sorted(path for path in folder.rglob("*") if is_photo(path)) if folder.is_dir() else []
    return [
        Photo(file, UNKNOWN, file.relative_to(folder).parts[0] if file.parent != folder else "other") for file in files
    ]


def _entries(folder: Path) -> list[Path]:
    """Return what lies in `folder` except hidden files, sorted; nothing when it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def is_photo(path: Path) -> bool:
    """Tell whether `path` is a file that is taken for a photo, by its name."""
    return path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
