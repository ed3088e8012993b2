from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.photos.feature_store import FeatureStore, Measured
from edge.errors import InputError

FEATURES = np.random.default_rng(0).standard_normal((3, 10)).astype(np.float32)
MEASURED = [Measured(bytes([n]) * 32, 100 + n, 1.5 * n) for n in range(3)]


def filled(folder: Path) -> None:
    with FeatureStore(folder, folder, "build", 10) as store:
        store.append(MEASURED[:2], FEATURES[:2])
        store.append(MEASURED[2:], FEATURES[2:])


def test_reads_back_what_was_written_in_a_later_run(tmp_path: Path) -> None:
    filled(tmp_path)
    with FeatureStore(tmp_path, tmp_path, "build", 10) as store:
        rows = np.array([store.find(m.digest) for m in MEASURED])
        assert rows.tolist() == [0, 1, 2]
        np.testing.assert_allclose(store.read(rows[::-1].copy()), FEATURES[::-1], rtol=2e-3)
        assert store.measured(1) == MEASURED[1]
        assert store.find(b"?" * 32) == -1


def test_another_build_shares_nothing(tmp_path: Path) -> None:
    filled(tmp_path)
    with FeatureStore(tmp_path, tmp_path, "other", 10) as store:
        assert store.find(MEASURED[0].digest) == -1


@pytest.mark.parametrize("name", ["build.features", "build.index"])
def test_truncated_or_damaged_rows_are_forgotten(tmp_path: Path, name: str) -> None:
    filled(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with FeatureStore(tmp_path, tmp_path, "build", 10) as store:
        assert [store.find(m.digest) for m in MEASURED] == [0, 1, -1]
        store.append(MEASURED[2:], FEATURES[2:])
    assert path.read_bytes() == whole
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1  # in the middle row
    path.write_bytes(bytes(damaged))
    with FeatureStore(tmp_path, tmp_path, "build", 10) as store:
        assert [store.find(m.digest) for m in MEASURED] == [0, -1, -1]


def test_without_a_folder_nothing_is_left_behind(tmp_path: Path) -> None:
    with FeatureStore(None, tmp_path, "build", 10) as store:
        store.append(MEASURED, FEATURES)
        np.testing.assert_allclose(store.read(np.array([2])), FEATURES[2:], rtol=2e-3)
        assert list(tmp_path.iterdir()) == []


def test_one_run_at_a_time_writes_a_cache(tmp_path: Path) -> None:
    with (
        FeatureStore(tmp_path, tmp_path, "build", 10),
        pytest.raises(InputError, match="another run"),
        FeatureStore(tmp_path, tmp_path, "build", 10),
    ):
        pass
