"""What stands between a look and the bill: tracks, and what a track's looks must say together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine_row import join_rows
from edge.track import GONE, MAX_TRACKS, WINDOW, Track, Tracker
from edge.types import Decision, EngineRows, Reason, Region, Route

HERE, NEAR, FAR = Region(10, 10, 100, 80, "a"), Region(14, 12, 100, 80, "a"), Region(300, 10, 100, 80, "a")


def decision(route: Route = Route.ACCEPT, sku: str | None = "cola") -> Decision:
    return Decision(route, sku, 0.99, 0.1, (), (), (Reason.CERTIFIED,))


def rows(*things: int) -> EngineRows:
    """One row per thing; rows of different things are at a right angle."""
    return join_rows(np.eye(300, dtype=np.float32)[list(things)], np.full(len(things), 0.8, np.float32))


def follow(tracker: Tracker, regions: Sequence[Region], *things: int) -> list[int]:
    return [track.number for track in tracker.follow(tracker.next_frame(), regions, rows(*things))]


def routes(track: Track, *decisions: Decision) -> list[Route]:
    return [track.agree(one).route for one in decisions]


def test_a_thing_is_accepted_once_it_has_had_its_looks() -> None:
    track = Track(0, needed=3)
    outcomes = [track.agree(decision()) for _ in range(4)]
    assert [one.route for one in outcomes] == [Route.VERIFY, Route.VERIFY, Route.ACCEPT, Route.ACCEPT]
    assert outcomes[0].reasons == (Reason.FEW_LOOKS,)
    assert outcomes[2] == decision(), "an accepted look is passed on as it is"


def test_one_passing_look_among_many_is_not_enough() -> None:
    track = Track(0, needed=3)
    doubtful = [decision(Route.VERIFY)] * 5
    assert routes(track, *doubtful, decision()) == [Route.VERIFY] * 6
    assert track.agree(decision()).reasons == (Reason.LOOKS_DISAGREE,)


def test_exactly_half_of_the_looks_is_enough() -> None:
    track = Track(0, needed=3)
    looks = [decision(Route.VERIFY), decision(Route.UNKNOWN), decision(), decision()]
    assert routes(track, *looks)[-2:] == [Route.VERIFY, Route.ACCEPT]


def test_looks_accepted_as_another_product_do_not_count() -> None:
    track = Track(0, needed=1)
    looks = [decision(sku="cola"), decision(sku="cola"), decision(sku="diet"), decision(sku="diet")]
    assert routes(track, *looks) == [Route.ACCEPT, Route.ACCEPT, Route.VERIFY, Route.ACCEPT]


def test_only_the_last_looks_count() -> None:
    track = Track(0, needed=3)
    routes(track, *[decision(sku="cola")] * 1000)
    after = routes(track, *[decision(sku="diet")] * WINDOW)
    assert after.index(Route.ACCEPT) == WINDOW // 2 - 1
    assert track.looks == 1000 + WINDOW


def test_the_first_accept_of_a_thing_is_known_also_after_its_looks_begin_anew() -> None:
    tracker = Tracker(looks=3)
    (track,) = {tracker.follow(tracker.next_frame(), [HERE], rows(0))[0] for _ in range(3)}
    routes(track, *[decision()] * 3)
    assert track.accepts == 1
    tracker.take_other_engine()
    routes(track, *[decision()] * 4)
    assert (track.looks, track.accepts) == (4, 3), "it was charged for already"


@given(st.lists(st.tuples(st.sampled_from(list(Route)), st.sampled_from(["a", "b", None])), max_size=80))
def test_nothing_is_accepted_that_the_look_alone_would_not_be(looks: list[tuple[Route, str | None]]) -> None:
    track = Track(0, needed=3)
    for route, sku in looks:
        given_, got = decision(route, sku), track.agree(decision(route, sku))
        assert got.route is route or (route is Route.ACCEPT and got.route is Route.VERIFY)
        assert (got.sku, got.candidates, got.confidence) == (given_.sku, given_.candidates, given_.confidence)
        assert got.reasons


@pytest.mark.parametrize("lasting", [0.0, 0.5, 0.9])
def test_things_are_accepted_wrongly_at_most_twice_as_often_as_looks(lasting: float) -> None:
    """Whatever part of the error lasts as long as the thing lies there, and whenever one stops looking."""
    draw, error, things = np.random.default_rng(1), 0.05, 4000
    lucky = draw.random(things) < error / 2  # things that are wrong in most looks, and the rest wrong now and then
    each = np.where(lucky, lasting + (1 - lasting) * error, error - lasting * error / 2)
    looks = draw.random((things, WINDOW)) < each[:, None]
    ever = 0
    for thing in looks:
        track = Track(0, needed=1)
        ever += Route.ACCEPT in routes(track, *(decision() if wrong else decision(Route.VERIFY) for wrong in thing))
    chance = 2 * looks.mean()
    assert ever / things <= chance + 3 * np.sqrt(chance / things), "the bound, and three standard errors of the draw"
    assert looks.any(axis=1).mean() > 2 * chance or lasting > 0.5, "with one look enough, many more would be"


def test_a_thing_that_stays_keeps_its_track_and_another_place_has_another() -> None:
    tracker = Tracker(3)
    assert follow(tracker, [HERE, FAR], 0, 1) == [0, 1]
    assert follow(tracker, [FAR, NEAR], 1, 0) == [1, 0]


def test_another_thing_in_the_same_place_has_a_track_of_its_own_and_the_first_one_comes_back() -> None:
    tracker = Tracker(3)
    assert [follow(tracker, [HERE], thing)[0] for thing in (0, 7, 7, 0)] == [0, 1, 1, 0], "a hand passed"


def test_a_track_waits_for_some_frames_and_not_for_ever() -> None:
    tracker = Tracker(3)
    assert follow(tracker, [HERE], 0) == [0]
    for _ in range(GONE - 1):
        tracker.next_frame()
    assert follow(tracker, [HERE], 0) == [0]
    for _ in range(GONE):
        tracker.next_frame()
    assert follow(tracker, [HERE], 0) == [1]


def test_two_looks_of_one_frame_never_share_a_track_even_in_several_calls() -> None:
    tracker = Tracker(3)
    assert follow(tracker, [HERE], 0) == [0]
    frame = tracker.next_frame()
    assert tracker.follow(frame, [NEAR], rows(0))[0].number == 0
    assert tracker.follow(frame, [HERE], rows(0))[0].number == 1


def test_the_best_overlap_is_continued() -> None:
    tracker = Tracker(3)
    follow(tracker, [HERE], 0)
    assert follow(tracker, [Region(40, 10, 100, 80, "a"), NEAR], 0, 0) == [1, 0]


def test_a_row_without_direction_continues_nothing() -> None:
    tracker = Tracker(3)
    follow(tracker, [HERE], 0)
    assert tracker.follow(tracker.next_frame(), [HERE], np.zeros((1, 301), np.float32))[0].number == 1


def test_pictures_that_are_each_about_another_thing_stand_alone() -> None:
    tracker = Tracker(1)
    tracks = [tracker.follow(tracker.next_frame(), [HERE], rows(0))[0] for _ in range(3)]
    assert [track.number for track in tracks] == [0, 1, 2]
    assert routes(tracks[2], decision()) == [Route.ACCEPT]


def test_looks_of_another_opening_of_the_camera_do_not_count_and_the_track_goes_on() -> None:
    tracker = Tracker(looks=3)

    def look(opening: int) -> tuple[int, Decision]:
        track = tracker.follow(tracker.next_frame(), [HERE], rows(0), opening)[0]
        return track.number, track.agree(decision())

    assert [look(0)[1].route for _ in range(4)] == [Route.VERIFY, Route.VERIFY, Route.ACCEPT, Route.ACCEPT]
    number, first = look(1)
    assert number == 0, "a thing that still lies there is not charged for twice"
    assert (first.route, first.reasons) == (Route.VERIFY, (Reason.FEW_LOOKS,))
    assert [look(1)[1].route for _ in range(2)] == [Route.VERIFY, Route.ACCEPT]


def test_memory_is_bounded() -> None:
    tracker = Tracker(3)
    for frame in range(5):
        regions = [Region(200 * k, 200 * frame, 100, 80, "a") for k in range(MAX_TRACKS // 2)]
        follow(tracker, regions, *range(MAX_TRACKS // 2))
    assert len(tracker._tracks) <= MAX_TRACKS + MAX_TRACKS // 2


def test_frames_without_regions_are_followed_too() -> None:
    tracker = Tracker(3)
    assert tracker.follow(tracker.next_frame(), [], rows()) == ()
    assert follow(tracker, [HERE], 0) == [0]


def test_another_engine_leaves_a_track_where_it_is_and_its_looks_begin_anew() -> None:
    tracker = Tracker(looks=2)
    assert follow(tracker, [HERE, FAR], 0, 1) == [0, 1]
    tracker.take_other_engine()
    (here,) = tracker.follow(tracker.next_frame(), [NEAR], rows(7))
    assert (here.number, here.looks) == (0, 0), "no embedding of before can say that it is another thing"
    assert routes(here, decision(), decision()) == [Route.VERIFY, Route.ACCEPT]
    assert follow(tracker, [HERE], 8) == [2], "from the next look on embeddings tell again"
    assert follow(tracker, [FAR], 9) == [1], "a track without a look since then goes by its place as well"


def test_another_engine_may_have_rows_of_another_length() -> None:
    tracker = Tracker(looks=2)
    follow(tracker, [HERE], 0)
    tracker.take_other_engine()
    longer = join_rows(np.eye(400, dtype=np.float32)[[350]], np.full(1, 0.8, np.float32))
    (track,) = tracker.follow(tracker.next_frame(), [HERE], longer)
    assert track.number == 0


def test_a_row_without_direction_continues_nothing_of_another_engine_either() -> None:
    tracker = Tracker(looks=2)
    follow(tracker, [HERE], 0)
    tracker.take_other_engine()
    (track,) = tracker.follow(tracker.next_frame(), [HERE], np.zeros((1, 301), np.float32))
    assert track.number == 1


def test_other_looks_are_required_of_tracks_that_there_are() -> None:
    tracker = Tracker(looks=3)
    (track,) = tracker.follow(tracker.next_frame(), [HERE], rows(0))
    assert routes(track, decision()) == [Route.VERIFY]
    tracker.require(2)
    assert routes(track, decision(), decision()) == [Route.VERIFY, Route.ACCEPT]
    tracker.require(2)
    assert track.looks == 2, "the same number changes nothing"


def test_a_camera_that_comes_back_remembers_nothing_and_uses_no_number_again() -> None:
    tracker = Tracker(looks=2)
    follow(tracker, [HERE], 0)
    tracker.forget()
    assert follow(tracker, [HERE], 0) == [1]
