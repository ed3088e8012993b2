"""The collector's archive: what cannot be a row of it is kept as it came, and stands in nobody's way."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import watch_messages

from edge.collect.archive import Added, Archive
from edge.collect.delivered import read
from edge.errors import PublishError


@pytest.mark.parametrize("field", ["seq", "track", "looks"])
@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_a_number_that_no_row_can_hold_is_rejected_and_the_others_are_kept(
    tmp_path: Path, field: str, form: str
) -> None:
    good, bad = (watch_messages.decision(**{"seq": 1, "form": form, **more}) for more in ({}, {field: 2**63}))
    with Archive(tmp_path / "decisions.sqlite") as archive:
        added = archive.add([read(bad), read(good)])
    assert added == Added(new=1, rejected=1), "or an outbox would deliver it for ever"
    with closing(sqlite3.connect(tmp_path / "decisions.sqlite")) as database:
        ((payload, why),) = database.execute("SELECT payload, why FROM rejected")
    assert payload == bad
    assert "too large" in why


@pytest.mark.parametrize("taken_away", [Path.unlink, lambda path: path.rename(path.with_name("old.sqlite"))])
def test_nothing_is_acknowledged_into_a_file_that_was_moved_or_deleted(
    tmp_path: Path, taken_away: Callable[[Path], object]
) -> None:
    path = tmp_path / "decisions.sqlite"
    with Archive(path) as archive:
        assert archive.add([read(watch_messages.decision(1))]) == Added(new=1)
        taken_away(path)
        with pytest.raises(PublishError, match=r"moved or deleted.*; nothing was acknowledged"):
            archive.add([read(watch_messages.decision(2))])
    with Archive(path) as archive:
        assert archive.add([read(watch_messages.decision(2))]) == Added(new=1), (
            "it comes again, into a file that is there"
        )
