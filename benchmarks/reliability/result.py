"""What one fault comes back with, and the table of all: a fault a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.bench.report import Figure

__all__ = ["Result", "markdown", "shown"]


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one fault. `remark` is what a reader must know besides.

    `not_run` says why there are no figures; `failed` that there should have been, and the product is to blame.
    """

    fault: str
    figures: tuple[Figure, ...] = ()
    not_run: str = ""
    remark: str = ""
    failed: bool = False

    @property
    def verdict(self) -> str:
        """Return met, missed, not run, or not told: a figure with a bar that neither passed nor failed."""
        if self.failed or any(figure.passed is False for figure in self.figures):
            return "missed"
        if not self.figures:
            return "not run"
        return "not told" if any(figure.bar and figure.passed is None for figure in self.figures) else "met"


def markdown(results: Sequence[Result]) -> str:
    """Return the table as it stands in benchmarks/README.md."""
    lines = ["| fault | seen | bar | |", "|---|---|---|---|"]
    for result in results:
        seen = "; ".join(shown(figure) for figure in result.figures) or result.not_run
        bars = "; ".join(f"{f.name} {f.bar}" for f in result.figures if f.bar)
        remark = f" ({result.remark})" if result.remark else ""
        lines.append(f"| {result.fault} | {seen}{remark} | {bars} | {result.verdict} |")
    return "\n".join(lines)


def shown(figure: Figure) -> str:
    """Return one figure with its unit; a missed one says so."""
    value = figure.value
    digits = f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"
    missed = " **missed**" if figure.passed is False else ""
    return f"{figure.name} {digits} {figure.unit}".strip() + missed
