"""What is said on standard error: one line a record, known to the journal, and never a flood."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import logs
from edge.logs import BURST, PERIOD_S, TEMPLATES, JsonLines, Limiter, TextLines

KEY = ("edge", logging.WARNING, "camera %s")


def record(message: str, *arguments: object, level: int = logging.WARNING) -> logging.LogRecord:
    made = logging.LogRecord("edge.daemon", level, "", 0, message, arguments, None)
    made.created = 1_795_971_600.123
    return made


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    logs.set_up("text", stream)
    yield stream
    for handler in [one for one in root.handlers if one not in before]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


def test_text_for_a_terminal_for_the_journal_and_json() -> None:
    one = record("camera %s: %s", "basket", 'said "no"')
    words = 'level=warning logger=edge.daemon message="camera basket: said \\"no\\""'
    assert TextLines(for_journal=False).format(one) == f"time=2026-11-29T17:00:00.123Z {words}"
    assert TextLines(for_journal=True).format(one) == f"<4>{words}"
    line = JsonLines(for_journal=True).format(one)
    assert line.startswith("<4>{")
    assert json.loads(line[3:]) == {
        "time": "2026-11-29T17:00:00.123Z",
        "level": "warning",
        "logger": "edge.daemon",
        "message": 'camera basket: said "no"',
    }


@pytest.mark.parametrize(
    ("level", "priority"), [(logging.CRITICAL, 3), (logging.ERROR, 3), (logging.INFO, 6), (logging.DEBUG, 7)]
)
def test_levels_are_syslog_priorities(level: int, priority: int) -> None:
    assert TextLines(for_journal=True).format(record("x", level=level)).startswith(f"<{priority}>level=")


@given(st.text())
def test_no_text_makes_a_second_line(text: str) -> None:
    for form in (TextLines(for_journal=True), JsonLines(for_journal=False)):
        line = form.format(record("%s", text))
        assert line.isprintable()
        assert line.encode()
    assert json.loads(JsonLines(for_journal=False).format(record("%s", text)))["message"] == text


def test_a_traceback_is_one_line(said: io.StringIO) -> None:
    try:
        raise ValueError("a\nb")
    except ValueError:
        logging.getLogger("edge").exception("a bug")
    assert said.getvalue().count("\n") == 1
    assert "ValueError: a\\nb" in said.getvalue()


def test_a_burst_comes_through_and_the_rest_is_counted() -> None:
    limiter = Limiter()
    told = [limiter.take(KEY, now_s=0.0) for _ in range(BURST + 7)]
    assert told == [0] * BURST + [None] * 7
    assert limiter.take(("edge", logging.WARNING, "another"), 0.0) == 0
    assert limiter.take(KEY, PERIOD_S) == 7
    assert limiter.take(KEY, PERIOD_S) == 0


def test_what_was_held_back_is_told_when_the_period_is_over() -> None:
    limiter = Limiter()
    for _ in range(BURST + 2):
        limiter.take(KEY, 0.0)
    assert limiter.over(PERIOD_S / 2) == []
    assert limiter.over(PERIOD_S) == [(KEY, 2)]
    assert limiter.over(2 * PERIOD_S) == []


def test_the_limiter_is_bounded_and_forgets_nothing_that_it_held() -> None:
    limiter = Limiter()
    for _ in range(BURST + 1):
        limiter.take(KEY, 0.0)
    held = []
    for number in range(2 * TEMPLATES):
        limiter.take(("edge", logging.INFO, str(number)), 1.0)
        held += limiter.over(1.0)
        assert len(limiter._seen) <= TEMPLATES
    assert held == [(KEY, 1)]


def test_a_flood_is_told_with_its_count_at_the_end(said: io.StringIO) -> None:
    for number in range(BURST + 5):
        logging.getLogger("edge.daemon").warning("camera %s is %s", number, "gone")
    assert said.getvalue().count("\n") == BURST
    (ours,) = [one for one in logging.getLogger().handlers if type(one).__module__ == "edge.logs"]
    ours.close()
    last = said.getvalue().splitlines()[-1]
    assert 'message="held back: camera %s is %s" held_back=5' in last


def test_form_level_and_burst_change_in_place_and_what_was_counted_stays(said: io.StringIO) -> None:
    log = logging.getLogger("edge.daemon")
    for number in range(BURST + 5):
        log.warning("in place: %s", number)
    logs.set_up("json", said, level="debug", burst=BURST + 2)
    for number in range(3):
        log.warning("in place: %s", number)
    log.debug("now also this")
    logs.set_up("text", said, level="error")
    log.warning("not this")
    lines = said.getvalue().splitlines()
    assert len(lines) == BURST + 3
    assert [json.loads(line)["message"] for line in lines[BURST:]] == ["in place: 0", "in place: 1", "now also this"]


def test_whatever_is_said_while_the_form_changes_is_said_once(said: io.StringIO) -> None:
    def speak(name: str) -> None:
        for number in range(500):
            logging.getLogger("edge.daemon").warning(f"{name} {number}")  # each a message of its own

    threads = [threading.Thread(target=speak, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for number in range(200):
        logs.set_up(("text", "json")[number % 2], said)
    for thread in threads:
        thread.join()
    assert said.getvalue().count("\n") == 1_000


def test_the_journal_is_known_by_device_and_inode() -> None:
    """As systemd says it: the variable alone is not enough, for a child's standard error may be something else."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sink:
        assert sink.stdin is not None
        found = os.fstat(sink.stdin.fileno())
        stream = io.TextIOWrapper(sink.stdin)
        right, wrong = f"{found.st_dev}:{found.st_ino}", f"{found.st_dev}:{found.st_ino + 1}"
        assert logs.writes_to_journal(stream, {"JOURNAL_STREAM": right})
        assert not logs.writes_to_journal(stream, {"JOURNAL_STREAM": wrong})
        assert not logs.writes_to_journal(stream, {})
        stream.detach()
        sink.communicate()
    assert not logs.writes_to_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"})


def test_an_error_that_ends_a_command_has_its_priority_too() -> None:
    code = "import os, sys; f = os.fstat(2); os.environ['JOURNAL_STREAM'] = f'{f.st_dev}:{f.st_ino}'\n"
    code += "from edge.cli.daemon import main; sys.exit(main(['--config', '/nothing.yaml']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("<3>edge-daemon: error: ")
