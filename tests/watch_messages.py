"""Real messages of an imagined daemon, encoded as it encodes them."""

from __future__ import annotations

from typing import Any

from edge import messages


def decision(seq: int, *, form: str = "json", **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "schema": messages.SCHEMA,
        "decision_id": f"cart-07:e1:{seq}",
        "device_id": "cart-07",
        "epoch": "e1",
        "seq": seq,
        "bundle_id": "bundle-1",
        "camera_id": "left",
        "frame": seq,
        "captured_monotonic_ns": 1,
        "captured_utc": "2026-11-21T12:00:00.000000+00:00",
        "region": messages.Region(x=0, y=0, width=10, height=10, label="full_frame"),
        "route": "accept",
        "sku": "4006381333931",
        "name": "Haselnuss-Schnitten 250 g",
        "confidence": 0.987,
        "ood_score": 0.1,
        "candidates": (messages.Candidate(sku="4006381333931", similarity=0.9),),
        "verify_set": (),
        "reasons": ("certified",),
        "latency_ms": 41.25,
    }
    return messages.encode(messages.DecisionMessage(**{**fields, **changes}), form)


def health(seq: int, *, routes: dict[str, int] | None = None, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "schema": messages.SCHEMA,
        "device_id": "cart-07",
        "epoch": "e1",
        "seq": seq,
        "bundle_id": "bundle-1",
        "uptime_s": 3661.0,
        "decisions": sum((routes or {}).values()),
        "routes": routes or {},
        "decisions_per_s": 15.0,
        "latency_p50_ms": 41.0,
        "latency_p99_ms": 63.0,
        "resident_mib": 142.0,
        "publish_dropped": 0,
        "cameras": (messages.CameraHealth(id="left", state="running", frames=600, dropped=2, reopened=0),),
    }
    return messages.encode(messages.HealthMessage(**{**fields, **changes}), "json")


def event(seq: int, event_id: str = "cart-07:ab:1", **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "schema": messages.SCHEMA,
        "event_id": event_id,
        "device_id": "cart-07",
        "epoch": "e1",
        "seq": seq,
        "bundle_id": "bundle-1",
        "event": "low_accuracy",
        "summary": "tier tail (charged): 81 of 90, then 79 of 90 right, under 97% in two windows",
        "evidence": {},
    }
    return messages.encode(messages.EventMessage(**{**fields, **changes}), "json")
