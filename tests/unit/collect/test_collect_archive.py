"""The collector's archive: what cannot be a row of it is kept as it came, and stands in nobody's way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import watch_messages

from edge.collect.archive import Added, Archive


@pytest.mark.parametrize("field", ["seq", "track", "looks"])
@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_a_number_that_no_row_can_hold_is_rejected_and_the_others_are_kept(
    tmp_path: Path, field: str, form: str
) -> None:
    good, bad = (watch_messages.decision(**{"seq": 1, "form": form, **more}) for more in ({}, {field: 2**63}))
    with Archive(tmp_path / "decisions.sqlite") as archive:
        added = archive.add([bad, good])
    assert added == Added(new=1, rejected=1), "or an outbox would deliver it for ever"
    with closing(sqlite3.connect(tmp_path / "decisions.sqlite")) as database:
        ((payload, why),) = database.execute("SELECT payload, why FROM rejected")
    assert payload == bad
    assert "too large" in why
