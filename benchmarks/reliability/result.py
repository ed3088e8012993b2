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
    lines = ["| fault | seen (bar) | |", "|---|---|---|"]
    for result in results:
        seen = ", ".join(shown(figure) for figure in result.figures) or result.not_run
        remark = f"; {result.remark}" if result.remark else ""
        lines.append(f"| {result.fault} | {seen}{remark} | {result.verdict} |")
    return "\n".join(lines)


def shown(figure: Figure) -> str:
    """Return one figure with its unit and its bar; one that missed it is in bold."""
    value = figure.value
    digits = f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.2g}"
    bar = f" ({figure.bar.removesuffix(figure.unit).strip()})" if figure.bar else ""
    words = f"{figure.name} {digits} {figure.unit}".strip() + bar
    return f"**{words}**" if figure.passed is False else words
