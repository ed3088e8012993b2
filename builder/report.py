"""What a build leaves to read: plain values for the manifest, and tables for the terminal.

Nothing here decides; the gates stand in `builder.parity` and `builder.budget`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from builder.budget import Ledger
from builder.features import Part
from builder.gate import Accuracy
from builder.parity import Parity
from builder.sensitivity import Kept
from builder.taps import Tap

__all__ = ["ledger_table", "print_report", "report_values"]

MIB = 1 << 20
LOST = 5  # products that are shown
Figures: TypeAlias = "tuple[Parity, Ledger, Kept | None, Accuracy | None]"


def report_values(
    taps: Sequence[Tap], parts: Sequence[Part], parity: Parity, ledger: Ledger, kept: Kept | None
) -> dict[str, Any]:
    """Return all figures as plain values: numbers, text, lists and mappings."""
    return {
        "taps": [
            {"tensor": tap.tensor, "channels": tap.channels, "height": tap.height, "width": tap.width} for tap in taps
        ],
        "features": [msgspec.to_builtins(_plain(part)) for part in parts],
        "parity": msgspec.to_builtins(parity),
        "kept_in_float": msgspec.to_builtins(kept),
        "memory_estimate": {
            "device": ledger.device,
            "limit_mib": ledger.limit_mib,
            "total_mib": ledger.total_mib,
            "lines": [msgspec.to_builtins(line) for line in ledger.lines],
        },
    }


def print_report(console: Console, taps: Sequence[Tap], dimension: int, figures: Figures) -> None:
    """Print taps, parity, what stayed in float, what is recognised, and memory as tables."""
    parity, ledger, kept, accuracy = figures
    console.print(_tap_table(taps, dimension))
    console.print(_parity_table(parity))
    if kept is not None:
        console.print(_kept_table(kept))
    if accuracy is not None:
        console.print(_accuracy_table(accuracy))
        if accuracy.lost_most:
            console.print(_losses_table(accuracy))
    console.print(ledger_table(ledger, "as built"))


def _kept_table(kept: Kept) -> Table:
    title = f"in float: {len(kept.layers)} of {kept.groups} layers, {kept.cosine_without:.3f} -> {kept.cosine:.3f}"
    table = Table(title=title, title_justify="left")
    table.add_column("layer")
    table.add_column("cosine lost alone", justify="right")
    for layer in kept.layers:
        table.add_row(layer.layer, f"{layer.cosine_lost:.4f}")
    return table


def _accuracy_table(accuracy: Accuracy) -> Table:
    among = f"labelled photos recognised among {len(accuracy.per_sku.sku):,} products"  # fewer are easier to tell apart
    title = f"{among}; the same best candidate for {accuracy.same:.1%}"
    table = Table(title=title, title_justify="left", caption_justify="left")
    for column in ("", "photos", "float", "INT8", "loss, points (95 %)", "limit"):
        table.add_column(column, justify="right" if column else "left", no_wrap=not column)
    table.add_column("", no_wrap=True)
    for line in accuracy.lines:
        table.add_row(
            line.name,
            f"{line.photos:,}",
            f"{line.float32:.1%}",
            f"{line.int8:.1%}",
            f"{line.loss:+.2f}" + ("" if line.low is None else f" ({line.low:+.1f} to {line.high:+.1f})"),
            "" if line.limit is None else f"{line.limit:g}",
            line.verdict,
        )
    needed = [f"{line.name} {line.needs:,}" for line in accuracy.untestable]
    table.caption = f"to be tested it needs, in photos: {', '.join(needed)}" if needed else None
    return table


def _losses_table(accuracy: Accuracy) -> Table:
    table = Table(title="products that lost most", title_justify="left")
    for column in ("sku", "tier", "photos", "float", "INT8"):
        table.add_column(column, justify="left" if column in {"sku", "tier"} else "right")
    for loss in accuracy.lost_most[:LOST]:
        table.add_row(escape(loss.sku), loss.tier, *(str(n) for n in (loss.photos, loss.float32, loss.int8)))
    return table


def _plain(part: Part) -> dict[str, Any]:
    return {"tensor": part.tensor, "statistic": part.statistic, "start": part.start, "stop": part.stop}


def _tap_table(taps: Sequence[Tap], dimension: int) -> Table:
    table = Table(title=f"features: {dimension} from {len(taps)} taps", title_justify="left")
    for column in ("tensor", "channels", "positions"):
        table.add_column(column, justify="left" if column == "tensor" else "right")
    for tap in taps:
        positions = f"{tap.height} x {tap.width}" if tap.is_map else str(tap.height)
        table.add_row(tap.tensor, str(tap.channels), positions)
    return table


def _parity_table(parity: Parity) -> Table:
    which = "the photos that set the ranges" if parity.photos_set_ranges else "held-out photos"
    table = Table(title=f"INT8 against float on {parity.photos} {which}", title_justify="left")
    for column in ("", "float", "INT8 for CPUs", "INT8 for TensorRT"):
        table.add_column(column, justify="right" if column else "left")
    cpu, trt = parity.cpu, parity.trt
    table.add_row("file, MiB", *(f"{n / MIB:.1f}" for n in (parity.float_bytes, cpu.size_bytes, trt.size_bytes)))
    table.add_row("one crop, one thread, ms", f"{parity.float_ms:.1f}", f"{parity.cpu_ms:.1f}", "not run")
    table.add_row("faster by", "", f"{parity.float_ms / parity.cpu_ms:.2f} x", "")
    for name, field in (("mean", "cosine_mean"), ("5 %", "cosine_p05"), ("least", "cosine_min")):
        table.add_row(f"cosine, {name}", "", *(f"{getattr(one, field):.3f}" for one in (cpu, trt)))
    table.add_row("same nearest neighbour", "", *(f"{one.neighbour_agreement:.1%}" for one in (cpu, trt)))
    return table


def ledger_table(ledger: Ledger, when: str) -> Table:
    """Return the ledger as a table; `when` is planned or as built."""
    title = f"memory on {ledger.device}, MiB, {when} (an estimate)"
    table = Table(title=title, title_justify="left", show_footer=True)
    table.add_column("line", footer="total, of which at most")
    table.add_column("MiB", footer=f"{ledger.total_mib:.0f} / {ledger.limit_mib:.0f}", justify="right")
    table.add_column("basis")
    for line in ledger.lines:
        table.add_row(line.name, f"{line.mib:.1f}", line.basis)
    return table
