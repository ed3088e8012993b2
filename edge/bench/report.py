"""Figures, the bars they are held to, and how they are shown: a table on the terminal and a JSON file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.bench.machine import Machine
from edge.errors import GateError, InputError
from edge.writing import whole_file

__all__ = ["Figure", "at_least", "at_most", "check_writable", "gate", "show", "write"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `bar` states what the product asks for, in words; `passed` is None where it asks nothing."""

    name: str
    value: float
    unit: str
    bar: str = ""
    passed: bool | None = None


def at_most(name: str, value: float, unit: str, limit: float) -> Figure:
    """Return a figure that must not exceed `limit`; NaN does not pass."""
    return Figure(name, value, unit, f"<= {limit:g} {unit}".strip(), value <= limit)


def at_least(name: str, value: float, unit: str, limit: float) -> Figure:
    """Return a figure that must reach `limit`; NaN does not pass."""
    return Figure(name, value, unit, f">= {limit:g} {unit}".strip(), value >= limit)


def show(title: str, figures: Sequence[Figure], machine: Machine) -> None:
    """Print the table, and one line about the machine."""
    console = Console(highlight=False)
    console.print(Text(title, style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_column("unit", style="dim")
    table.add_column("bar")
    table.add_column("")
    for figure in figures:
        verdict = {None: Text(""), True: Text("pass", style="green"), False: Text("FAIL", style="bold red")}
        table.add_row(figure.name, _digits(figure.value), figure.unit, figure.bar, verdict[figure.passed])
    console.print(table)
    what = f"{machine.processor}, {machine.cores} cores, load before {machine.load_before}"
    console.print(Text(f"{what}, Python {machine.python}", style="dim"))
    if machine.is_busy:
        console.print(Text("the machine was busy before: these are not its figures", style="yellow"))


def check_writable(out: Path | None) -> None:
    """Raise InputError now rather than after minutes of measuring when `out` cannot be written."""
    if out is not None and (not out.parent.is_dir() or not os.access(out.parent, os.W_OK) or out.is_dir()):
        raise InputError(f"{out}: cannot be written; give --out a file in a folder that exists")


def write(
    out: Path | None, command: str, what: Mapping[str, object], figures: Sequence[Figure], machine: Machine
) -> None:
    """Write command, subject, machine and figures as JSON, whole or not at all."""
    if out is None:
        return
    content = {"command": command, **what, "machine": machine, "figures": figures}
    with whole_file(out) as file:
        file.write(msgspec.json.format(msgspec.json.encode(content)) + b"\n")


def gate(figures: Sequence[Figure]) -> None:
    """Raise GateError naming every bar that was missed."""
    missed = [f"{f.name} is {_digits(f.value)} {f.unit} (bar {f.bar})" for f in figures if f.passed is False]
    if missed:
        raise GateError(
            f"{len(missed)} of {sum(f.passed is not None for f in figures)} bars missed: {'; '.join(missed)}"
        )


def _digits(value: float) -> str:
    """Return the value with three significant digits, or all digits before the point."""
    if value != 0 and abs(value) < 100:
        return f"{value:.3g}" if abs(value) < 0.1 else f"{value:.2f}"
    return f"{value:,.0f}"
