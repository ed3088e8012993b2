"""Every command of the README is run, as it stands there, in a copy of what a newcomer has: those of one's own shop
here, `make demo` and the other builds in the files beside this one.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from readme_commands import PARTS, TEST_PHOTOS, copied_tree, run, shell_lines, with_backbone_and_products


def test_the_readme_names_the_two_commands_and_the_commands_of_the_product() -> None:
    lines = shell_lines()
    assert lines[:2] == shell_lines("make") == ["make demo", "make test"]
    assert {"edge-build", "edge-calibrate", "edge-classify", "edge-daemon"} <= {line.split()[0] for line in lines}


def test_every_command_is_in_one_part() -> None:
    assert sorted(line for part in PARTS for line in shell_lines(part)) == sorted(shell_lines())
    assert all(shell_lines(part) for part in PARTS)


def write_spring(other: Path, spring: Path) -> None:
    """Take a catalogue for one of new products: SKUs that nobody has yet."""
    rows = (other / "skus.csv").read_text(encoding="utf-8").replace("sku-", "spring-")
    for role in ("reference", "validation"):
        for folder in sorted((other / role).iterdir()):
            shutil.copytree(folder, spring / role / folder.name.replace("sku-", "spring-"))
    (spring / "skus.csv").write_text(rows, encoding="utf-8")


@pytest.mark.timeout(900)
def test_the_commands_on_ones_own_backbone_and_products(tmp_path: Path) -> None:
    folder = copied_tree(tmp_path)
    with_backbone_and_products(folder)
    spring = ("--skus", "3", "--seed", "77", "--photos", "flat:4,4,1", "--unknown", "1", "--out", "other")
    run(folder, ["edge-render", "catalogue", *spring], timeout=300)
    shutil.copytree(sorted((folder / "other" / "reference").iterdir())[0], folder / "photos" / "oat-1l")
    write_spring(folder / "other", folder / "spring")
    for line in shell_lines("shop"):
        if "demo-cart.yaml" in line:
            shutil.copytree(folder / "bundle", folder / "demo" / "bundle")
        run(folder, shlex.split(line), timeout=900)
    assert (folder / "decisions.jsonl").read_text(encoding="utf-8").count("\n") == TEST_PHOTOS


def test_make_test_is_the_whole_suite(tmp_path: Path) -> None:
    plan = run(copied_tree(tmp_path), ["make", "--dry-run", "test"], timeout=30)
    assert "-m pytest" in plan
