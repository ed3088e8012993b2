from __future__ import annotations

from pathlib import Path

import pytest

from calibration.photos.catalogue import read_catalogue
from edge.errors import CatalogueError

HEADER = "sku,name,category,barcode,status"
ROW = "a,Apple juice,drinks,123,active"


def make(folder: Path, text: str | bytes, skus: tuple[str, ...] = ("a",)) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "skus.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    for sku in skus:
        for role in ("reference", "validation"):
            place = folder / role / sku
            place.mkdir(parents=True)
            (place / "1.jpg").write_bytes(b"x")
    return folder


def test_reads_products_and_photos_sorted(tmp_path: Path) -> None:
    text = f"{HEADER},weight,colour\nb,Beans,food,,new,0.5,red\na,Apple juice,drinks,123,active,2,green\n"
    make(tmp_path, text, ("a", "b"))
    (tmp_path / "unknown" / "fruit" / "deep").mkdir(parents=True)
    (tmp_path / "unknown" / "fruit" / "deep" / "2.PNG").write_bytes(b"x")
    (tmp_path / "unknown" / "3.jpeg").write_bytes(b"x")
    found = read_catalogue(tmp_path)
    assert [p.sku for p in found.products] == ["a", "b"]
    assert found.products[1].weight == 0.5
    assert found.products[0].extra == {"colour": "green"}
    assert found.weighted
    assert [(p.role, p.label) for p in found.photos] == [
        ("reference", "a"),
        ("reference", "b"),
        ("validation", "a"),
        ("validation", "b"),
        ("unknown", "other"),
        ("unknown", "fruit"),
    ]
    assert found.warnings == ()
    assert found.left_out == ()


def test_byte_order_mark_is_stripped(tmp_path: Path) -> None:
    found = read_catalogue(make(tmp_path, b"\xef\xbb\xbf" + f"{HEADER}\r\n{ROW}\r\n".encode()))
    assert found.products[0].sku == "a"


def test_quoted_fields_may_hold_commas_and_newlines(tmp_path: Path) -> None:
    found = read_catalogue(make(tmp_path, f'{HEADER}\na,"Juice, ""fresh""\n1 l",drinks,,active\n'))
    assert found.products[0].name == 'Juice, "fresh"\n1 l'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        (HEADER + "\n", "no product"),
        (f"sku,name,category,status\n{ROW}\n", "lacks barcode"),
        (f"SKU,name,category,barcode,status\n{ROW}\n", "lacks sku"),
        (f"{HEADER.replace(',', ';')}\n{ROW}\n", "with commas"),
        (f"{HEADER},sku\n{ROW},a\n", "repeated"),
        (f"{HEADER},\n{ROW},\n", "without a name"),
        (f"{HEADER}\n{ROW}\n{ROW}\n", "line 3: the SKU 'a' appears twice"),
        (f"{HEADER}\na,Apple,drinks,123,sold\n", "status 'sold'"),
        (f"{HEADER}\n../a,Apple,drinks,123,active\n", "cannot be a folder name"),
        (f"{HEADER}\nunknown,Apple,drinks,123,active\n", "the SKU 'unknown' stands for things in no catalogue"),
        (f"{HEADER}\n.,Apple,drinks,123,active\n", "cannot be a folder name"),
        (f"{HEADER}\na b ,Apple,drinks,123,active\n", "cannot be a folder name"),
        (f"{HEADER}\n,Apple,drinks,123,active\n", "cannot be a folder name"),
        (f"{HEADER}\n{'a' * 300},Apple,drinks,123,active\n", "cannot be a folder name"),
        (f"{HEADER}\na,Apple,drinks,active\n", "4 fields, the header has 5"),
        (f"{HEADER}\na,Apple,fresh,drinks,123,active\n", "6 fields, the header has 5"),
        (f'{HEADER}\na,"Apple,drinks,123,active\n', "mend the quoting"),
        (f'{HEADER}\na,"Apple"x,drinks,123,active\n', "mend the quoting"),
        (f"{HEADER},weight\n{ROW},many\n", "weight 'many'"),
        (f"{HEADER},weight\n{ROW},-1\n", "weight '-1'"),
        (f"{HEADER},weight\n{ROW},nan\n", "weight 'nan'"),
        (f"{HEADER},weight\n{ROW},0\n", "weight 0"),
        (f"{HEADER},successor\n{ROW},zz\n", "successor 'zz'"),
        (f"{HEADER},successor\n{ROW},a\n", "names itself"),
        (f"{HEADER}\na,Ap\0ple,drinks,123,active\n", "NUL"),
        (b"\xff\xfes\x00k\x00u\x00", "not UTF-8"),
        (f"{HEADER}\na,Caf\xe9,drinks,123,active\n".encode("latin-1"), "not UTF-8"),
    ],
)
def test_bad_file_is_one_clear_error(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(CatalogueError, match=r"skus\.csv") as caught:
        read_catalogue(make(tmp_path, text))
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


def test_missing_file_and_missing_reference_folder(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"skus\.csv: No such file"):
        read_catalogue(tmp_path)
    (tmp_path / "skus.csv").write_text(f"{HEADER}\n{ROW}\n")
    with pytest.raises(CatalogueError, match="no such folder"):
        read_catalogue(tmp_path)
    (tmp_path / "reference").mkdir()
    with pytest.raises(CatalogueError, match="no SKU of"):
        read_catalogue(tmp_path)


def test_product_without_photos_is_left_out_and_named(tmp_path: Path) -> None:
    make(tmp_path, f"{HEADER}\n{ROW}\nb,Beans,food,,active\n")
    (tmp_path / "validation" / "b").mkdir()
    (tmp_path / "validation" / "b" / "1.jpg").write_bytes(b"x")
    found = read_catalogue(tmp_path)
    assert found.left_out == ("b",)
    assert {p.label for p in found.photos} == {"a"}


def test_odd_things_are_warned_of(tmp_path: Path) -> None:
    make(tmp_path, f"{HEADER}\n{ROW}\nb,Beans,food,123,active\n", ("a", "b", "ghost"))
    (tmp_path / "reference" / "a" / "notes.txt").write_text("x")
    (tmp_path / "reference" / ".DS_Store").write_text("x")
    found = read_catalogue(tmp_path)
    text = "\n".join(found.warnings)
    assert "ghost: a folder without a row" in text
    assert "barcode 123 belongs to a, b" in text
    assert "reference: 1 entries that are not photos" in text
    assert "DS_Store" not in text
