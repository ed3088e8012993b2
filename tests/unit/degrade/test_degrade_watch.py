"""The loop never waits for a sensor, and old readings move nothing."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from background import until

from edge.config import DegradeConfig
from edge.degrade import watch as watch_module
from edge.degrade.assembly import marks_of
from edge.degrade.ladder import Axis, Ladder, Turn
from edge.degrade.watch import STALE_S, Watch

NS = 1_000_000_000


class Reader:
    """Reads 95 degrees, and hangs from its second reading on."""

    def __init__(self) -> None:
        self.asked_again = threading.Event()
        self.let_go = threading.Event()
        self.times = 0

    def read(self) -> dict[Axis, float]:
        self.times += 1
        if self.times > 1:
            self.asked_again.set()
            self.let_go.wait(30)
        return {Axis.TEMPERATURE: 95.0}

    def taking(self, mib: float) -> dict[Axis, float]:
        return {Axis.OWN_MEMORY: mib / 100}


def test_a_sensor_that_hangs_holds_nobody_and_its_last_reading_ages(caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader()
    watch = Watch(reader, Ladder(marks_of(DegradeConfig()), 30), lambda: 100 * NS)
    assert watch.turn(None, 1, 100 * NS) is None, "nothing was read yet"
    with watch, caplog.at_level(logging.ERROR):
        assert reader.asked_again.wait(30)
        turn = watch.turn(None, 1, 101 * NS)
        assert turn is not None
        assert turn.step == 3
        for later_s in (131, 132):
            assert watch.turn(5.0, 1, int((later_s + STALE_S) * NS)) is None
        reader.let_go.set()
    assert [record.message.startswith("no sensor has answered for") for record in caplog.records] == [True]


def test_a_sensor_that_answers_nonsense_once_is_asked_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "PERIOD_S", 0.01)
    reader = Reader()
    answers = iter([UnicodeDecodeError("ascii", b"\xff", 0, 1, "nonsense")] * 2)
    again = threading.Event()

    def read() -> dict[Axis, float]:
        if (error := next(answers, None)) is not None:
            raise error
        again.set()
        return {Axis.TEMPERATURE: 95.0}

    reader.read = read  # type: ignore[method-assign]
    watch = Watch(reader, Ladder(marks_of(DegradeConfig()), 30), lambda: 100 * NS)
    with watch, caplog.at_level(logging.ERROR):
        assert again.wait(30)
        while (turn := watch.turn(None, 1, 100 * NS)) is None:
            pass
    assert turn.step == 3
    assert [record.message for record in caplog.records] == ["the sensors cannot be read; a bug"], "told once"


def test_the_age_of_frames_is_an_axis_of_its_own() -> None:
    reader = Reader()
    reader.read = lambda: {Axis.TEMPERATURE: 20.0}  # type: ignore[method-assign]
    read = threading.Event()
    watch = Watch(reader, Ladder(marks_of(DegradeConfig()), 30), lambda: (read.set(), NS)[1])
    with watch:
        assert read.wait(30)
        while (turn := watch.turn(0.7, 1, NS)) is None:
            pass
    assert (turn.step, turn.cause) == (1, "queue 0.7")


class Steady:
    """Reads the same for ever, and says when it was asked."""

    def __init__(self, celsius: float) -> None:
        self.celsius = celsius
        self.asked = threading.Event()

    def read(self) -> dict[Axis, float]:
        self.asked.set()
        return {Axis.TEMPERATURE: self.celsius}

    def taking(self, mib: float) -> dict[Axis, float]:
        return {Axis.OWN_MEMORY: mib / 100}


def stepped(watch: Watch, step: int) -> Turn:
    """Ask until sensors have been read, always in the same second."""
    while (turn := watch.turn(None, 1, NS)) is None or turn.step != step:
        threading.Event().wait(0.01)
    return turn


def test_readings_of_sensors_that_were_taken_away_move_nothing() -> None:
    hot, cold = Steady(95.0), Reader()
    cold.times = 1  # hangs from its first reading on
    watch = Watch(hot, Ladder({}, 30), lambda: NS)
    with watch:
        assert hot.asked.wait(30)
        stepped(watch, 0)
        watch.follow(cold, marks_of(DegradeConfig()), 30)
        assert cold.asked_again.wait(30)
        assert watch.turn(None, 1, NS) is None, "95 degrees are what others said"
        cold.let_go.set()
        assert stepped(watch, 3).cause == "temperature 95"


def test_new_sensors_that_never_answer_are_told_like_any(caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader()
    reader.times = 1
    watch = Watch(None, Ladder({}, 30), lambda: 100 * NS)
    with watch, caplog.at_level(logging.ERROR):
        assert watch.turn(None, 1, 1_000 * NS) is None, "off: nobody is asked, and nothing is said"
        watch.follow(reader, marks_of(DegradeConfig()), 30)
        assert reader.asked_again.wait(30), "the thread begins with the first sensors"
        assert watch.turn(None, 1, 120 * NS) is None
        assert not caplog.records
        assert watch.turn(None, 1, 131 * NS) is None
        reader.let_go.set()
    assert [record.message for record in caplog.records] == [
        "no sensor has answered for 31 s; the device stays as it is"
    ]


def test_switched_off_it_goes_back_as_calmly_as_ever() -> None:
    hot = Steady(95.0)
    watch = Watch(hot, Ladder(marks_of(DegradeConfig()), 30), lambda: NS)
    with watch:
        assert stepped(watch, 3).moved == 3
        watch.switch_off()
        turns = [watch.turn(None, 1, (2 + second) * NS) for second in range(92)]
        assert [turn.step for turn in turns if turn] == [3] * 30 + [2] * 30 + [1] * 30 + [0]
        assert turns[-1] is None
        assert watch.is_off


class Limited:
    """Says that `taken` MiB of 100 are taken; counts how often it is asked."""

    def __init__(self, taken: float) -> None:
        self.taken = taken
        self.times = 0

    def read(self) -> dict[Axis, float]:
        self.times += 1
        return {Axis.OWN_MEMORY: self.taken / 100}

    def taking(self, mib: float) -> dict[Axis, float]:
        return {Axis.OWN_MEMORY: mib / 100}


def nothing_else(read_ns: int) -> float:  # whatever was read
    return 0.0


def told(watch: Watch, mib: float, since_ns: int) -> bool:
    """Ask until a reading has told."""
    answers: list[bool | None] = []
    until(lambda: answers.append(watch.has_room(mib, since_ns, since_ns, nothing_else)) or answers[-1] is not None)
    assert answers[0] is None
    return bool(answers[-1])


def test_room_is_told_by_a_reading_of_now_which_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "PERIOD_S", 3_600)
    limited = Limited(40)
    watch = Watch(limited, Ladder(marks_of(DegradeConfig()), 30), time.monotonic_ns)
    with watch:
        until(lambda: limited.times == 1)
        for taken, expected in ((40, True), (60, False)):
            limited.taken = taken
            assert told(watch, 50, time.monotonic_ns()) is expected
        assert watch.turn(None, 2, time.monotonic_ns()).step == 0
        turn = watch.turn(None, 2, time.monotonic_ns(), asked_mib=35)
        assert (turn.step, turn.cause) == (1, "own_memory 0.95"), "what is waited for counts as taken"


def test_what_a_reading_may_not_know_yet_is_added_and_refuses_nothing_for_good() -> None:
    limited = Limited(40)
    watch = Watch(limited, Ladder(marks_of(DegradeConfig()), 30), lambda: 2 * NS)
    with watch:
        until(lambda: watch.has_room(50, NS, NS, nothing_else) is not None)
        read: list[int] = []
        assert watch.has_room(50, NS, NS, lambda read_ns: read.append(read_ns) or 1.0) is True
        assert watch.has_room(50, NS, NS, lambda _: 10.0) is None, "it may be in the reading already"
        assert watch.has_room(60, NS, NS, nothing_else) is False
    assert read == [2 * NS]


def test_who_waits_for_memory_does_not_wait_for_a_sensor_that_hangs() -> None:
    reader = Reader()
    watch = Watch(reader, Ladder(marks_of(DegradeConfig()), 30), lambda: NS)
    with watch:
        assert reader.asked_again.wait(30)
        answers = [watch.has_room(50, 2 * NS, now_s * NS, nothing_else) for now_s in (9, 10, 11, 12)]
        assert answers == [None, None, None, True], "from when it was looked for, not from when it was asked for"
        reader.let_go.set()


def test_a_question_that_was_dropped_before_its_reading_makes_nobody_impatient_later() -> None:
    limited, now = Limited(90), [1 * NS]
    watch = Watch(limited, Ladder(marks_of(DegradeConfig()), 30), lambda: now[0])
    with watch:
        until(lambda: watch._latest is not None)
        assert watch.has_room(50, 2 * NS, 3 * NS, nothing_else) is None
        now[0] = 100 * NS  # that camera has gone; another asks much later
        until(lambda: watch._latest is not None and watch._latest.asked_ns == 100 * NS)
        assert watch.has_room(50, 101 * NS, 101 * NS, nothing_else) is None, "by a reading, not for want of one"


def test_without_a_ladder_there_is_room() -> None:
    assert Watch(None, Ladder({}, 30), lambda: NS).has_room(1e9, NS, NS, nothing_else) is True
