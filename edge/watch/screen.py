"""Draw a `View` for a terminal of any size; nothing here receives, counts or reads a clock.

From 80 x 24 on everything fits; below that the list of decisions gives way first, then the right-hand columns. Names
that are too long end in an ellipsis; the numbers keep their columns, so nothing jumps from one picture to the next.
A route is told by its word as well as by its colour.
"""

from __future__ import annotations

from datetime import datetime

from rich import box
from rich.align import Align
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from edge.watch.state import CameraRow, OutboxView, RouteShare, Row, View

__all__ = ["SILENT_S", "draw"]

SILENT_S = 3.0  # three heartbeats that did not come
OLD_S = 60.0  # of a decision that waits for the collector
HEADER_LINES = 2
ROUTE_COLOURS = {"accept": "green", "verify": "yellow", "review": "magenta", "unknown": "cyan"}
STATE_COLOURS = {"running": "green", "opening": "yellow", "ended": "dim", "failed": "red", "shed": "magenta"}
EIGHTHS = " ▏▎▍▌▋▊▉"
NOTHING = "–"


def draw(view: View, endpoint: str, width: int, height: int, trouble: str = "") -> RenderableType:
    """Return the picture of `view` for a terminal of `width` x `height` characters; `trouble` is why nothing comes."""
    if view.heard_ago_s is None and not view.malformed:
        return Align.center(_waiting(endpoint, trouble), vertical="middle", height=height)
    middle = max(len(view.routes), min(len(view.cameras), 4))
    more = [
        line
        for line in (_trouble(view), _stages(view), _outbox(view), _refused(view), _events(view))
        if line is not None
    ]
    rows = height - HEADER_LINES - len(more) - middle - 4  # two rules, the head of the list, the last line
    parts: list[RenderableType] = [_title(view, endpoint), _figures(view), *more, _rule()]
    parts += [_middle(view, width, middle), _rule(), _decisions(view.newest[: max(rows, 0)], width, max(rows, 0))]
    return Group(*parts, _last_line(view))


def _waiting(endpoint: str, trouble: str) -> RenderableType:
    lines = Text(justify="center")
    lines.append("waiting for ", style="bold yellow").append(endpoint, style="bold")
    if trouble:
        lines.append(f"\n\n{trouble}\n", style="bold red")
    else:
        lines.append("\n\nnothing publishes there yet; this goes on by itself when edge-daemon does\n", style="dim")
    return lines.append("Ctrl-C ends", style="dim")


def _title(view: View, endpoint: str) -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    who = view.devices[0] if len(view.devices) == 1 else f"{len(view.devices) or 'no'} devices"
    left = Text(" ").append(who, style="bold").append(f"  {view.bundle_id}  {endpoint}", style="dim")
    if view.heard_ago_s is None:
        right = Text("nothing readable ", style="bold red")
    elif view.heard_ago_s > SILENT_S:
        right = Text(f"silent for {_duration(view.heard_ago_s)} ", style="bold red")
    else:
        right = Text("live", style="bold green").append(f"  up {_duration(view.uptime_s)} ", style="default")
    if view.degraded:
        right = Text("degraded  ", style="bold yellow").append(right)
    grid.add_row(left, right)
    return grid


def _figures(view: View) -> RenderableType:
    figures = Text(" ", no_wrap=True, overflow="ellipsis")
    for value, unit, bad in (
        (_number(view.decisions_per_s, 1), "/s", False),
        (f"p50 {_number(view.latency_p50_ms, 1)}", " ms", False),
        (f"p99 {_number(view.latency_p99_ms, 1)}", " ms", False),
        (_number(view.resident_mib, 0), " MiB", False),
        (f"missed {view.missed:,}", "", view.missed > 0),
        (f"dropped {view.publish_dropped:,}", "", view.publish_dropped > 0),
        (f"restarts {view.restarts:,}", "", view.restarts > 0),
    ):
        figures.append(value, style="bold red" if bad else "bold").append(f"{unit}  ", style="dim")
    return figures


def _trouble(view: View) -> RenderableType | None:
    """Return why the device is degraded, or None where it is not."""
    if not view.degraded:
        return None
    line = Text(" degraded ", style="dim", no_wrap=True, overflow="ellipsis")
    return line.append(view.degraded, style="bold yellow").append("  stricter cut points", style="dim")


def _stages(view: View) -> RenderableType | None:
    """Return where the time goes, or None where no heartbeat says."""
    if not view.stages:
        return None
    line = Text(" p99 ", style="dim", no_wrap=True, overflow="ellipsis")
    for stage, p99_ms in view.stages:
        line.append(f"{stage} ", style="dim").append(_number(p99_ms, 1), style="bold").append("  ")
    return line.append("ms", style="dim")


def _outbox(view: View) -> RenderableType | None:
    """Return what waits for the collector, or None where there is no outbox."""
    outbox = view.outbox
    if outbox is None:
        return None
    line = Text(" outbox ", style="dim", no_wrap=True, overflow="ellipsis")
    line.append(f"{outbox.waiting:,}", style="bold").append(" waiting  ", style="dim")
    line.append("oldest ", style="dim").append(
        _duration(outbox.oldest_s) if outbox.waiting else NOTHING, style="bold red" if _is_old(outbox) else "bold"
    )
    line.append(f"  lost {outbox.lost:,}", style="bold red" if outbox.lost else "bold")
    return line.append("  the disk refuses", style="bold red") if outbox.refusing else line


def _refused(view: View) -> RenderableType | None:
    """Return why the collector takes nothing, or None where it does."""
    if view.outbox is None or not view.outbox.refused:
        return None
    line = Text(" collector ", style="dim", no_wrap=True, overflow="ellipsis")
    return line.append(view.outbox.refused, style="bold red")


def _is_old(outbox: OutboxView) -> bool:
    return outbox.waiting > 0 and outbox.oldest_s > OLD_S


def _events(view: View) -> RenderableType | None:
    """Return the newest event, or None before the first."""
    if not view.events:
        return None
    newest, count = view.events[0], len(view.events)
    line = Text(" event ", style="dim", no_wrap=True, overflow="ellipsis")
    if count > 1:
        line.append(f"{count} came, the last ", style="dim")
    return line.append(f"{newest.event}: {newest.summary}", style="bold yellow")


def _middle(view: View, width: int, lines: int) -> RenderableType:
    """Routes on the left, cameras on the right, both `lines` high."""
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(width=0)
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row("", _routes(view.routes, max(width // 2 - 30, 4)), _cameras(view.cameras, lines))
    return grid


def _routes(routes: tuple[RouteShare, ...], bar_width: int) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, width=bar_width)
    grid.add_column(justify="right", no_wrap=True, min_width=9)
    grid.add_column(justify="right", no_wrap=True, min_width=6)
    for share in routes:
        colour = ROUTE_COLOURS.get(share.route, "default")
        bar = Text(_bar(share.share, bar_width), style=colour)
        grid.add_row(Text(share.route, style=colour), bar, f"{share.count:,}", f"{share.share:.1%}")
    return grid


def _cameras(cameras: tuple[CameraRow, ...], lines: int) -> RenderableType:
    if not cameras:
        return Text("no heartbeat yet", style="dim")
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(no_wrap=True, overflow="ellipsis", min_width=7, max_width=12)
    grid.add_column(justify="right", no_wrap=True, min_width=7)
    grid.add_column(justify="right", no_wrap=True, min_width=7)
    fit = cameras if len(cameras) <= lines else cameras[: lines - 1]
    for camera in fit:
        state = Text(camera.state, style=STATE_COLOURS.get(camera.state, "red"))
        lost = Text(f"{camera.dropped:,} lost", style="default" if camera.dropped else "dim")
        grid.add_row(Text(camera.id, style="bold"), state, f"{camera.frames:,}", lost)
    if len(fit) < len(cameras):
        grid.add_row(Text(f"and {len(cameras) - len(fit)} more", style="dim"))
    return grid


def _decisions(newest: tuple[Row, ...], width: int, lines: int) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(" time", no_wrap=True, width=9)
    table.add_column("camera", no_wrap=True, overflow="ellipsis", width=9 if width < 100 else 16)
    table.add_column("route", no_wrap=True, width=7)
    table.add_column("product", no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column("conf", no_wrap=True, justify="right", width=5)
    table.add_column("reasons", no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column("ms", no_wrap=True, justify="right", width=6)
    for row in newest:
        colour = ROUTE_COLOURS.get(row.route, "default")
        table.add_row(
            Text(f" {_local_time(row.captured_utc)}", style="dim"),
            Text(row.camera),
            Text(row.route, style=colour),
            Text(row.name or row.sku or NOTHING),
            f"{row.confidence:.3f}",
            Text(_reasons(row), style="dim"),
            _number(row.latency_ms, 1 if row.latency_ms < 1000 else 0),
        )
    for _ in range(lines - len(newest)):
        table.add_row()
    return table


def _reasons(row: Row) -> str:
    gap = (f"({row.missed_before} missed)",) if row.missed_before else ()
    return ", ".join((*gap, *row.reasons))


def _last_line(view: View) -> RenderableType:
    if view.malformed:
        said = f" {view.malformed:,} malformed, last: {view.last_malformed}"
        return Text(said, style="red", no_wrap=True, overflow="ellipsis")
    said = f" {view.decisions:,} decisions since the daemon started   Ctrl-C ends"
    return Text(said, style="dim", no_wrap=True, overflow="ellipsis")


def _rule() -> RenderableType:
    return Rule(style="dim", characters=box.SQUARE.head_row_horizontal)


def _bar(share: float, width: int) -> str:
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    if share > 0 and eighths == 0:
        eighths = 1  # something is not nothing
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _local_time(utc: str) -> str:
    try:
        return datetime.fromisoformat(utc).astimezone().strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return NOTHING


def _number(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else f"{value:,.{decimals}f}"


def _duration(seconds: float | None) -> str:
    if seconds is None or not 0 <= seconds < 1e9:
        return NOTHING
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    days, rest = divmod(whole, 86_400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {clock}" if days else clock
