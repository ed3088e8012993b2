"""Write the Grafana dashboard (10 or newer) beside this file: `python deploy/grafana/dashboard.py`.

One table of panels; the JSON that Grafana wants is made of it. A test holds the stored file to this table, and the
metrics in it to those that the daemon has.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("shelfedge.json")
WIDTH = 24  # of Grafana's grid
HERE = 'job="edge", instance=~"$instance"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Panel(NamedTuple):
    """One panel: what it asks, as (query, legend), and how it is drawn."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    says: str = ""


def rate(metric: str, by: str, more: str = "") -> str:
    """Return the query for a counter's rate."""
    return f"sum by ({by}) (rate({metric}{{{HERE}{more}}}[$__rate_interval]))"


def quantile(share: float) -> str:
    """Return the query for a share of the decisions' latency."""
    return f"histogram_quantile({share}, {rate('edge_decision_latency_seconds_bucket', 'le')})"


def stat(title: str, query: str, unit: str = "short") -> Panel:
    """Return a small panel with one figure."""
    return Panel(title, ((query, "{{instance}}"),), unit, "stat", 4)


STAGE_MEAN = f"{rate('edge_stage_seconds_sum', 'stage')} / {rate('edge_stage_seconds_count', 'stage')}"

ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Now",
        (
            stat("Ready", f"edge_ready{{{HERE}}}", "bool_yes_no"),
            stat("Degraded", f"edge_degraded{{{HERE}}}", "bool_yes_no"),
            stat("Decisions", rate("edge_decisions_total", "instance"), "ops"),
            stat("Cameras running", f"sum by (instance) (edge_camera_running{{{HERE}}})"),
            stat("Oldest undelivered", f"edge_outbox_oldest_seconds{{{HERE}}}", "s"),
            stat("Up for", f"edge_uptime_seconds{{{HERE}}}", "s"),
        ),
    ),
    (
        "Decisions",
        (
            Panel("By route", ((rate("edge_decisions_total", "route"), "{{route}}"),), "ops", stacked=True),
            Panel("By tier", ((rate("edge_decisions_total", "tier"), "{{tier}}"),), "ops", stacked=True),
            Panel(
                "Unknown share",
                (
                    (f"edge:unknown_share:1h{{{HERE}}}", "{{instance}} 1 h"),
                    (f"edge:unknown_share:1d{{{HERE}}}", "{{instance}} 1 d"),
                ),
                "percentunit",
            ),
            Panel(
                "Latency, frame captured to message sent",
                tuple((quantile(share), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
                "s",
                width=12,
            ),
            Panel(
                "Where the time goes, mean of each stage",
                ((STAGE_MEAN, "{{stage}}"),),
                "s",
                width=12,
                stacked=True,
                says="capture and locate are per frame, the others per batch of crops",
            ),
        ),
    ),
    (
        "Cameras",
        (
            Panel("Frames", ((rate("edge_frames_total", "instance, camera"), "{{instance}} {{camera}}"),), "ops"),
            Panel(
                "Drops", ((rate("edge_frames_dropped_total", "camera, reason"), "{{camera}} {{reason}}"),), "ops"
            ),
            Panel(
                "Failures in an hour",
                (
                    (
                        f"sum by (camera, reason) (increase(edge_camera_failures_total{{{HERE}}}[1h]))",
                        "{{camera}} {{reason}}",
                    ),
                    (f"sum by (camera) (increase(edge_camera_reopened_total{{{HERE}}}[1h]))", "{{camera}} reopened"),
                    (f"sum by (camera) (increase(edge_camera_warnings_total{{{HERE}}}[1h]))", "{{camera}} damaged"),
                ),
            ),
        ),
    ),
    (
        "Delivery",
        (
            Panel("Waiting", ((f"edge_outbox_waiting{{{HERE}}}", "{{instance}}"),)),
            Panel("Delivered", ((rate("edge_outbox_delivered_total", "instance"), "{{instance}}"),), "ops"),
            Panel(
                "Lost or dropped in an hour",
                (
                    (f"sum by (route) (increase(edge_outbox_lost_total{{{HERE}}}[1h]))", "outbox {{route}}"),
                    (f"sum by (kind) (increase(edge_messages_dropped_total{{{HERE}}}[1h]))", "live {{kind}}"),
                ),
            ),
        ),
    ),
    (
        "Machine",
        (
            Panel(
                "Memory",
                (
                    (f"edge_memory_used_bytes{{{HERE}}}", "{{instance}} used"),
                    (f"edge_memory_planned_bytes{{{HERE}}}", "{{instance}} planned"),
                ),
                "bytes",
            ),
            Panel("Temperature", ((f"edge_temperature_celsius{{{HERE}}}", "{{instance}}"),), "celsius"),
            Panel("Since the last turn of the loop", ((f"edge_loop_turn_age_seconds{{{HERE}}}", "{{instance}}"),), "s"),
        ),
    ),
    (
        "Truth",
        (
            Panel("Verdicts in an hour", (
                (f"sum by (result) (increase(edge_feedback_verdicts_total{{{HERE}}}[1h]))", "{{result}}"),
                (f"sum (edge_feedback_audits_waiting{{{HERE}}})", "audits waiting"),
            )),
            Panel(
                "Accuracy of the last window",
                (('edge_accuracy{instance=~"$instance"}', "{{instance}} {{tier}} {{question}}"),),
                "percentunit",
                says="from the page of products; charged and asked are measured, see the README",
            ),
            Panel("Events kept", ((f"edge_feedback_events{{{HERE}}}", "{{instance}} {{event}}"),)),
            Panel(
                "Products most often told wrong",
                (
                    (
                        'topk(20, sum by (sku, question) (edge_class_verdicts_total{instance=~"$instance", '
                        'result="wrong"}))',
                        "{{sku}} {{question}}",
                    ),
                ),
                kind="table",
                width=12,
            ),
            Panel(
                "Products most often called unknown or sent to review",
                (
                    (
                        'topk(20, sum by (sku, route) (edge_class_decisions_total{instance=~"$instance", '
                        'route=~"unknown|review"}))',
                        "{{sku}} {{route}}",
                    ),
                ),
                kind="table",
                width=12,
            ),
        ),
    ),
)  # fmt: skip


def dashboard() -> dict[str, Any]:
    """Return what Grafana imports."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place(0, y, WIDTH, 1)})
        x, y, height = 0, y + 1, 4 if row[0].kind == "stat" else 8
        for panel in row:
            if x + panel.width > WIDTH:
                x, y = 0, y + height
            panels.append(drawn(panel, len(panels) + 1, place(x, y, panel.width, height)))
            x += panel.width
        y += height
    return {
        "uid": "shelfedge",
        "title": "shelfedge devices",
        "tags": ["shelfedge"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [data_source(), instances()]},
        "panels": panels,
    }


def drawn(panel: Panel, number: int, where: dict[str, int]) -> dict[str, Any]:
    """Return a panel as Grafana has it."""
    table = panel.kind == "table"
    custom: dict[str, Any] = {"stacking": {"mode": "normal"}, "fillOpacity": 30} if panel.stacked else {}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "gridPos": where,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": custom}, "overrides": []},
        "options": {},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": legend,
                "instant": table,
                "range": not table,
                "format": "table" if table else "time_series",
            }
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    """Return a place on the grid."""
    return {"x": x, "y": y, "w": width, "h": height}


def data_source() -> dict[str, Any]:
    """Return the choice of a Prometheus."""
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def instances() -> dict[str, Any]:
    """Return the choice of devices."""
    return {
        "name": "instance",
        "label": "Device",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": 'label_values(edge_uptime_seconds{job="edge"}, instance)', "refId": "instance"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=1) + "\n", encoding="utf-8")
