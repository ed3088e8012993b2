"""`edge-score`: decisions of a recording against the truth of the clip they were made on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from calibration.score.figures import Figures, figures_from, judge
from calibration.score.page import page
from calibration.score.truth import read_truth
from edge.command import Parser, run
from edge.errors import InputError
from edge.replay.record import read_decisions, read_session
from edge.writing import whole_file

__all__ = ["main", "summary"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-score`."""
    return run("edge-score", _score, argv)


def _score(argv: Sequence[str]) -> int:
    parser = Parser(
        "edge-score",
        "Hold a recording against the truth of its clip: figures, and a page with pictures.",
        "edge-score --recording run/ --truth clip/truth.json --catalogue catalogue/ --out decisions.html",
    )
    parser.add_argument("--recording", type=Path, required=True, help="folder made by edge-daemon --record")
    parser.add_argument("--truth", type=Path, required=True, help="truth.json of edge-render clip")
    parser.add_argument("--catalogue", type=Path, required=True, help="catalogue folder, for the reference photos")
    parser.add_argument("--out", type=Path, required=True, help="HTML page; the figures go beside it as .json")
    arguments = parser.parse_args(argv)
    figures_path = _figures_path(arguments.out, arguments.truth)
    if not (arguments.catalogue / "reference").is_dir():
        raise InputError(f"{arguments.catalogue}: no folder `reference` in it; expected the catalogue of the clip")
    session = read_session(arguments.recording)
    truth = read_truth(arguments.truth)
    judged = judge(truth, read_decisions(arguments.recording / "decisions.jsonl"))
    figures = figures_from(judged, truth)
    content = page(judged, figures, (arguments.recording, arguments.catalogue, session.bundle_id))
    with whole_file(arguments.out) as file, whole_file(figures_path) as numbers:
        file.write(content.encode())
        numbers.write(msgspec.json.format(msgspec.json.encode(asdict(figures)), indent=1))
    Console().print(summary(figures))
    print(f"pictures: {arguments.out}")
    return 0


def _figures_path(out: Path, truth: Path) -> Path:
    """Return where the figures go; raises InputError where page or figures would take the place of something else."""
    if out.suffix == ".json" or not out.name or out.name == "..":
        raise InputError(f"{out}: the figures are written there as .json; expected a name for the page, such as p.html")
    path = out.with_suffix(".json")
    for own in (out, path):
        if own.exists() and truth.exists() and own.samefile(truth):
            raise InputError(f"{own}: is the truth to score against and would be overwritten; choose another --out")
    return path


def summary(figures: Figures) -> Table:
    """Return the figures as a table for the terminal."""
    table = Table(title="Decisions against the clip's truth (synthetic packs)", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    total = max(figures.decisions, 1)
    for route, count in figures.routes.items():
        table.add_row(route, str(count), f"{100 * count / total:.1f} % of {figures.decisions} decisions")
    table.add_section()
    enrolled = f"{figures.enrolled_accepted} of {figures.enrolled} about enrolled products were accepted"
    table.add_row("automation rate", f"{100 * figures.automation:.1f} %", enrolled)
    wrong = f"{figures.accepted_wrong} of {figures.accepted} accepted were wrong, not enrolled things counted"
    table.add_row("silent-error rate", f"{100 * figures.silent_error:.2f} %", wrong)
    confused = f"{figures.enrolled_accepted_wrong} of {figures.enrolled_accepted} about enrolled products"
    table.add_row("accepted error", f"{100 * figures.accepted_error:.2f} %", confused)
    best = f"{figures.top1_right} of {figures.enrolled} best candidates right, whatever the route"
    table.add_row("top-1", f"{100 * figures.top1_right / max(figures.enrolled, 1):.1f} %", best)
    table.add_row(
        "latency p50 / p99", f"{figures.latency_p50_ms:.1f} / {figures.latency_p99_ms:.1f} ms", "captured to sent"
    )
    table.add_section()
    for ending, count in sorted(figures.events.items()):
        table.add_row("products placed", str(count), ending)
    return table
