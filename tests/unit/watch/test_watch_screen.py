from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from watch_messages import decision, event, health

from edge.messages import CameraHealth, LadderHealth, OutboxHealth
from edge.watch.screen import SILENT_S, draw
from edge.watch.state import WatchState

SECOND_NS = 1_000_000_000
OUTBOX = OutboxHealth(waiting=1_234, waiting_bytes=9, delivered=5, lost={"accept": 3}, oldest_s=3_725.0)
ENDPOINT = "tcp://127.0.0.1:5556"


def picture(state: WatchState, now_ns: int = 0, width: int = 80, height: int = 24, trouble: str = "") -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=False, color_system=None)
    console.print(draw(state.view(now_ns), ENDPOINT, width, height, trouble))
    return out.getvalue().splitlines()


def busy(decisions: int = 300, **changes: object) -> WatchState:
    state = WatchState()
    cameras = tuple(CameraHealth(id=f"cam-{n}", state="failed", frames=9, dropped=1, reopened=0) for n in range(9))
    more = {"stages_p99_ms": {"capture": 1.25, "engine": 11.5}, "outbox": OUTBOX}
    state.take(health(0, routes={"accept": 9_000, "review": 1_000}, cameras=cameras, **more), 0)
    for seq in range(1, decisions + 1):
        state.take(decision(seq, **changes), 0)
    return state


def test_before_anything_came_it_says_what_it_waits_for() -> None:
    assert any(f"waiting for {ENDPOINT}" in row for row in picture(WatchState()))


def test_where_it_is_refused_it_says_why_and_not_that_nobody_is_there() -> None:
    shown = "\n".join(picture(WatchState(), trouble="no connection: one end has keys and the other has not"))
    assert "no connection: one end has keys and the other has not" in shown
    assert "nothing publishes there yet" not in shown


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60), (60, 16)])
@pytest.mark.parametrize("decisions", [0, 1, 300])
def test_the_picture_fills_the_terminal_and_never_more(width: int, height: int, decisions: int) -> None:
    long_name = "抹茶ラテ " * 30
    rows = picture(busy(decisions, name=long_name, camera_id="c" * 64), width=width, height=height)
    assert len(rows) == height
    assert max(cell_len(row) for row in rows) <= width


@pytest.mark.parametrize(("width", "height"), [(20, 5), (1, 1)])
def test_a_tiny_terminal_does_not_break_it(width: int, height: int) -> None:
    assert picture(busy(), width=width, height=height)


def test_it_shows_the_figures_routes_cameras_and_decisions() -> None:
    shown = "\n".join(picture(busy(3)))
    for expected in ("cart-07", "bundle-1", "live  up 1:01:01", "15.0/s", "p50 41.0 ms", "p99 63.0 ms", "142 MiB"):
        assert expected in shown
    for expected in ("9,003", "90.0%", "1,000", "10.0%", "cam-0", "failed", "and 6 more", "Haselnuss-Schnitten"):
        assert expected in shown


def test_it_shows_where_time_goes_what_waits_and_what_was_told() -> None:
    state = busy(3)
    shown = "\n".join(picture(state))
    for expected in ("capture 1.2", "engine 11.5", "outbox 1,234 waiting  oldest 1:02:05  lost 3"):
        assert expected in shown
    assert "event" not in shown
    state.take(event(4, "a:1"), 0)
    state.take(event(5, "a:2", event="new_products", summary="60 products came"), 0)
    rows = picture(state)
    assert len(rows) == 24
    assert any("event 2 came, the last new_products: 60 products came" in row for row in rows)


def test_a_disk_that_refuses_is_shown_and_nothing_waits_without_an_age() -> None:
    state = WatchState()
    outbox = OutboxHealth(waiting=0, waiting_bytes=0, delivered=5, lost={}, refusing=True)
    state.take(health(0, outbox=outbox), 0)
    assert any("outbox 0 waiting  oldest –  lost 0  the disk refuses" in row for row in picture(state))
    why = "it takes nothing of device cart-8"
    state.take(health(1, outbox=OutboxHealth(waiting=2, waiting_bytes=9, delivered=5, lost={}, refused=why)), 0)
    assert any(f"collector {why}" in row for row in picture(state))


def test_a_device_in_trouble_says_which_step_and_why() -> None:
    state = WatchState()
    ladder = LadderHealth(step=4, name="shed_camera", cause="memory 0.03", stress={"memory": 2.3})
    state.take(health(0, ladder=ladder), 0)
    rows = picture(state)
    assert len(rows) == 24
    assert any("degraded step 4, shed_camera (memory 0.03)  stricter cut points" in row for row in rows)
    state.take(health(1, ladder=LadderHealth(step=0, name="whole", cause="", stress={})), 0)
    assert not any("degraded" in row for row in picture(state))


def test_a_long_name_ends_in_an_ellipsis() -> None:
    assert any("Haselnuss-Schnitten mi… " in row for row in picture(busy(1, name="Haselnuss-Schnitten mit Honig")))


def test_a_daemon_that_went_silent_is_said_to_be() -> None:
    state = busy(1)
    assert "live" in picture(state, now_ns=int(SILENT_S * SECOND_NS))[0]
    assert "silent for 7 s" in picture(state, now_ns=7 * SECOND_NS)[0]


def test_missed_and_malformed_messages_are_shown() -> None:
    state = busy(1)
    state.take(decision(5), 0)
    state.take(b"nonsense", 0)
    shown = "\n".join(picture(state))
    assert "missed 3" in shown
    assert "(3 missed)" in shown
    assert "1 malformed, last: message cannot be read" in shown


def test_only_malformed_messages_are_told_from_no_messages() -> None:
    state = WatchState()
    state.take(b"nonsense", 0)
    shown = "\n".join(picture(state))
    assert "nothing readable" in shown
    assert "waiting" not in shown


@pytest.mark.parametrize("utc", ["yesterday", "0001-01-01T00:00:00+00:00", ""])
def test_a_time_that_is_none_is_a_dash(utc: str) -> None:
    assert any("–" in row or "00:" in row for row in picture(busy(1, captured_utc=utc)))


def test_absurd_figures_are_drawn_all_the_same() -> None:
    state = WatchState()
    state.take(health(0, uptime_s=1e300, decisions_per_s=1e300, latency_p99_ms=-1.0), 0)
    state.take(decision(1, latency_ms=1e300), 0)
    assert len(picture(state)) == 24
