"""One line per decision, for pipes: tab-separated, so that `cut` and `awk` work on it.

    time (UTC)  camera  route  sku  confidence  reasons (comma-separated)  latency in ms  name

A value that is not there is `-`. Texts come from `edge.watch.state`, which lets no tab or line break through.
"""

from __future__ import annotations

from edge.watch.state import Row, View

__all__ = ["line", "summary"]


def line(row: Row) -> str:
    """Return the line of one decision, without its line break."""
    fields = (
        row.captured_utc,
        row.camera,
        row.route,
        row.sku or "-",
        f"{row.confidence:.3f}",
        ",".join(row.reasons) or "-",
        f"{row.latency_ms:.1f}",
        row.name or "-",
    )
    return "\t".join(fields)


def summary(received: int, view: View) -> str:
    """Return what a watcher says when it ends."""
    said = f"{received} decisions, {view.missed} messages missed"
    if view.malformed:
        said += f", {view.malformed} malformed (last: {view.last_malformed})"
    return said
