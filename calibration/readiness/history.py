"""Check 3: how fast does the catalogue change? From a file that the shop keeps:

    month,added,changed,removed        one row per calendar month, none left out, oldest first
    2026-01,14,6,9                     products added, products whose pack changed, products removed in that month

Strict, because a month that is missing may be one without changes or one that nobody wrote down: a gap, a repeated
month, another column, a number that is no whole number from 0 on is refused with its line (InputError). Three months at
least.

Without such a file the bundle's own record is read, if it spans three months: what `edge-calibrate enrol, retire,
reinstate, remove` did, from the month of the first change to that of the last. It knows no change of a pack and nothing
before the calibration, and says so.

Figure: changes of the last twelve months (or all, if fewer), per quarter, over the mean number of products on sale in
that time; that number is today's, walked back through added and removed. Interval: bootstrap over months: changes come
in waves, so a Poisson interval would be too narrow. The projection for the next twelve months is the same rate.

Above 5 % a quarter retraining alone is too slow: somebody must look at what the device calls unknown. Software cannot
see whether a shop does; who does it is therefore declared (`loop`), and the declaration stands in the report.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibration.readiness.verdict import DRAWS, Check, Interval, Limit, Topic, Verdict, judge, not_testable
from edge.bundle import Change
from edge.errors import InputError

__all__ = ["HEADER", "OWN_RECORD", "Month", "check_history", "months_from_record", "quarterly_rate", "read_history"]

HEADER = ("month", "added", "changed", "removed")
MIN_MONTHS, YEAR = 3, 12
MAX_BYTES = 1 << 20
OWN_RECORD = " From the bundle's own record, which knows no changed packs and nothing before its calibration."
_ARRIVES = {"enrol", "reinstate"}
TOPIC = Topic("change", "Catalogue change rate", Limit(0.05, at_most=True, unit="share"))


@dataclass(frozen=True, slots=True)
class Month:
    """The changes of one calendar month, `number` counted from year 0."""

    number: int
    added: int
    changed: int
    removed: int

    @property
    def name(self) -> str:
        """Return the month as YYYY-MM."""
        return f"{self.number // 12:04d}-{self.number % 12 + 1:02d}"

    @property
    def changes(self) -> int:
        """Return how many products changed in any way."""
        return self.added + self.changed + self.removed


def read_history(path: Path) -> tuple[Month, ...]:
    """Read a file of changes, oldest month first; raises InputError as the module says."""
    rows = _rows(path)
    expected = ",".join(HEADER)
    if not rows or tuple(rows[0][1]) != HEADER:
        found = ",".join(rows[0][1])[:80] if rows else "nothing"
        raise InputError(f"{path}: the first line is {found!r}, expected {expected}")
    months = [_month(f"{path} line {number}", row) for number, row in rows[1:]]
    for (number, _), before, after in zip(rows[2:], months[:-1], months[1:], strict=True):
        if after.number != before.number + 1:
            raise InputError(
                f"{path} line {number}: {after.name} follows {before.name}; expected every month once, oldest first "
                "(a month without changes has 0,0,0)"
            )
    if len(months) < MIN_MONTHS:
        raise InputError(f"{path}: {len(months)} months, expected {MIN_MONTHS} at least: a rate is per quarter")
    return tuple(months)


def months_from_record(changes: Sequence[Change]) -> tuple[Month, ...]:
    """Return the months from the first change of a bundle to its last one; none when they are under MIN_MONTHS."""
    numbers = [12 * int(change.date[:4]) + int(change.date[5:7]) - 1 for change in changes]
    if not numbers or max(numbers) - min(numbers) + 1 < MIN_MONTHS:
        return ()
    arrived = [change.change in _ARRIVES for change in changes]
    return tuple(
        Month(
            number,
            sum(own == number and came for own, came in zip(numbers, arrived, strict=True)),
            0,
            sum(own == number and not came for own, came in zip(numbers, arrived, strict=True)),
        )
        for number in range(min(numbers), max(numbers) + 1)
    )


def quarterly_rate(months: Sequence[Month], products: int) -> float:
    """Return the changes per quarter over the mean catalogue; `products` are on sale after the last month."""
    sizes, size = [], products
    for month in reversed(months):
        sizes.append(size)
        size = max(size - month.added + month.removed, 1)
    return 3.0 * float(np.mean([month.changes for month in months])) / max(float(np.mean(sizes)), 1.0)


def check_history(months: Sequence[Month], products: int, loop: str, seed: int, source: str = "") -> Check:
    """Check the change rate of a catalogue with `products` on sale now; no months: not testable.

    `source` says where the months come from, where that is not a file of the shop.
    """
    past = (
        "Have somebody look daily at what the device calls unknown or sends to review, and enrol it within days; then "
        "say who with --unknown-loop. Calibrating now and then is too slow for this shop."
    )
    if not months:
        needs = (
            f"{MIN_MONTHS} months of changes: a file {','.join(HEADER)} given as --history, or in the bundle's record"
        )
        return not_testable(TOPIC, needs, "Write down every month what was added, changed and removed.")
    year = months[-YEAR:]
    rate = quarterly_rate(year, products)
    generator = np.random.default_rng(seed)
    draws = [quarterly_rate([year[i] for i in generator.integers(0, len(year), len(year))], products)
             for _ in range(DRAWS)]  # fmt: skip
    low, high = np.quantile(draws, [0.025, 0.975])
    interval = Interval(float(low), float(high), f"95 %, bootstrap over {len(year)} months")
    worst = max(sum(m.changes for m in months[i : i + 3]) for i in range(len(months) - 2))
    total = sum(month.changes for month in year)
    found = (
        f"{total:,} changes in {len(year)} months to {year[-1].name}, {products:,} products on sale now; the busiest "
        f"three months had {worst:,}. At this rate about {4 * rate * products:,.0f} in the next twelve.{source}"
    )
    details = {"months": [[month.name, month.added, month.changed, month.removed] for month in months], "loop": loop}
    check = judge(TOPIC, rate, interval, (found, "Nothing; keep the record.", past), details)
    if loop and check.verdict is Verdict.FAIL:
        said = f"{found} Over the limit, and a loop for unknown products is declared: {loop}."
        return replace(check, verdict=Verdict.PASS, found=said, advice="Keep the declared loop staffed.")
    return check


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES} bytes; expected one line per month")
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected {','.join(HEADER)}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [(reader.line_num, [field.strip() for field in row]) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: {error}; expected {','.join(HEADER)}") from None
    return [(number, row) for number, row in rows if any(row)]


def _month(where: str, row: Sequence[str]) -> Month:
    if len(row) != len(HEADER):
        raise InputError(f"{where}: {len(row)} fields, expected {','.join(HEADER)}")
    date = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", row[0])
    if not date:
        raise InputError(f"{where}: month {row[0]!r}, expected YYYY-MM such as 2026-01")
    counts = []
    for name, field in zip(HEADER[1:], row[1:], strict=True):
        if not re.fullmatch(r"[0-9]{1,9}", field):
            raise InputError(f"{where}: {name} is {field!r}, expected a whole number, 0 or more")
        counts.append(int(field))
    return Month(int(date[1]) * 12 + int(date[2]) - 1, *counts)
