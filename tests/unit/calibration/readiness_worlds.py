"""A tiny bundle for the readiness report, and bundles whose report says something else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from edge.bundle import read_bundle, write_bundle

KINDS = {"near": 0.31, "brands": 0.83, "unknown/far": 0.99, "shifted": 0.12}


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": max(value - 0.05, 0.0), "high": min(value + 0.05, 1.0)}


def detector(classes: int = 60, budget: float = 0.05, **shares: float) -> dict[str, Any]:
    """Return the key `detector` of a report, with shares detected at 5 % by kind."""
    found = {**KINDS, **shares}
    kinds = [
        {
            "kind": kind,
            "classes": classes,
            "photos": 4 * classes,
            "auroc": figure(0.5 + share / 2),
            "fpr95": figure(1 - share),
            "detected": {"0.01": figure(share * 0.6), "0.05": figure(share), "0.10": figure(min(share * 1.1, 1.0))},
            "accepted": {"0.05": figure(0.02)},
        }
        for kind, share in found.items()
    ]
    chosen = {
        "method": "energy",
        "chosen": True,
        "offered": True,
        "operations": 12_000,
        "memory_bytes": 0,
        "kinds": kinds,
    }
    other = {**chosen, "method": "max_cosine", "chosen": False, "kinds": []}
    return {"method": "energy", "false_unknown_budget": budget, "splits": 5, "methods": [other, chosen]}


def with_report(bundle: Path, out: Path, **changes: Any) -> Path:
    """Write a copy of a bundle whose report.json is changed, sealed anew."""
    info = read_bundle(bundle).info
    report = json.loads((bundle / "report.json").read_bytes())
    with write_bundle(out, info) as folder:
        for path in bundle.iterdir():
            if path.name not in ("manifest.json", "report.json"):
                shutil.copy(path, folder / path.name)
        (folder / "report.json").write_text(json.dumps({**report, **changes}))
    return out
