"""What `edge-calibrate` shows: progress on standard error while it works, a summary on standard output at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

__all__ = ["Screen", "show"]


class Screen:
    """One line per step on standard error; `seconds` holds how long each finished step took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._current: tuple[str, TaskID, float] | None = None

    def __enter__(self) -> Screen:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()
        self._progress.stop()

    def step(self, name: str) -> None:
        """Begin a step that cannot say how far it is."""
        self._begin(name, None)

    def count(self, name: str, total: int) -> Callable[[int], None]:
        """Begin a step over `total` things; call the result with how many more are done."""
        task = self._begin(name, total)
        return lambda done: self._progress.advance(task, done)

    def _begin(self, name: str, total: int | None) -> TaskID:
        self._finish()
        task = self._progress.add_task(name, total=total)
        self._current = (name, task, time.monotonic())
        return task

    def _finish(self) -> None:
        if self._current is not None:
            name, task, begun = self._current
            self.seconds[name] = time.monotonic() - begun
            self._progress.remove_task(task)
            self._current = None


def show(values: Mapping[str, Any], seconds: Mapping[str, float]) -> None:
    """Print the summary of a calibration; `values` are those of report.json."""
    table = Table("", "", title="calibration", show_header=False, title_justify="left")
    for name, text in (*_promise(values), *_forecast(values), *_notes(values)):
        table.add_row(name, text)
    table.add_row("seconds", ", ".join(f"{name} {spent:.0f}" for name, spent in seconds.items()))
    Console().print(table)


def _promise(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    promise = values["promise"]
    error, certainty = f"{promise['accept_error']:.2%}", f"{promise['certainty']:.0%}"
    if promise["certified"]:
        yield "certified", f"at most {error} of what is accepted is wrong, at {certainty}"
    else:
        yield (
            "certified",
            f"NOTHING: no product is ever accepted. {error} at {certainty} takes at least "
            f"{values['clean_photos_needed']} accepted validation photos of equal weight without an error",
        )
    yield "mix", f"{promise['mix']}, {promise['products_covered']} of {values['catalogue']['products']} products"


def _forecast(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    outcome, fit = values["findings"]["outcome"], values["reliability"]
    yield "forecast on", f"{outcome['photos']:,} {values['findings']['measured_on']} photos"
    for route, share in outcome["shares"].items():
        yield f"  {route}", f"{share:.1%}"
    degraded = values["promise"]["degraded"]
    limit = f", at most {degraded['accept_error']:.2%} of it wrong" if degraded["certified"] else ", for want of photos"
    yield "  accept while degraded", f"{degraded['accepted']:.1%}{limit}"
    yield (
        "  wrong of accepted",
        f"{outcome['wrong']} of {outcome['accepted']} ({outcome['accepted_error']:.2%} weighted)",
    )
    yield "best candidate right", f"{outcome['top1']:.1%}"
    for figure in values["findings"]["unknown"]:
        found, accepted = figure["detection"], figure["outcome"]["shares"]["accept"]
        yield (
            f"unknown: {found['kind']}",
            f"{found['detected']:.0%} called unknown, {accepted:.1%} accepted, of {found['photos']}",
        )
    tested = f"{fit['ece_debiased']:.3f}" if fit["testable"] else f"not testable on {fit['photos']} photos"
    yield "calibration error", tested
    yield "twin pairs", str(len(values["twins"]))


def _notes(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, note in values["notes"].items():
        if note["count"]:
            first = ", ".join(str(entry) for entry in note["first"][:3])
            yield name.replace("_", " "), f"{note['count']:,}: {first}{' ...' if note['count'] > 3 else ''}"
