"""`python -m benchmarks.reliability`: break things one after the other, print the table, exit 1 on a missed bar."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import sys
from pathlib import Path

import msgspec

from benchmarks.reliability.result import Result, markdown
from benchmarks.reliability.sizes import FULL, SHORT, Sizes
from edge.bench.machine import machine
from edge.errors import RuntimeFault
from edge.writing import whole_file

# What is broken, in the order of the table; each is a file here with `measure(sizes) -> list[Result]`.
FAULTS = (
    "cameras",
    "subscribers",
    "feedback",
    "delivery",
    "backlog",
    "killed",
    "power",
    "full_disk",
    "clock",
    "memory",
    "soak",
)


def main() -> int:
    """Run the faults that were asked for."""
    arguments = _arguments()
    sizes = _sizes(arguments)
    results: list[Result] = []
    for fault in arguments.only or FAULTS:
        print(f"{fault} ...", file=sys.stderr, flush=True)
        results += _measured(fault, sizes)
        if arguments.out:
            _write(arguments.out, results, sizes)
        print(markdown(results[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(markdown(results))
    return int(any(result.verdict == "missed" for result in results))


def _measured(fault: str, sizes: Sizes) -> list[Result]:
    """Return the rows of a fault; one that broke the measurement itself is missed, not left out."""
    measure = importlib.import_module(f"benchmarks.reliability.{fault}").measure
    try:
        found: list[Result] = measure(sizes)
    except RuntimeFault as error:
        return [Result(fault, not_run=str(error), failed=True)]
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=FAULTS, metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument(
        "--short", action="store_true", help="seconds instead of an hour and a half; shows that it runs"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON too")
    for field in dataclasses.fields(Sizes):
        kind = Path if field.name == "bundle" else type(field.default)
        words = f"(default {field.default}; --short: {getattr(SHORT, field.name)})"
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, help=words)
    return parser.parse_args()


def _sizes(arguments: argparse.Namespace) -> Sizes:
    given = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(Sizes)}
    chosen = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(SHORT if arguments.short else FULL, **chosen)


def _write(out: Path, results: list[Result], sizes: Sizes) -> None:
    content = {"machine": machine(), "sizes": dataclasses.asdict(sizes), "results": results}
    with whole_file(out) as file:
        file.write(msgspec.json.format(msgspec.json.encode(content, enc_hook=str)) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
