"""When a picture was taken, told by a double of OpenCV's capture: no camera is needed."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from edge.capture.address import Address, SourceKind
from edge.capture.opening import MOST_AGE_NS, Complaints, Source, open_source

NOW_NS = 5_000_000_000_000
MS = 1_000_000


class Driver:
    """Says of the grabbed picture when it was taken."""

    def __init__(self) -> None:
        self.stated_ms = 0.0

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return True

    def get(self, wanted: int) -> float:
        return self.stated_ms if wanted == cv2.CAP_PROP_POS_MSEC else 0.0


def opened(kind: SourceKind, driver: Driver, path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    path.touch()
    monkeypatch.setattr("edge.capture.opening._capture", lambda *_: driver)
    silent = Complaints.__new__(Complaints)  # made whole it would take standard output away
    return open_source(Address(kind, str(path)), 1_000, 1_000, silent)


@pytest.mark.parametrize(
    ("stated_ms", "age_ms"),
    [
        (5_000_000 - 33.5, 33.5),
        (5_000_000 - 8_000, 8_000),  # it lay in the driver
        (5_000_000 + 0.001, 0),  # rounded up
        (0.0, 0),  # no stamp
        (1.9e12, 0),  # by the clock of the day
        (5_000_000 - MOST_AGE_NS / MS - 1, 0),
        (float("nan"), 0),
    ],
)
def test_a_devices_picture_is_as_old_as_its_driver_says_where_that_can_be(
    stated_ms: float, age_ms: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver()
    source = opened(SourceKind.DEVICE, driver, tmp_path / "video0", monkeypatch)
    driver.stated_ms = stated_ms
    assert NOW_NS - source.taken_ns(NOW_NS) == pytest.approx(age_ms * MS, abs=2)


def test_the_place_in_a_file_is_no_time_of_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    source = opened(SourceKind.PATH, driver, tmp_path / "clip.avi", monkeypatch)
    driver.stated_ms = 5_000_000 - 33.5
    assert source.taken_ns(NOW_NS) == NOW_NS
