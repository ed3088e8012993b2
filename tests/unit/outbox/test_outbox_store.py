"""The outbox on the disk: what was committed is there again, what had no room is counted, damage loses no file."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InputError, PublishError
from edge.outbox.state import EVENT
from edge.outbox.store import Entry, Limits, Store
from edge.types import Route

ROOMY = Limits(max_rows=1000, max_bytes=1 << 20)


def entries(*routes: Route) -> list[Entry]:
    return [Entry(route, f"{number}-{route.value}".encode()) for number, route in enumerate(routes)]


def payloads(store: Store) -> list[bytes]:
    return [payload for _, payload in store.waiting(0, 10_000)]


def test_what_was_kept_is_there_after_a_restart_in_order(tmp_path: Path) -> None:
    kept = entries(*[Route.ACCEPT, Route.REVIEW] * 5)
    with Store(tmp_path / "spool" / "outbox.sqlite", ROOMY) as store:
        store.keep(kept)
    with Store(tmp_path / "spool" / "outbox.sqlite", ROOMY) as store:
        assert payloads(store) == [entry.payload for entry in kept]
        assert (store.rows, store.bytes) == (10, sum(len(entry.payload) for entry in kept))


def test_what_arrived_is_gone_and_its_number_is_never_used_again(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Store(path, ROOMY) as store:
        store.keep(entries(Route.ACCEPT, Route.ACCEPT))
        rows = [row for row, _ in store.waiting(0, 10)]
        assert store.settle([*rows, 999]) == 2
        assert store.settle(rows) == 0, "a late second acknowledgement is no error"
        assert (store.rows, store.bytes) == (0, 0)
    with Store(path, ROOMY) as store:
        store.keep(entries(Route.ACCEPT))
        assert store.waiting(0, 10)[0][0] > max(rows)


@pytest.mark.parametrize("arrived", [1, 63, 64])
def test_as_many_as_arrive_at_once_go_with_one_statement(arrived: int, tmp_path: Path) -> None:
    """A statement a row has the frame loop wait for the interpreter as often."""
    said: list[str] = []
    with Store(tmp_path / "outbox.sqlite", ROOMY) as store:
        store.keep(entries(*[Route.ACCEPT] * 100))
        rows = [row for row, _ in store.waiting(0, 100)]
        store._opened().set_trace_callback(said.append)
        assert store.settle([*rows[:arrived], rows[0]][:64]) == arrived, "who is named twice counts once"
        store._opened().set_trace_callback(None)
        assert [row for row, _ in store.waiting(0, 100)] == rows[arrived:]
        assert (store.rows, store.bytes) == (100 - arrived, sum(map(len, payloads(store))))
    assert len([statement for statement in said if statement.startswith("DELETE")]) == 1


def test_accepted_make_room_first_then_those_to_verify_and_nothing_else_does(tmp_path: Path) -> None:
    order = [Route.REVIEW, Route.ACCEPT, Route.VERIFY, Route.UNKNOWN, Route.ACCEPT]
    with Store(tmp_path / "outbox.sqlite", Limits(max_rows=5, max_bytes=1 << 20)) as store:
        store.keep(entries(*order))
        store.keep([Entry(Route.REVIEW, b"a")])
        assert payloads(store) == [b"0-review", b"2-verify", b"3-unknown", b"4-accept", b"a"]
        store.keep([Entry(Route.REVIEW, b"b"), Entry(Route.UNKNOWN, b"c")])
        assert payloads(store) == [b"0-review", b"3-unknown", b"a", b"b", b"c"]
        store.keep([Entry(Route.ACCEPT, b"d"), Entry(Route.REVIEW, b"e")])
        assert payloads(store) == [b"0-review", b"3-unknown", b"a", b"b", b"c"]
        assert dict(store.lost) == {Route.ACCEPT: 3, Route.VERIFY: 1, Route.REVIEW: 1, Route.UNKNOWN: 0, EVENT: 0}


@given(st.lists(st.tuples(st.sampled_from(list(Route)), st.integers(0, 40)), max_size=60))
def test_bounds_hold_and_nothing_vanishes_uncounted(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[Route, int]]
) -> None:
    folder = tmp_path_factory.mktemp("bounds")
    with Store(folder / "outbox.sqlite", Limits(max_rows=7, max_bytes=100)) as store:
        for route, size in wanted:
            store.keep([Entry(route, b"x" * size)])
            assert store.rows <= 7
            assert store.bytes <= 100
        assert store.rows == len(payloads(store))
        assert store.bytes == sum(len(payload) for payload in payloads(store))
        assert store.rows + sum(store.lost.values()) == len(wanted)


def test_a_damaged_file_is_put_aside_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Store(path, ROOMY) as store:
        store.keep([Entry(Route.REVIEW, os.urandom(4000)) for _ in range(50)])
    damaged = bytearray(path.read_bytes())
    damaged[8192:40_000] = os.urandom(40_000 - 8192)
    path.write_bytes(damaged)
    with Store(path, ROOMY) as store:
        assert store.put_aside == tmp_path / "outbox.sqlite.damaged-1"
        assert store.put_aside.read_bytes() == damaged
        assert store.rows == 0
        store.keep(entries(Route.ACCEPT))
    path.write_bytes(b"no database at all, and long enough to be looked at as one" * 40)
    with Store(path, ROOMY) as store:
        assert store.put_aside == tmp_path / "outbox.sqlite.damaged-2"


def test_a_damaged_file_that_cannot_be_put_aside_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"SQLite format 3\0" + b"damage" * 1000)

    def read_only(*_: object) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", read_only)
    with pytest.raises(PublishError, match=r"is damaged and cannot be put aside \(Read.*outbox\.path another place"):
        Store(path, ROOMY).__enter__()


def test_two_daemons_do_not_share_one(tmp_path: Path) -> None:
    other = Store(tmp_path / "outbox.sqlite", ROOMY)
    with Store(tmp_path / "outbox.sqlite", ROOMY), pytest.raises(PublishError, match="another process uses it"):
        other.__enter__()


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.sqlite"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE theirs (x)")
    database.commit()
    database.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match="another program's database"), Store(path, ROOMY):
        pass
    assert path.read_bytes() == before


def test_a_full_disk_keeps_what_was_kept_and_counts_nothing_twice(small_disk: Path) -> None:
    with Store(small_disk / "outbox.sqlite", Limits(10_000, 1 << 30, reserve_bytes=256 << 10)) as store:
        for _ in range(3):
            kept = store.rows
            with pytest.raises(sqlite3.OperationalError, match="full"):
                while True:
                    store.keep([Entry(Route.REVIEW, os.urandom(8192))] * 4)
                    kept += 4
            assert kept >= 6
            assert store.rows == kept == len(payloads(store))
            rows = [row for row, _ in store.waiting(0, kept)]
            assert store.settle(rows[:-1]) == kept - 1
            store.keep([Entry(Route.REVIEW, b"room again")])
            assert payloads(store)[1:] == [b"room again"]


def test_a_disk_that_is_full_at_the_start_keeps_nobody_from_starting(small_disk: Path) -> None:
    limits = Limits(10_000, 1 << 30, reserve_bytes=128 << 10)
    with Store(small_disk / "outbox.sqlite", limits) as store:
        store.keep([Entry(Route.REVIEW, os.urandom(2000)) for _ in range(50)])
    with (small_disk / "others").open("wb", buffering=0) as others, suppress(OSError):
        while True:
            others.write(bytes(4096))
    with Store(small_disk / "outbox.sqlite", limits) as store:
        rows = [row for row, _ in store.waiting(0, 100)]
        assert len(rows) == 50
        assert store.settle(rows) == 50, "what arrives leaves: the reserve was there from before"


def test_a_reserve_that_was_cut_short_is_made_whole(tmp_path: Path) -> None:
    limits = Limits(10_000, 1 << 30, reserve_bytes=128 << 10)
    reserve = tmp_path / "outbox.sqlite.reserve"
    reserve.touch()  # as a kill leaves it between opening and filling
    with Store(tmp_path / "outbox.sqlite", limits) as store:
        store.keep([Entry(Route.REVIEW, b"kept")])
    assert reserve.stat().st_blocks * 512 >= 128 << 10, "it has the room, it does not only say so"


KEEPER = """
import sys
from pathlib import Path
from edge.outbox.store import Entry, Limits, Store
from edge.types import Route
with Store(Path(sys.argv[1]), Limits(1_000_000, 1 << 30)) as store:
    for number in range(1_000_000):
        store.keep([Entry(Route.ACCEPT, str(number).encode())])
        print(number, flush=True)
"""


def test_what_was_committed_survives_kill_9(tmp_path: Path) -> None:
    path, told = tmp_path / "outbox.sqlite", -1
    for kills in range(1, 6):
        with subprocess.Popen([sys.executable, "-c", KEEPER, str(path)], stdout=subprocess.PIPE, text=True) as keeper:
            assert keeper.stdout is not None
            for line in keeper.stdout:
                told = int(line)
                if told >= 20 * kills:
                    keeper.send_signal(signal.SIGKILL)
                    told = int([line, *keeper.stdout][-1])
                    break
        with Store(path, ROOMY) as store:
            found = [int(payload) for payload in payloads(store)]
            assert store.put_aside is None
            assert found[: told + 1] == list(range(told + 1)), "every number that was told is there"
            store.settle([row for row, _ in store.waiting(0, 10_000)])
