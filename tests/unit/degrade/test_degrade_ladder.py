"""The ladder: what takes a step down, what gives one back, and that a step down never loosens anything."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import DegradeConfig
from edge.degrade.assembly import marks_of
from edge.degrade.ladder import (
    CLIMB_S,
    MOST_PATIENCE,
    MOST_STRESS,
    STEPS,
    Axis,
    Ladder,
    Marks,
    Turn,
    steps_of,
    stress,
)
from edge.track import GONE

MARKS = marks_of(DegradeConfig())
CALM = {Axis.TEMPERATURE: 60.0, Axis.MEMORY: 0.5}
HOT, SCORCHING = {**CALM, Axis.TEMPERATURE: 87.0}, {**CALM, Axis.TEMPERATURE: 95.0}
WARM = {**CALM, Axis.TEMPERATURE: 80.0}


class Shop(Ladder):
    """A ladder with as many live cameras as it was made with."""

    def __init__(self, cameras: int, calm_s: float = 30, smaller: bool = False) -> None:
        super().__init__(MARKS, calm_s, smaller)
        self.cameras = cameras

    def at(self, readings: dict[Axis, float], now_s: float) -> Turn:
        return self.update(readings, self.cameras, now_s)


def ladder(cameras: int = 3) -> Shop:
    return Shop(cameras)


def steps(one: Shop, readings: dict[Axis, float], start_s: int, seconds: int) -> list[int]:
    return [one.at(readings, start_s + second).step for second in range(seconds)]


@pytest.mark.parametrize(
    ("marks", "value", "expected"),
    [
        (Marks(78, 86, 94), 78, 0.0),
        (Marks(78, 86, 94), 82, 0.5),
        (Marks(78, 86, 94), 94, 2.0),
        (Marks(0.15, 0.08, 0.04), 0.5, -5.0),
        (Marks(0.15, 0.08, 0.04), 0.08, 1.0),
        (Marks(0.15, 0.08, 0.04), 0.02, 2.5),
    ],
)
def test_stress_is_told_by_the_marks_whichever_way_they_run(marks: Marks, value: float, expected: float) -> None:
    assert stress(value, marks) == pytest.approx(expected)


def test_a_hot_device_goes_down_step_by_step_and_names_its_reason() -> None:
    one = ladder()
    first = one.at(HOT, 0)
    assert (first.step, first.moved, first.cause) == (1, 1, "temperature 87")
    assert steps(one, HOT, 1, 4 * CLIMB_S) == [1] * 4 + [2] * 5 + [3] * 5 + [4] * 5 + [5]
    assert steps(one, HOT, 100, 60)[-1] == 5, "three cameras: two of them can be closed"


def test_what_is_critical_takes_all_steps_at_once() -> None:
    turn = ladder().at(SCORCHING, 0)
    assert (turn.step, turn.name) == (5, "shed_camera")
    assert turn.measures.shed == 2


def test_one_camera_is_never_closed() -> None:
    assert ladder(cameras=1).at(SCORCHING, 0).step == 3
    assert ladder(cameras=0).at(SCORCHING, 0).step == 3
    assert steps_of(1, smaller=False)[3][1].shed == 0


def test_between_the_marks_nothing_moves_and_calm_gives_a_step_back_each_time() -> None:
    one = ladder()
    assert one.at(SCORCHING, 0).step == 5
    assert set(steps(one, WARM, 1, 300)) == {5}
    assert steps(one, CALM, 301, 31) == [5] * 30 + [4]
    back = steps(one, CALM, 332, 200)
    assert back[-1] == 0
    assert [second for second, step in enumerate(back[1:], start=1) if step < back[second - 1]] == [29, 59, 89, 119]


def test_trouble_that_comes_back_makes_it_more_patient_and_peace_undoes_that() -> None:
    one, now_s, waits = Shop(1, calm_s=10), 0, []
    for _ in range(7):
        assert one.at(HOT, now_s).step == 1
        calm = 0
        while one.at(CALM, now_s + 1 + calm).step:
            calm += 1
        waits.append(calm)
        now_s += calm + 2
    assert waits == [10, 20, 40, 80, 160, 160, 160]
    assert waits[-1] == 10 * MOST_PATIENCE
    steps(one, CALM, now_s, 1_900)
    assert one.at(HOT, now_s + 1_900).step == 1
    assert steps(one, CALM, now_s + 1_901, 12) == [1] * 10 + [0, 0]


@pytest.mark.parametrize("readings", [{Axis.DISK: 1.0}, {Axis.POWER: 1.0}])
def test_what_doing_less_does_not_mend_takes_one_step(readings: dict[Axis, float]) -> None:
    one = ladder()
    assert set(steps(one, readings, 0, 60)) == {1}
    assert one.at({**readings, Axis.TEMPERATURE: 95.0}, 60).step == 5


@pytest.mark.parametrize("held", [{Axis.DISK: 1.0}, {Axis.POWER: 1.0}, {Axis.DISK: 600.0}])
def test_what_doing_less_does_not_mend_keeps_no_camera_closed(held: dict[Axis, float]) -> None:
    one = ladder()
    steps(one, held, 0, 60)
    before = one.at(held, 60).step
    assert one.at({**held, Axis.TEMPERATURE: 95.0}, 61).step == 5
    cooled = steps(one, {**held, **CALM}, 62, 200)
    assert sorted(set(cooled)) == [1, 2, 3, 4, 5], "back to the step that the disk or the mode asks for, and no further"
    assert cooled == sorted(cooled, reverse=True)
    assert before <= 1


def test_two_axes_that_worsen_together_are_told_once() -> None:
    one = ladder()
    warmer = [{Axis.TEMPERATURE: 79.0 + 0.2 * n, Axis.MEMORY: 0.14 - 0.001 * n} for n in range(30)]
    turns = [one.at(readings, n) for n, readings in enumerate(warmer)]
    assert [turn.alarm for turn in turns if turn.alarm] == [("memory", "temperature")]
    alone = ladder()
    alarms = [
        alone.at({Axis.TEMPERATURE: r[Axis.TEMPERATURE], Axis.MEMORY: 0.1}, n).alarm for n, r in enumerate(warmer)
    ]
    assert not any(alarms)


def test_what_cannot_be_read_is_left_out() -> None:
    turn = ladder().at({Axis.TEMPERATURE: math.nan, Axis.MEMORY: math.inf}, 0)
    assert (turn.step, dict(turn.stress), turn.cause) == (0, {}, "")


def test_each_step_does_no_more_than_the_one_before_and_only_the_whole_accepts_at_the_usual_cut_points() -> None:
    found = [measures for _, measures in steps_of(9, smaller=True)]
    assert len(found) == 13
    for before, after in pairwise(found):
        assert after.every >= before.every
        assert after.still_every >= before.still_every
        assert after.shed >= before.shed
        assert after.batch == 1 or before.batch == 0
        assert after.smaller >= before.smaller
        assert after.strict
    assert not found[0].strict
    assert all(measures.still_every < GONE for _, measures in STEPS)


def test_a_smaller_engine_is_the_last_step_and_not_taken_while_memory_is_short() -> None:
    one = Shop(2, smaller=True)
    turn = one.at(SCORCHING, 0)
    assert (turn.step, turn.name) == (5, "smaller_engine")
    assert (turn.measures.shed, turn.measures.smaller) == (1, True)
    assert one.at({**SCORCHING, Axis.MEMORY: 0.1}, 1).name == "smaller_engine", "one that is there stays"
    for axis, value in ((Axis.MEMORY, 0.1), (Axis.OWN_MEMORY, 0.9), (Axis.MEMORY, 0.01)):
        tense = Shop(2, smaller=True)
        assert tense.at({**SCORCHING, axis: value}, 0).name == "shed_camera"
        assert tense.at({**CALM, axis: value}, 1).measures.smaller is False
        assert tense.at(SCORCHING, 2).name == "smaller_engine", "there is room now"
    assert Shop(2).at(SCORCHING, 0).name == "shed_camera", "there is none"


def test_cameras_that_come_and_go_neither_take_nor_leave_the_smaller_engine() -> None:
    one = Shop(3, smaller=True)
    assert steps(one, HOT, 0, 5 * CLIMB_S)[-1] == 5
    one.cameras = 2
    turn = one.at(WARM, 30)
    assert (turn.name, turn.measures.shed) == ("shed_camera", 1)
    assert one.at(HOT, 40).name == "smaller_engine"
    one.cameras = 4
    turn = one.at(WARM, 41)
    assert (turn.name, turn.measures.shed) == ("smaller_engine", 3)
    assert [one.at(CALM, 42 + 31 * n).name for n in range(3)] == ["smaller_engine", "shed_camera", "shed_camera"]


values = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 200))


@given(st.lists(st.tuples(st.dictionaries(st.sampled_from(list(Axis)), values), st.floats(0, 60)), max_size=60))
def test_whatever_is_read_the_step_stays_on_the_ladder_and_says_how_far_it_moved(
    series: list[tuple[dict[Axis, float], float]],
) -> None:
    one, now_s, before = ladder(), 0.0, 0
    for readings, pause_s in series:
        now_s += pause_s
        turn: Turn = one.at(readings, now_s)
        assert 0 <= turn.step <= 5
        assert turn.step - before == turn.moved >= -1
        assert all(abs(value) <= MOST_STRESS for value in turn.stress.values())
        before = turn.step


marks = st.builds(lambda low, up, more: Marks(low, low + up, low + up + more), *[st.floats(0.1, 100)] * 3)
ladders = st.dictionaries(st.sampled_from(list(Axis)), marks)
changes = st.tuples(ladders, st.one_of(st.none(), st.floats(1, 100)))
seconds = st.tuples(st.dictionaries(st.sampled_from(list(Axis)), values), st.floats(0, 30), st.none() | changes)


@given(st.lists(seconds, max_size=80))
def test_other_marks_move_nothing_and_a_step_back_is_a_whole_calm_time_behind_the_change(
    series: list[tuple[dict[Axis, float], float, tuple[dict[Axis, Marks], float | None] | None]],
) -> None:
    one, now_s, before, calm_s, changed_s = ladder(), 0.0, 0, 30.0, float("-inf")
    for readings, pause_s, change in series:
        now_s += pause_s
        if change is not None:
            one.follow(*change)
            calm_s, changed_s = change[1] or calm_s, now_s
            assert one.step == before
        turn = one.at(readings, now_s)
        assert turn.moved >= -1
        assert turn.moved >= 0 or now_s - changed_s >= calm_s, "looser sooner than calm for so long by these marks"
        before = turn.step


def test_what_was_calm_by_the_old_marks_speaks_for_no_step_back() -> None:
    one = ladder()
    assert one.at(HOT, 0).step == 1
    assert set(steps(one, CALM, 1, 30)) == {1}
    one.follow(MARKS, 30)
    assert steps(one, CALM, 31, 31) == [1] * 30 + [0]


def test_marks_under_what_is_read_take_a_step_down_with_the_next_reading() -> None:
    one = ladder()
    assert one.at(CALM, 0).step == 0
    one.follow({**MARKS, Axis.TEMPERATURE: Marks(40, 50, 90)}, 30)
    turn = one.at(CALM, 1)
    assert (turn.step, turn.cause, turn.alarm) == (1, "temperature 60", ())


def test_another_scale_is_no_worsening() -> None:
    one = ladder()
    assert not one.at({Axis.TEMPERATURE: 60.0, Axis.MEMORY: 0.5}, 0).alarm
    one.follow({**MARKS, Axis.TEMPERATURE: Marks(55, 65, 90), Axis.MEMORY: Marks(0.6, 0.4, 0.1)}, 30)
    assert not one.at({Axis.TEMPERATURE: 60.0, Axis.MEMORY: 0.5}, 1).alarm


@pytest.mark.parametrize(
    ("readings", "taking", "expected"),
    [
        ({Axis.OWN_MEMORY: 0.45}, {Axis.OWN_MEMORY: 0.46}, True),  # the ladder stays where it is
        ({Axis.OWN_MEMORY: 0.45}, {Axis.OWN_MEMORY: 0.48}, False),
        ({Axis.OWN_MEMORY: 0.95}, {Axis.OWN_MEMORY: 0.02}, True),  # as much again is left
        ({Axis.OWN_MEMORY: 0.95}, {Axis.OWN_MEMORY: 0.03}, False),
        ({Axis.MEMORY: 0.20}, {Axis.MEMORY: -0.11}, True),
        ({Axis.MEMORY: 0.20}, {Axis.MEMORY: -0.13}, False),
        ({Axis.MEMORY: 0.03}, {Axis.MEMORY: -0.01}, True),
        ({Axis.MEMORY: 0.5, Axis.OWN_MEMORY: 0.9}, {Axis.MEMORY: -0.01, Axis.OWN_MEMORY: 0.2}, False),
        ({Axis.TEMPERATURE: 99.0}, {Axis.MEMORY: -0.9}, True),  # not read
        ({Axis.OWN_MEMORY: 0.9}, {Axis.MEMORY: -0.9}, True),  # not limited
    ],
)
def test_memory_has_room_where_no_step_follows_or_as_much_again_is_left(
    readings: dict[Axis, float], taking: dict[Axis, float], expected: bool
) -> None:
    assert ladder().has_room(readings, taking) is expected
