"""The page of products, `/metrics/classes`: decisions by product and route and verdicts by product, non-zero only, and
the accuracy of the last window by tier.

Rendered from a copy of the arrays, in pieces of PIECE lines: the server pauses between them, so that the frame loop
never waits for the interpreter longer than one piece takes (`benchmarks/observing.py`). Products stand in the order of
the bundle. Where more than `max_classes` have something to show, the first ones are shown, and
`edge_class_series_truncated` says how many series are left out.

It may hold tens of thousands of series: scrape it every few minutes, or leave it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.class_counts import OUTCOMES, ROUTES, ClassCounts, Counts
from edge.messages import AccuracyRow

__all__ = ["PIECE", "pieces"]

PIECE = 64  # lines, about 50 us
_ROUTE_LABELS = tuple(f'",route="{route}"}} ' for route in ROUTES)
_OUTCOME_LABELS = tuple(f'",question="{question}",result="{result}"}} ' for question, result in OUTCOMES)
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def pieces(counts: ClassCounts, accuracy: Sequence[AccuracyRow], max_classes: int) -> Iterator[str]:
    """Yield the page in the text format of Prometheus, piece by piece; `accuracy` is that of tiers and all."""
    decisions, verdicts = counts.decisions.copy(), counts.verdicts.copy()
    told = np.flatnonzero(decisions.any(axis=1) | verdicts.any(axis=1))
    shown, hidden = told[:max_classes], told[max_classes:]
    truncated = np.count_nonzero(decisions[hidden]) + np.count_nonzero(verdicts[hidden])
    yield from (
        "# HELP edge_class_series_truncated Series left out because of metrics.max_classes\n"
        "# TYPE edge_class_series_truncated gauge\n"
        f"edge_class_series_truncated {truncated}\n",
        "# HELP edge_class_decisions_total Decisions by product and route\n# TYPE edge_class_decisions_total counter\n",
    )
    yield from _lines('edge_class_decisions_total{sku="', counts.skus, decisions, shown, _ROUTE_LABELS)
    yield (
        "# HELP edge_class_verdicts_total Things checked, by product and whether they were right\n"
        "# TYPE edge_class_verdicts_total counter\n"
    )
    yield from _lines('edge_class_verdicts_total{sku="', counts.skus, verdicts, shown, _OUTCOME_LABELS)
    yield _accuracy(accuracy)


def _lines(
    begin: str, skus: Sequence[str], counts: Counts, shown: NDArray[np.intp], labels: Sequence[str]
) -> Iterator[str]:
    """Yield PIECE lines at a time, by product and then by column."""
    rows, columns = np.nonzero(counts[shown])
    for start in range(0, len(rows), PIECE):
        own, column = shown[rows[start : start + PIECE]], columns[start : start + PIECE]
        values = counts[own, column].tolist()
        yield "".join(
            f"{begin}{skus[row].translate(_ESCAPES)}{labels[number]}{value}\n"
            for row, number, value in zip(own.tolist(), column.tolist(), values, strict=True)
        )


def _accuracy(rows: Sequence[AccuracyRow]) -> str:
    measured = "# HELP edge_accuracy Of the last window, by truth\n# TYPE edge_accuracy gauge\n"
    estimated = "# HELP edge_accuracy_estimated The same without truth (CBPE)\n# TYPE edge_accuracy_estimated gauge\n"
    for row in rows:
        tier = (row.name or "all").translate(_ESCAPES)
        for question, share in (("charged", row.charged), ("asked", row.asked), ("weighted", row.weighted)):
            if share is not None:
                measured += f'edge_accuracy{{tier="{tier}",question="{question}"}} {share.value!r}\n'
        if row.estimated is not None:
            estimated += f'edge_accuracy_estimated{{tier="{tier}"}} {row.estimated!r}\n'
    return measured + estimated
