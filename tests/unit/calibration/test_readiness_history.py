"""The file of catalogue changes: what is refused, and the rate."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.readiness.history import (
    OWN_RECORD,
    Month,
    check_history,
    months_from_record,
    quarterly_rate,
    read_history,
)
from calibration.readiness.verdict import Verdict
from edge.bundle import Change
from edge.errors import InputError

HEADER = "month,added,changed,removed\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "changes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def months(*changes: int, start: int = 2025 * 12) -> tuple[Month, ...]:
    return tuple(Month(start + i, 0, count, 0) for i, count in enumerate(changes))


def test_a_year_is_read(tmp_path: Path) -> None:
    text = "\ufeff" + HEADER + "2025-11,1,2,3\n2025-12,0,0,0\n2026-01, 4,5,6\n"
    found = read_history(write(tmp_path, text))
    assert [month.name for month in found] == ["2025-11", "2025-12", "2026-01"]
    assert found[2] == Month(2026 * 12, 4, 5, 6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "first line is 'nothing'"),
        ("date,added,changed,removed\n2026-01,1,1,1\n", "expected month,added"),
        (HEADER + "2026-01,1,1\n2026-02,1,1,1\n2026-03,1,1,1\n", "line 2: 3 fields"),
        (HEADER + "2026-13,1,1,1\n", "month '2026-13'"),
        (HEADER + "2026-1,1,1,1\n", "month '2026-1'"),
        (HEADER + "2026-01,1,-1,1\n", "changed is '-1'"),
        (HEADER + "2026-01,1,1.5,1\n", "changed is '1.5'"),
        (HEADER + "2026-01,1,1,1\n2026-03,1,1,1\n2026-04,1,1,1\n", "line 3: 2026-03 follows 2026-01"),
        (HEADER + "2026-01,1,1,1\n2026-01,1,1,1\n2026-02,1,1,1\n", "2026-01 follows 2026-01"),
        (HEADER + "2026-01,1,1,1\n2026-02,1,1,1\n", "2 months"),
        (HEADER + '2026-01,"1,1,1\n', "expected month"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_history(write(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_history(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read_history(tmp_path / "b.csv")


def test_rate_by_hand() -> None:
    # 1,000 now; +100 in the last month, so 900 before; changes 100 in 3 months
    year = (Month(1, 0, 0, 0), Month(2, 0, 0, 0), Month(3, 100, 0, 0))
    assert quarterly_rate(year, 1000) == pytest.approx(100 / ((1000 + 900 + 900) / 3))


@given(st.lists(st.integers(0, 500), min_size=3, max_size=12), st.integers(1, 5000))
def test_more_changes_never_lower_the_rate(changes: list[int], products: int) -> None:
    more = [count + 1 for count in changes]
    assert quarterly_rate(months(*more), products) > quarterly_rate(months(*changes), products) >= 0


def test_verdicts() -> None:
    slow = check_history(months(*[10] * 12), 1000, "", 0)
    assert slow.verdict is Verdict.PASS
    assert slow.figure == pytest.approx(0.03)
    fast = check_history(months(*[30] * 12), 1000, "", 0)
    assert fast.verdict is Verdict.FAIL
    assert "--unknown-loop" in fast.advice
    declared = check_history(months(*[30] * 12), 1000, "shop team, daily", 0)
    assert declared.verdict is Verdict.PASS
    assert "shop team, daily" in declared.found
    assert declared.figure == fast.figure
    missing = check_history((), 1000, "", 0)
    assert missing.verdict is Verdict.NOT_TESTABLE
    assert "month,added,changed,removed" in missing.needs


def test_only_the_last_year_counts() -> None:
    assert check_history(months(*[500] * 5, *[10] * 12), 1000, "", 0).figure == pytest.approx(0.03)


def test_a_bundles_own_record_gives_months() -> None:
    def change(what: str, date: str) -> Change:
        return Change(change=what, sku="a", date=date)

    record = [change("enrol", "2025-11-03"), change("enrol", "2025-11-30"), change("retire", "2026-02-01")]
    record += [change("reinstate", "2026-02-02"), change("remove", "2026-02-28")]
    found = months_from_record(record)
    assert [month.name for month in found] == ["2025-11", "2025-12", "2026-01", "2026-02"]
    assert [(month.added, month.changed, month.removed) for month in found] == [
        (2, 0, 0),
        (0, 0, 0),
        (0, 0, 0),
        (1, 0, 2),
    ]
    assert months_from_record(record[:2]) == ()
    assert months_from_record(()) == ()
    said = check_history(found, 100, "", 0, OWN_RECORD).found
    assert "own record" in said
